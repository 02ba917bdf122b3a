"""Every moment of a conversion is counted for one stage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infer.converter import VoiceConverter
from infer.options import ConvertOptions
from infer.stages import Stages


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_stage_inside_another_interrupts_it_and_all_sum_up_to_the_whole() -> None:
    clock = Clock()
    stages = Stages(clock)
    clock.now += 1
    with stages("content"):
        clock.now += 2
        with stages("decode"):
            clock.now += 4
        clock.now += 8
    clock.now += 16
    assert stages.seconds() == {"rest": 17, "content": 10, "decode": 4}


def test_time_until_an_item_comes_is_counted_and_time_between_items_is_not() -> None:
    clock = Clock()

    def blocks() -> Iterator[int]:
        for i in range(3):
            clock.now += 5
            yield i

    stages = Stages(clock)
    for _ in stages.over(blocks(), "decode"):
        clock.now += 1
    assert stages.seconds() == {"rest": 3, "decode": 15}


def test_opening_and_closing_are_counted_and_an_error_inside_still_closes() -> None:
    clock = Clock()
    left: list[str] = []

    @contextmanager
    def file() -> Iterator[str]:
        clock.now += 2
        try:
            yield "open"
        finally:
            clock.now += 3
            left.append("closed")

    stages = Stages(clock)
    with stages.around(file, "write") as opened:
        assert opened == "open"
        clock.now += 7
    assert stages.seconds() == {"rest": 7, "write": 5}
    with pytest.raises(KeyError), stages.around(file, "write"):
        raise KeyError
    assert left == ["closed", "closed"]


def test_the_stages_of_a_conversion_are_named_and_are_the_whole_of_it(
    untrained_voice: Path, english: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Stages] = []

    class Ticking(Stages):
        """Counts looks at the clock, which depend on no machine, instead of seconds."""

        def __init__(self) -> None:
            self.looks = 0
            super().__init__(self.look)
            made.append(self)

        def look(self) -> float:
            self.looks += 1
            return float(self.looks)

    monkeypatch.setattr("infer.converter.Stages", Ticking)
    options = ConvertOptions(voice=untrained_voice, input=english, output=tmp_path / "out.wav")
    seconds = VoiceConverter(untrained_voice, "cpu").convert_file(options).seconds
    assert set(seconds) == {
        "load", "decode", "cut", "content", "filter", "f0", "retrieval", "synthesizer", "loudness",
        "write", "memory", "rest",
    }  # fmt: skip
    assert sum(seconds.values()) == made[0].looks - 1
