from __future__ import annotations

import numpy as np
import pytest

from infer.f0 import SAMPLE_RATE
from tools.live.engine import OVERLOAD_BLOCKS, Engine

BLOCK = 1600  # 0.1 s
FRAME = 320


class Slow:
    """A converter that takes a given share of real time, on a clock of its own."""

    sample_rate = SAMPLE_RATE
    spare = np.zeros(1, np.float32)

    def __init__(self) -> None:
        self.now, self.share, self.heard = 0.0, 0.1, []

    def push(self, audio: np.ndarray) -> np.ndarray:
        self.now += self.share * len(audio) / SAMPLE_RATE
        self.heard.append(audio)
        return audio


@pytest.fixture
def slow() -> Slow:
    return Slow()


def speak(engine: Engine, slow: Slow, seconds: float, start: float = 0.0) -> list[tuple]:
    """Feed a counting signal in real time; gives (when it came out, its moment, first sample)."""
    out = []
    first = round(start * SAMPLE_RATE)
    for place in range(first, first + round(seconds * SAMPLE_RATE), FRAME):
        spoken = (place + FRAME) / SAMPLE_RATE
        while engine.is_ready and slow.now < spoken:
            part = engine.convert()
            out.append((slow.now, part.seconds, float(part.audio[0])))
        slow.now = max(slow.now, spoken)
        engine.feed(np.arange(place, place + FRAME, dtype=np.float32), place / SAMPLE_RATE)
    return out


def test_what_comes_out_carries_its_moment(slow):
    out = speak(Engine(slow, BLOCK, 0.05, lambda: slow.now), slow, 2)
    assert len(out) >= 18
    for _, moment, first in out:
        assert moment == pytest.approx(first / SAMPLE_RATE - 0.05)


def test_a_stall_of_a_second_is_skipped_and_latency_is_as_before(slow):
    engine = Engine(slow, BLOCK, 0.0, lambda: slow.now)
    before = speak(engine, slow, 2)
    slow.now += 1.0  # the process was not allowed to run
    after = speak(engine, slow, 3, start=2)
    lag = [when - moment for when, moment, _ in after]
    assert engine.skipped > 0.3
    assert lag[-1] == pytest.approx(before[-1][0] - before[-1][1], abs=0.05)
    assert max(lag) < 1.5


def test_a_converter_that_is_too_slow_never_builds_a_queue_and_says_so(slow):
    slow.share = 2.0
    engine = Engine(slow, BLOCK, 0.0, lambda: slow.now)
    out = speak(engine, slow, 20)
    assert max(when - moment for when, moment, _ in out) < 1.0
    assert engine.report().is_overloaded
    assert engine.report().load == pytest.approx(2.0)
    assert engine.skipped > 5


def test_one_slow_block_is_no_overload(slow):
    engine = Engine(slow, BLOCK, 0.0, lambda: slow.now)
    slow.share = 1.5
    speak(engine, slow, 0.3)
    slow.share = 0.2
    speak(engine, slow, 2, start=0.3)
    assert OVERLOAD_BLOCKS > 3 and not engine.report().is_overloaded


def test_bypassed_sound_is_the_input_itself(slow):
    engine = Engine(slow, BLOCK, 0.2, lambda: slow.now)
    engine.is_bypassed = True
    audio = np.random.default_rng(0).normal(0, 0.1, BLOCK).astype(np.float32)
    engine.feed(audio, 1.0)
    part = engine.convert()
    assert part.seconds == 1.0 and np.array_equal(part.audio, audio)
