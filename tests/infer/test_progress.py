"""The share of a conversion that is done goes on as the time does, whichever pass is slow."""

from __future__ import annotations

import pytest

from infer.progress import CONTENT, RENDER, Share
from infer.stages import Stages

SECONDS, CHUNK = 180, 20
HEARD = 120  # seconds at the beginning that are only heard


@pytest.mark.parametrize(
    ("paces", "reach"),
    [((0.004, 0.016, 0.02), 0.06), ((0.4, 0.016, 0.02), 0.31), ((0.004, 0.016, 0.3), 0.45)],
)
def test_the_share_follows_the_clock_from_the_first_chunk_on(
    paces: tuple[float, float, float], reach: float
) -> None:
    now = [0.0]
    stages = Stages(lambda: now[0])
    share, seen = Share(stages, SECONDS), []

    def work(name: str, pace: float) -> None:
        with stages(name):
            now[0] += pace * CHUNK

    def done(name: str) -> None:
        share.count(name, CHUNK)
        seen.append((now[0], share.now()))

    f0, content, render = paces
    for _ in range(HEARD // CHUNK):
        work(CONTENT, content)
        work("f0", f0)
        done(CONTENT)
    for number in range(SECONDS // CHUNK):
        if number >= HEARD // CHUNK:
            work(CONTENT, content)
            work("f0", f0)
        work(RENDER, render)
        done(RENDER)
    shares = [found for _, found in seen]
    assert shares[0] > 0 and shares == sorted(shares) and shares[-1] == pytest.approx(1)
    assert max(abs(found - time / now[0]) for time, found in seen) < reach
