"""What bench prints is measured on real conversions."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tools.research import bench as module
from tools.research.bench import BenchOptions, bench


def figures(printed: str) -> dict[str, float]:
    """The numbers of bench's table by what stands before them."""
    rows = (
        re.fullmatch(r"(.+?)\s{2,}([\d.]+)( [\w%/]+)?( +limit .+)? *", line)
        for line in printed.splitlines()
    )
    return {row[1]: float(row[2]) for row in rows if row}


@pytest.mark.slow
def test_stages_add_up_to_the_whole(
    untrained_voice: Path, english: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench(BenchOptions(voice=untrained_voice, speech=english, long_minutes=0.0))
    printed = capsys.readouterr().out
    assert re.search(r"^torch, threads +[\d.]+\S*, \d+", printed, re.MULTILINE)
    assert re.search(r"^lite's matrix products +(bfloat16|float32) *$", printed, re.MULTILINE)
    table = figures(printed)
    stages = [value for name, value in table.items() if name.endswith(", x real time")]
    assert len(stages) >= 5
    assert 0 < max(stages) < sum(stages) <= table["all, 60 s clip, no index"] * 1.01
    assert table["start to file, 5 s clip"] > 0.1  # a process was started


@pytest.mark.slow
def test_conversions_beside_busy_processes_are_set_against_idle_ones(
    untrained_voice: Path, english: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench(BenchOptions(voice=untrained_voice, speech=english, beside=1, runs=1))
    table = figures(capsys.readouterr().out)
    for way in ("giving way", "spinning"):
        assert table[f"beside 1 busy, {way}"] > 0 < table[f"beside 0 busy, {way}"]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length(
    untrained_voice: Path, english: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench(BenchOptions(voice=untrained_voice, speech=english, long_minutes=10.0))
    printed = capsys.readouterr().out
    table = figures(printed)
    assert 100 < table["peak memory, 1 min"] < 2000
    low, high = map(int, re.search(r"its 3 runs +(\d+)\.\.(\d+) MiB", printed).groups())
    assert low <= table["peak memory, 10 min"] <= high or low <= table["peak memory, 1 min"] <= high
    assert table["peak memory, 10 min"] < 1.25 * table["peak memory, 1 min"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="memory is not measured there")
def test_the_standard_synthesizer_is_set_against_its_own_products(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "STANDARD_SECONDS", 1)
    monkeypatch.setattr(module, "STANDARD_ROUNDS", 1)
    bench(BenchOptions(standard=True))
    table = figures(capsys.readouterr().out)
    assert table["synthesizer, 1 s of audio"] == pytest.approx(94, abs=3)  # a tenth of 943 GFLOP
    ratio = table["time / time of its products"]
    assert ratio == pytest.approx(table["synthesizer"] * table["matmul"] / 94, rel=0.3)
    assert table["peak memory"] > 150  # its weights alone take that


@pytest.mark.parametrize(
    ("version", "least"), [("lite", 150), pytest.param("v2", 500, marks=pytest.mark.slow)]
)
def test_a_training_step_is_timed(
    version: str, least: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "TRAINING_FRAMES", 40)
    monkeypatch.setattr(module, "TRAINING_STEPS", 1)
    bench(BenchOptions(training=version))
    table = figures(capsys.readouterr().out)
    assert 0 < table["step of 1 clips"] < 600
    assert table["peak memory"] > least
