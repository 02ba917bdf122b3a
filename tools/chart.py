"""A small line chart as SVG, for documents and for the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 320, 170
LEFT, BOTTOM, EDGE = 40, 22, 12  # room for the numbers, for the labels, and at the other sides
COLOURS = ("#0d9488", "#64748b", "#d97706")  # read on light and on dark; the first is what counts
MOST_STEPS = 5  # of the axis


def chart(
    lines: Mapping[str, Sequence[float | None]],
    labels: Sequence[str],
    span: float,
    within: tuple[float, float],
) -> str:
    """Return the SVG elements of lines by name over labels at equal distances; None = no value.

    span: what the axis shows at least, so that chance does not look like an effect; within: what
    it never leaves. Text has the colour of its surroundings.
    """
    marks = axis([y for line in lines.values() for y in line if y is not None], span, within)

    def x(number: int) -> float:
        return round(LEFT + (number + 0.5) / len(labels) * (WIDTH - LEFT - EDGE), 1)

    def y(value: float) -> float:
        share = (value - marks[0]) / (marks[-1] - marks[0])
        return round(EDGE + (1 - share) * (HEIGHT - EDGE - BOTTOM), 1)

    drawn = []
    for mark in marks:
        drawn.append(
            f'<line x1="{LEFT}" x2="{WIDTH - EDGE}" y1="{y(mark)}" y2="{y(mark)}" '
            'stroke="currentColor" stroke-opacity="0.2"/>'
            f'<text x="{LEFT - 6}" y="{y(mark) + 4}" text-anchor="end" font-size="11" '
            f'fill="currentColor">{mark:g}</text>'
        )
    for number, label in enumerate(labels):
        drawn.append(
            f'<text x="{x(number)}" y="{HEIGHT - 5}" text-anchor="middle" font-size="11" '
            f'fill="currentColor">{escape(label)}</text>'
        )
    for colour, (name, line) in zip(COLOURS, lines.items(), strict=False):
        points = [(x(i), y(value)) for i, value in enumerate(line) if value is not None]
        drawn.append(
            f'<polyline fill="none" stroke="{colour}" stroke-width="2" '
            f'points="{" ".join(f"{a},{b}" for a, b in points)}"><title>{escape(name)}</title>'
            "</polyline>"
        )
        drawn += [f'<circle cx="{a}" cy="{b}" r="3" fill="{colour}"/>' for a, b in points]
    return "".join(drawn)


def axis(values: Sequence[float], span: float, within: tuple[float, float]) -> list[float]:
    """Round marks, ascending, around values: at least span, inside within where values are."""
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
