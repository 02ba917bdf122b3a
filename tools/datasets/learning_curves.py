"""What a voice's data is worth: measured points, and the charts that are drawn of them.

tools.research.learning_curves measures; documents and page show.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import config
from errors import UserError
from infer.options import ConvertOptions
from tools.chart import axis, chart

FOLDER = config.ROOT / "docs" / "curves"


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
