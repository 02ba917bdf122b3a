"""The melodies of a recording and of its conversion as one small SVG."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tools.web.i18n import translate

WIDTH, HEIGHT = 640, 190
LEFT, BOTTOM, EDGE = 40, 22, 8  # room for Hz, for seconds, and at the other two sides
MARKS = (50, 75, 100, 150, 200, 300, 400, 600, 800, 1100)  # Hz
FIRST_SECONDS = 60.5  # of a recording are measured
NARROWEST = 2.0  # highest shown to lowest shown, at least an octave


def melody_plot(melodies: Mapping[str, Mapping[str, Any]]) -> str:
    """Return HTML of melodies by name ("source", "result"), each as `listen` gives it.

    The pitch axis is logarithmic, so the same interval has the same height everywhere.
    """
    voiced = [hz for measured in melodies.values() for hz in measured["f0"] if hz > 0]
    if not voiced:
        return f'<p class="quiet">{translate("plot_empty")}</p>'
    lowest, highest = min(voiced) / 1.06, max(voiced) * 1.06
    widen = max(1.0, math.sqrt(NARROWEST * lowest / highest))
    lowest, highest = lowest / widen, highest * widen
    seconds = max(len(measured["f0"]) * measured["f0_step"] for measured in melodies.values())

    def x(second: float) -> float:
        return round(LEFT + second / seconds * (WIDTH - LEFT - EDGE), 1)

    def y(hz: float) -> float:
        share = math.log(hz / lowest) / math.log(highest / lowest)
        return round(EDGE + (1 - share) * (HEIGHT - EDGE - BOTTOM), 1)

    drawn = [
        f'<line x1="{LEFT}" x2="{WIDTH - EDGE}" y1="{y(hz)}" y2="{y(hz)}"/>'
        f'<text x="{LEFT - 6}" y="{y(hz) + 4}" text-anchor="end">{hz}</text>'
        for hz in MARKS
        if lowest <= hz <= highest
    ]
    drawn += [
        f'<text x="{x(second)}" y="{HEIGHT - 5}" text-anchor="{_anchor(x(second))}">'
        f"{second:g} s</text>"
        for second in _marks(seconds)
    ]
    for name, measured in melodies.items():
        for start, piece in _voiced_pieces(measured["f0"]):
            points = " ".join(
                f"{x((start + i) * measured['f0_step'])},{y(hz)}" for i, hz in enumerate(piece)
            )
            drawn.append(f'<polyline class="melody-{name}" points="{points}"/>')
    legend = " ".join(
        f'<span class="melody-{name}">'
        f"{translate(f'melody_{name}', hertz=round(measured['f0_median']))}</span>"
        for name, measured in melodies.items()
    )
    if any((measured["seconds"] or 0) > FIRST_SECONDS for measured in melodies.values()):
        legend += f' <span class="quiet">{translate("plot_first_minute")}</span>'
    return (
        f'<figure class="melody"><svg viewBox="0 0 {WIDTH} {HEIGHT}" aria-hidden="true">'
        f"{''.join(drawn)}</svg><figcaption>{legend}</figcaption></figure>"
    )


def _anchor(x: float) -> str:
    """Where a label stands, so that the picture's edge cuts none."""
    return "end" if x > WIDTH - 3 * EDGE else "middle"


def _voiced_pieces(f0: Sequence[float]) -> Iterator[tuple[int, list[float]]]:
    """Yield (index of the first, values) of every unbroken run above 0."""
    piece: list[float] = []
    for index, hz in enumerate([*f0, 0.0]):
        if hz > 0:
            piece.append(hz)
        elif piece:
            yield index - len(piece), piece
            piece = []


def _marks(seconds: float) -> list[float]:
    """Round seconds, five to ten of them."""
    step = next(step for step in (0.1, 0.2, 0.5, 1, 2, 5, 10) if seconds / step <= 10)
    return [round(number * step, 1) for number in range(int(seconds / step) + 1)]
