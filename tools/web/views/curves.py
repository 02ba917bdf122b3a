"""Losses during training as small SVGs: light, in the colours of the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from tools.chart import HEIGHT, WIDTH, Point, axis, chart
from tools.jobs.training import advice
from tools.web.i18n import read_texts, sentences, translate
from tools.web.units import clock_text
from train.metrics import save_cost

LEAST_RANGE = 0.2  # of the largest value, that the axis shows
MOST_POINTS = 300  # of a curve; longer ones are averaged


def losses_html(entries: Sequence[dict[str, float]]) -> str:
    """Return HTML of every loss of metrics.jsonl over the minutes trained."""
    names = sorted({name for entry in entries for name in entry if name.startswith("loss/")})
    names.sort(key=lambda name: name != "loss/mel")  # the one that tells most comes first
    figures = [curve_svg(points_of(entries, name), _loss_name(name)) for name in names]
    return f'<div class="curves">{"".join(figures)}</div>'


def _loss_name(name: str) -> str:
    """What a loss measures, where that is known."""
    short = name.removeprefix("loss/")
    text = f"loss_{short}"
    return translate(text) if text in read_texts()["en"] else escape(short)


def points_of(entries: Sequence[dict[str, float]], name: str) -> list[Point]:
    """(minutes trained, value) of one loss."""
    return [(entry.get("seconds", 0.0) / 60, entry[name]) for entry in entries if name in entry]


def curve_svg(
    points: Sequence[Point], title: str, best: int | None = None, most: float = math.inf
) -> str:
    """Return a figure of one curve; title: HTML; best: the point to mark; most: the axis's end."""
    if not points:
        return ""
    dots = points[-1:] if len(points) == 1 else [] if best is None else [points[best]]
    points = [*thinned(points)]
    values = [y for _, y in points]
    # small changes stay small
    marks = axis(values, LEAST_RANGE * max(map(abs, values)) or 1.0, (-math.inf, most))
    end = max(x for x, _ in points) or 1.0
    labels = [(share * end, clock_text(60 * share * end)) for share in (0, 0.5, 1)]
    newest = f"{points[-1][1]:.4g}"
    drawn = chart({newest: points}, labels, (0, end), marks, dots)
    caption = f'{title} <span class="quiet">{newest}</span>'
    picture = f'viewBox="0 0 {WIDTH} {HEIGHT}" aria-hidden="true"'
    return (
        f'<figure class="curve"><figcaption>{caption}</figcaption>'
        f"<svg {picture}>{drawn}</svg></figure>"
    )


def held_out_html(entries: Sequence[dict[str, float]]) -> str:
    """Return HTML of the loss on held-out clips, the best save marked and named."""
    saves = [entry for entry in entries if "held_out" in entry]
    if not saves:
        is_saved = any("loss/mel" not in entry for entry in entries)
        name = "advice_none" if is_saved else "held_out_empty"
        return f'<p class="quiet">{translate(name)}</p>'
    costs = [save_cost(entry["held_out"], entry.get("words")) for entry in saves]
    best = min(range(len(saves)), key=lambda i: costs[i])
    caption = translate(
        "held_out_best",
        step=saves[best]["step"],
        minutes=f"{saves[best].get('seconds', 0) / 60:.1f}",
        loss=f"{saves[best]['held_out']:.4f}",
    )
    name, values = advice(costs)
    curve = curve_svg(points_of(saves, "held_out"), translate("held_out"), best)
    words = curve_svg(points_of(saves, "words"), translate("words_kept"), most=1.0)
    said = sentences(caption, translate(name, **values))
    return f'<div class="curves">{curve}{words}</div><p>{said}</p>'


def thinned(points: Sequence[Point]) -> list[Point]:
    """At most MOST_POINTS, each the mean of its neighbours."""
    size = -(-len(points) // MOST_POINTS)
    pieces = [points[i : i + size] for i in range(0, len(points), size)]
    return [
        (sum(x for x, _ in piece) / len(piece), sum(y for _, y in piece) / len(piece))
        for piece in pieces
    ]
