"""What the data of a voice is worth, measured by tools.research.learning_curves, for the page."""

from __future__ import annotations

from html import escape

from tools.chart import COLOURS, HEIGHT, WIDTH
from tools.datasets.learning_curves import (
    FOLDER,
    PANELS,
    Measured,
    Panel,
    panel_chart,
    read_measured,
)
from tools.web.i18n import read_texts, translate


def data_charts(*curves: str) -> str:
    """Return HTML of the charts of some curves ("minutes" ...); "" where nothing is measured."""
    measured = read_measured(FOLDER / "points.jsonl")
    drawn = "".join(_curve(measured, curve) for curve in curves) if measured else ""
    if not drawn:
        return ""
    caption = translate(
        "charts_of", speaker=measured.settings["speaker"], steps=measured.settings["steps"]
    )
    return f'{drawn}<p class="quiet">{caption}</p>'


def _curve(measured: Measured, curve: str) -> str:
    points = measured.curve(curve)
    if len(points) < 2:
        return ""
    figures = "".join(
        f'<figure class="chart"><figcaption>{_caption(name, panel)}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" aria-hidden="true">{chart}</svg></figure>'
        for name, panel in PANELS.items()
        if (chart := panel_chart(panel, points))
    )
    return (
        f'<p><strong>{translate(f"charts_{curve}")}</strong></p><div class="curves">{figures}</div>'
    )


def _caption(name: str, panel: Panel) -> str:
    legend = "".join(
        f' <span style="color:{colour}">━</span> {_line_name(line)}'
        for colour, line in zip(COLOURS, panel.lines, strict=False)
    )
    return translate(f"chart_{name}") + (legend if len(panel.lines) > 1 else "")


def _line_name(line: str) -> str:
    """The text of a line where there is one; judges are called the same everywhere."""
    text = f"chart_{line.replace(' ', '_')}"
    return translate(text) if text in read_texts()["en"] else escape(line)
