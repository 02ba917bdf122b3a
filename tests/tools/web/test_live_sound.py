"""What the page's audio thread plays when parts come early, late, or all at once.

The script runs in a browser, on a clock of the test: no sound card and no waiting. A sample's value
is the moment it is of, so what is heard tells how late it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

BLOCK = 0.12  # seconds in a part
SPARE = 0.04  # seconds behind it
SCALE = 100  # seconds that a sample of 1 stands for
START = 5.0  # moment of the first part

SIMULATE = """([source, parts, seconds, block, spare, scale]) => {
  globalThis.sampleRate = 48000;
  globalThis.currentTime = parts[0].seconds;
  let Live;
  const Processor = class { port = { postMessage() {} }; };
  const register = (_, found) => { Live = found; };
  new Function("AudioWorkletProcessor", "registerProcessor", source)(Processor, register);
  const node = new Live();
  const sound = (from, seconds, isQuiet) => Float32Array.from(
    { length: Math.round(seconds * sampleRate) },
    (_, i) => (isQuiet ? 0 : (from + i / sampleRate) / scale),
  );
  const heard = [];
  const end = currentTime + seconds;
  while (currentTime < end) {
    while (parts.length && parts[0].comes <= currentTime) {
      const { seconds: moment, isQuiet } = parts.shift();
      node.arrive({ seconds: moment, audio: sound(moment, block, isQuiet) });
      const audio = sound(moment + block, spare, isQuiet);
      node.arrive({ seconds: moment + block, audio, isSpare: true });
    }
    const output = new Float32Array(128);
    node.process([[new Float32Array(128)]], [[output]]);
    heard.push([currentTime, node.isPlaying ? node.delay : null, output[0] * scale]);
    currentTime += 128 / sampleRate;
  }
  return { heard, gaps: node.gaps, bridged: node.bridged };
}"""


@dataclass(frozen=True)
class Heard:
    """(time, delay or None while nothing plays, moment that is heard) for every quantum."""

    heard: list[tuple[float, float | None, float]]
    gaps: int
    bridged: int

    def delays(self, begin: float, end: float) -> list[float]:
        """What was how late between two moments."""
        return [
            late for time, late, _ in self.heard if late is not None and begin <= time - START < end
        ]


Simulate = Callable[..., Heard]


@pytest.fixture
def simulate(browser: Any, root: Path) -> Simulate:
    """Plays parts that come so many seconds after the moment they begin with."""
    page = browser.new_page()
    source = (root / "tools/web/live/audio.js").read_text(encoding="utf-8")

    def simulate(lateness: list[float], quiet: tuple[int, ...] = ()) -> Heard:
        parts, comes = [], 0.0
        for number, late in enumerate(lateness):
            moment = START + number * BLOCK
            comes = max(comes, moment + late)
            parts.append({"seconds": moment, "comes": comes, "isQuiet": number in quiet})
        seconds = len(lateness) * BLOCK
        arguments = [source, parts, seconds, BLOCK, SPARE, SCALE]
        return Heard(**page.evaluate(SIMULATE, arguments))

    return simulate


def test_what_comes_in_time_waits_hardly_at_all(simulate: Simulate) -> None:
    heard = simulate([0.2] * 100)
    assert (heard.gaps, heard.bridged) == (0, 0)
    assert max(heard.delays(0.3, 12)) < 0.225
    assert max(heard.delays(6, 12)) < 0.22


def test_jitter_is_waited_for_without_a_gap(simulate: Simulate) -> None:
    random = Random(1)
    heard = simulate([0.2, *(0.2 + random.uniform(0, 0.05) for _ in range(400))])
    assert heard.gaps == 0
    assert max(heard.delays(6, 48)) < 0.27


def test_a_late_part_is_bridged_and_nothing_is_heard_of_it(simulate: Simulate) -> None:
    lateness = [0.2] * 100
    lateness[50] = 0.235
    heard = simulate(lateness)
    assert (heard.gaps, heard.bridged) == (0, 1)
    moments = [moment for time, _, moment in heard.heard if 4 < time - START < 11]
    steps = [after - before for before, after in zip(moments, moments[1:], strict=False)]
    assert max(steps) < 0.004 and min(steps) > 0.001  # 128 samples each, nothing left out or twice


def test_a_stall_costs_one_gap_and_the_delay_is_as_before(simulate: Simulate) -> None:
    lateness = [0.2] * 200
    lateness[50] = 0.9  # those that waited behind it come with it
    heard = simulate(lateness)
    assert heard.gaps == 1
    assert max(heard.delays(6, 8)) < 1.0
    assert max(heard.delays(12, 24)) < 0.225


def test_delay_is_made_up_in_a_pause_if_there_is_one_soon(simulate: Simulate) -> None:
    lateness = [0.2] * 200
    lateness[100] = 0.4  # too little to cut speech at once
    pause = range(110, 118)
    heard = simulate(lateness, tuple(pause))
    begin, end = (each * BLOCK for each in (pause[0], pause[-1]))
    assert min(heard.delays(101 * BLOCK + 0.4, begin)) > 0.3
    assert max(heard.delays(end + 0.4, 24)) < 0.225


def test_a_process_that_is_slower_from_now_on_is_followed(simulate: Simulate) -> None:
    heard = simulate([*[0.2] * 80, *[0.35] * 120])
    assert heard.gaps == 1
    assert max(heard.delays(18, 24)) < 0.38
