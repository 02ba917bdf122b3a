"""Losses during training as small SVGs: light, in the colours of the page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tools.jobs.training import advice
from tools.web.i18n import translate

WIDTH, HEIGHT = 420, 170
LEFT, BOTTOM, EDGE = 52, 22, 10  # room for the numbers, and at the other two sides
LEAST_RANGE = 0.2  # of the largest value, that the axis shows
MOST_POINTS = 300  # of a curve; longer ones are averaged
Point = tuple[float, float]


def losses_html(entries: Sequence[dict[str, float]]) -> str:
    """Return HTML of every loss of metrics.jsonl over the minutes trained."""
    names = sorted({name for entry in entries for name in entry if name.startswith("loss/")})
    names.sort(key=lambda name: name != "loss/mel")  # the one that tells most comes first
    figures = [curve_svg(points_of(entries, name), name.removeprefix("loss/")) for name in names]
    return f'<div class="curves">{"".join(figures)}</div>'


def points_of(entries: Sequence[dict[str, float]], name: str) -> list[Point]:
    """(minutes trained, value) of one loss."""
    return [(entry.get("seconds", 0.0) / 60, entry[name]) for entry in entries if name in entry]


def curve_svg(
    points: Sequence[Point], name: str, title: str | None = None, best: int | None = None
) -> str:
    """Return a figure of one curve; title: HTML instead of the name; best: the point to mark."""
    if not points:
        return ""
    marked = None if best is None else points[best]
    points = thinned(points)
    x_end = max(x for x, _ in points) or 1.0
    low, high = min(y for _, y in points), max(y for _, y in points)
    if (missing := LEAST_RANGE * max(abs(low), abs(high)) - (high - low)) > 0:
        low, high = low - missing / 2, high + missing / 2  # small changes stay small
    if high == low:
        low, high = low - 0.5, high + 0.5

    def place(point: Point) -> str:
        x = LEFT + point[0] / x_end * (WIDTH - LEFT - EDGE)
        y = EDGE + (high - point[1]) / (high - low) * (HEIGHT - EDGE - BOTTOM)
        return f"{x:.1f},{y:.1f}"

    drawn = []
    for value in (low, (low + high) / 2, high):
        y = place((0, value)).split(",")[1]
        drawn.append(f'<line x1="{LEFT}" x2="{WIDTH - EDGE}" y1="{y}" y2="{y}"/>')
        drawn.append(f'<text x="{LEFT - 6}" y="{float(y) + 4:.1f}" text-anchor="end">')
        drawn.append(f"{value:.3g}</text>")
    for share, anchor in ((0, "start"), (0.5, "middle"), (1, "end")):
        x = LEFT + share * (WIDTH - LEFT - EDGE)
        drawn.append(f'<text x="{x:.0f}" y="{HEIGHT - 5}" text-anchor="{anchor}">')
        drawn.append(f"{share * x_end:.3g} min</text>")
    drawn.append(f'<polyline points="{" ".join(map(place, points))}"/>')
    if len(points) == 1:
        marked = points[0]
    if marked is not None:
        x, y = place(marked).split(",")
        drawn.append(f'<circle cx="{x}" cy="{y}" r="5"/>')
    newest = f"{points[-1][1]:.4g}"
    caption = f'{title or escape(name)} <span class="quiet">{newest}</span>'
    picture = f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(name)} {newest}"'
    return (
        f'<figure class="curve"><figcaption>{caption}</figcaption>'
        f"<svg {picture}>{''.join(drawn)}</svg></figure>"
    )


def held_out_html(entries: Sequence[dict[str, float]]) -> str:
    """Return HTML of the loss on held-out clips, the best save marked and named."""
    saves = [entry for entry in entries if "held_out" in entry]
    if not saves:
        is_saved = any("loss/mel" not in entry for entry in entries)
        name = "advice_none" if is_saved else "held_out_empty"
        return f'<p class="quiet">{translate(name)}</p>'
    best = min(range(len(saves)), key=lambda i: saves[i]["held_out"])
    caption = translate(
        "held_out_best",
        step=saves[best]["step"],
        minutes=f"{saves[best].get('seconds', 0) / 60:.1f}",
        loss=f"{saves[best]['held_out']:.4f}",
    )
    name, values = advice([entry["held_out"] for entry in saves])
    curve = curve_svg(points_of(saves, "held_out"), "held-out", translate("held_out"), best)
    return f"{curve}<p>{caption} {translate(name, **values)}</p>"


def thinned(points: Sequence[Point]) -> list[Point]:
    """At most MOST_POINTS, each the mean of its neighbours."""
    size = -(-len(points) // MOST_POINTS)
    pieces = [points[i : i + size] for i in range(0, len(points), size)]
    return [
        (sum(x for x, _ in piece) / len(piece), sum(y for _, y in piece) / len(piece))
        for piece in pieces
    ]
