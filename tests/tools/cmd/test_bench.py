"""What bench prints is measured on real conversions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tools.cmd.bench import BenchOptions, bench


def figures(printed: str) -> dict[str, float]:
    """The numbers of bench's table by what stands before them."""
    rows = (
        re.fullmatch(r"(.+?)\s{2,}([\d.]+)( [\w%]+)?( +limit .+)? *", line)
        for line in printed.splitlines()
    )
    return {row[1]: float(row[2]) for row in rows if row}


def test_stages_add_up_to_the_whole(
    untrained_voice: Path, english: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench(BenchOptions(voice=untrained_voice, speech=english, long_minutes=0.0))
    table = figures(capsys.readouterr().out)
    stages = [value for name, value in table.items() if name.endswith(", x real time")]
    assert len(stages) >= 5
    assert 0 < max(stages) < sum(stages) <= table["all, 60 s clip, no index"] * 1.01
    assert table["start to file, 5 s clip"] > 0.1  # a process was started


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length(
    untrained_voice: Path, english: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench(BenchOptions(voice=untrained_voice, speech=english, long_minutes=10.0))
    table = figures(capsys.readouterr().out)
    assert 100 < table["peak memory, 1 min"] < 2000
    assert table["difference"] <= 15
