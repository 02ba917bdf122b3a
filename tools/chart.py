"""A small line chart as SVG, for documents and for the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 320, 170
LEFT, BOTTOM, EDGE = 40, 22, 12  # room for the numbers, for the labels, and at the other sides
COLOURS = ("#0d9488", "#64748b", "#d97706")  # read on light and on dark; the first is what counts
MOST_STEPS = 5  # of the axis

Point = tuple[float, float]


def chart(
    lines: Mapping[str, Sequence[Point]],
    labels: Sequence[tuple[float, str]],
    ends: tuple[float, float],
    marks: Sequence[float],
    dots: Sequence[Point] = (),
) -> str:
    """Return the SVG elements of lines, each (x, y) by name.

    labels: x and text. ends: the first and the last x. marks: y on the axis, ascending (`axis`).
    dots: points to mark. Text has the colour and the size of
    its surroundings.
    """

    def place(point: Point) -> tuple[float, float]:
        along = (point[0] - ends[0]) / (ends[1] - ends[0])
        up = (point[1] - marks[0]) / (marks[-1] - marks[0])
        x, y = LEFT + along * (WIDTH - LEFT - EDGE), EDGE + (1 - up) * (HEIGHT - EDGE - BOTTOM)
        return round(x, 1), round(y, 1)

    drawn = []
    for mark in marks:
        _, y = place((ends[0], mark))
        drawn.append(
            f'<line x1="{LEFT}" x2="{WIDTH - EDGE}" y1="{y}" y2="{y}" '
            'stroke="currentColor" stroke-opacity="0.2"/>'
            f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end" '
            f'fill="currentColor">{mark:g}</text>'
        )
    for x, label in labels:
        anchor = "start" if x == ends[0] else "end" if x == ends[1] else "middle"
        drawn.append(
            f'<text x="{place((x, marks[0]))[0]}" y="{HEIGHT - 5}" text-anchor="{anchor}" '
            f'fill="currentColor">{escape(label)}</text>'
        )
    for colour, (name, line) in zip(COLOURS, lines.items(), strict=False):
        points = " ".join("{},{}".format(*place(point)) for point in line)
        drawn.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2">'
            f"<title>{escape(name)}</title></polyline>"
        )
        for x, y in (place(point) for point in line if point in dots):
            drawn.append(f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>')
    return "".join(drawn)


def axis(values: Sequence[float], span: float, within: tuple[float, float]) -> list[float]:
    """Round marks, ascending, around values: at least span, inside within where values are.

    span: so that chance does not look like an effect.
    """
    low, high = min(values, default=within[0]), max(values, default=within[0])
    missing = max(0.0, span - (high - low)) / 2
    low, high = low - missing, high + missing
    shift = max(0.0, within[0] - low) - max(0.0, high - within[1])
    low, high = max(within[0], low + shift), min(within[1], high + shift)
    rough = (high - low) / MOST_STEPS
    unit = 10 ** math.floor(math.log10(rough))
    step = next(unit * size for size in (1, 2, 5, 10) if unit * size >= rough * 0.999)
    first, last = math.floor(low / step + 1e-6), math.ceil(high / step - 1e-6)
    return [round(number * step, 10) for number in range(first, last + 1)]
