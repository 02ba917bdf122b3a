"""What a voice's data is worth: measured points, and the charts that are drawn of them.

tools.research.learning_curves measures; documents and page show.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import config
from errors import UserError
from infer.options import ConvertOptions
from tools.chart import COLOURS, HEIGHT, WIDTH, axis, chart

FOLDER = config.ROOT / "docs" / "curves"
TITLE = 26  # height of a chart's title


@dataclass(frozen=True)
class Point:
    """What one measured voice was made of, and how it converted."""

    minutes: float  # of recordings
    noise_db: float | None = None  # signal to noise ratio of what was added, None = nothing
    epoch: int | None = None  # None = after all steps
    index_rate: float = ConvertOptions.index_rate

    def __str__(self) -> str:
        noise = "clean" if self.noise_db is None else f"noise at {self.noise_db:g} dB"
        epoch = "all steps" if self.epoch is None else f"epoch {self.epoch}"
        return f"{self.minutes:g} minutes, {noise}, {epoch}, index rate {self.index_rate:g}"


@dataclass(frozen=True)
class Panel:
    """One chart: the figures of tools.research.evaluate in it, by the name of their line."""

    title: str
    lines: dict[str, str]
    span: float  # the axis shows at least this
    within: tuple[float, float]


PANELS = {
    "words": Panel(
        "word error rate",
        {"converted": "word error rate converted", "source": "word error rate source"},
        0.1,
        (0, 10),
    ),
    "likeness": Panel(
        "similarity at one loudness",
        {
            "to target": "similarity target, levelled",
            "to source": "similarity source clip, levelled",
        },
        0.2,
        (-1, 1),
    ),
    "naturalness": Panel(
        "predicted MOS",
        {"DistillMOS": "distillmos converted", "DNSMOS": "dnsmos converted"},
        1.0,
        (1, 5),
    ),
    "melody": Panel("f0 correlation", {"f0": "f0 correlation"}, 0.02, (-1, 1)),
}
CURVES = {
    "minutes": "minutes of recordings",
    "noise": "noise added to the recordings (signal to noise ratio, ∞ = none)",
    "epochs": "epochs",
    "index": "index rate",
}


@dataclass(frozen=True)
class Measured:
    """All measured points and the settings that they share."""

    settings: dict[str, Any]
    rows: list[tuple[Point, dict[str, float]]]

    def curve(self, name: str) -> list[tuple[str, dict[str, float]]]:
        """(label, figures) of the points of a curve, in their order on the axis."""
        reference = Point(self.settings["data_minutes"])
        varied, label, order = {
            "minutes": ("minutes", "{:g}", float),
            "noise": ("noise_db", "{:g} dB", lambda ratio: -ratio),
            "epochs": ("epoch", "{:g}", float),
            "index": ("index_rate", "{:g}", float),
        }[name]
        same = [item.name for item in fields(Point) if item.name != varied]
        found = {
            getattr(point, varied): figures
            for point, figures in self.rows
            if all(getattr(point, item) == getattr(reference, item) for item in same)
        }
        if name == "epochs":
            found.pop(None, None)
        elif name == "noise" and None in found:
            found[float("inf")] = found.pop(None)
        return [
            (label.format(value).replace("inf", "∞"), found[value])
            for value in sorted(found, key=order)
        ]


def read_measured(file: Path) -> Measured | None:
    """Read points, one JSON object a line; None where there are none. UserError: not such a file.

    Half a line of a killed process does not count.
    """
    if not file.is_file():
        return None
    settings, rows = None, []
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if not isinstance(row, dict) or not {"settings", "point", "figures"} <= row.keys():
            raise UserError("no_points", file=file)
        if settings is None:
            settings = row["settings"]
        elif settings != row["settings"]:
            raise UserError("mixed_points", file=file)
        rows.append((Point(**row["point"]), row["figures"]))
    return None if settings is None else Measured(settings, rows)


def append_row(
    file: Path, settings: Mapping[str, Any], point: Point, figures: Mapping[str, float]
) -> None:
    """Add one point to the file; half a line that a killed process left stays apart."""
    rounded = {name: round(value, 5) for name, value in figures.items()}
    row = json.dumps({"settings": settings, "point": asdict(point), "figures": rounded})
    with file.open("a+b") as table:
        if table.tell() and table.seek(-1, os.SEEK_END) and table.read(1) != b"\n":
            table.write(b"\n")
        table.write(f"{row}\n".encode())


def panel_chart(panel: Panel, points: Iterable[tuple[str, Mapping[str, float]]]) -> str:
    """The SVG elements of one chart; "" where none of its figures was measured."""
    points = list(points)
    lines = {}
    for name, figure in panel.lines.items():
        places = enumerate(figures.get(figure) for _, figures in points)
        if line := [(x, y) for x, y in places if y is not None]:
            lines[name] = line
    if not lines:
        return ""
    dots = [point for line in lines.values() for point in line]
    labels = [(x, label) for x, (label, _) in enumerate(points)]
    marks = axis([y for _, y in dots], panel.span, panel.within)
    return chart(lines, labels, (-0.5, len(points) - 0.5), marks, dots)


def curve_svg(points: list[tuple[str, dict[str, float]]], x_title: str) -> str:
    """All charts of a curve as one picture for documents."""
    high = HEIGHT + TITLE
    charts = [(panel, panel_chart(panel, points)) for panel in PANELS.values()]
    charts = [(panel, drawn) for panel, drawn in charts if drawn]
    parts = []
    for number, (panel, drawn) in enumerate(charts):
        legend = "".join(
            f'<tspan fill="{colour}" font-weight="bold">&#160;&#160;{name}</tspan>'
            for colour, name in zip(COLOURS, panel.lines, strict=False)
        )
        parts.append(
            f'<g transform="translate({number % 2 * WIDTH},{number // 2 * high})">'
            f'<text x="{WIDTH / 2}" y="18" text-anchor="middle" font-size="13" '
            f'fill="currentColor">{panel.title}{legend if len(panel.lines) > 1 else ""}</text>'
            f'<g transform="translate(0,{TITLE})">{drawn}</g></g>'
        )
    width, rows = 2 * WIDTH, -(-len(charts) // 2)
    height = rows * high + TITLE
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="system-ui, sans-serif" font-size="11" color="#334155">'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>{"".join(parts)}'
        f'<text x="{WIDTH}" y="{height - 8}" text-anchor="middle" font-size="13" '
        f'fill="currentColor">{x_title}</text></svg>\n'
    )
