"""Charts show values where they belong, on axes that do not make chance look like an effect."""

from __future__ import annotations

import re

import pytest

from tools.chart import axis, chart


@pytest.mark.parametrize(
    ("values", "span", "within", "first", "last"),
    [
        ([0.7, 0.72], 0.2, (-1, 1), 0.6, 0.82),  # a small difference stays small
        ([0.0, 0.02], 0.1, (0, 10), 0.0, 0.1),  # no share of words below none
        ([0.995, 1.0], 0.02, (-1, 1), 0.985, 1.0),  # no correlation above one
        ([1.5, 4.5], 1.0, (1, 5), 1.0, 5.0),
        ([0.3], 0.2, (-1, 1), 0.2, 0.4),
    ],
)
def test_the_axis_holds_its_values_and_has_round_marks(
    values: list[float], span: float, within: tuple[float, float], first: float, last: float
) -> None:
    marks = axis(values, span, within)
    step = marks[1] - marks[0]
    assert marks[0] <= min(values) and marks[-1] >= max(values)
    assert within[0] <= marks[0] and marks[-1] <= within[1]
    assert marks[0] == pytest.approx(first, abs=step) and marks[-1] == pytest.approx(last, abs=step)
    assert marks[-1] - marks[0] >= span - 1e-9
    assert 3 <= len(marks) <= 8


def test_higher_is_higher_and_what_is_marked_has_a_dot() -> None:
    flat = [(0, 0.5), (1, 0.5), (2, 0.5)]
    drawn = chart(
        {"a": [(0, 0.2), (2, 0.8)], "b<": flat}, [(1, "middle")], (0, 2), [0, 0.5, 1], flat[:1]
    )
    first, second = re.findall(r'points="([^"]*)"', drawn)
    (x, y), (x2, y2) = (tuple(map(float, point.split(","))) for point in first.split())
    assert x < x2 and y > y2  # SVG counts downwards
    assert len(second.split()) == 3
    assert len({point.split(",")[1] for point in second.split()}) == 1
    assert drawn.count("<circle") == 1
    assert "b&lt;" in drawn and "b<" not in drawn
