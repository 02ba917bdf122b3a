"""The harder bench makes its clips once, the same every time, and counts words with an interval."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tools.research import hard_bench as module
from tools.research.hard_bench import CLEAN, LISTENERS, HardBenchOptions, build, hard_bench


@pytest.fixture
def options(english: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HardBenchOptions:
    """Two clips of one recording: two pieces, a part; and one of a wheel."""
    speech, rate = soundfile.read(english)
    (tmp_path / "corpus" / "ed").mkdir(parents=True)
    soundfile.write(tmp_path / "corpus" / "ed" / "a.flac", speech[: 3 * rate], rate)
    sentences = {
        "two": [["ed/a.flac", "one two"], ["ed/a.flac", "three"]],
        "cut": [["ed/a.flac", "four", 0.5, 2.5]],
        "play": [["play.wav", "five"]],
    }
    (tmp_path / "sentences.json").write_text(json.dumps(sentences))
    monkeypatch.setattr(module, "SENTENCES", tmp_path / "sentences.json")
    return HardBenchOptions(
        corpus=tmp_path / "corpus", folder=tmp_path / "bench", voices="", kinds="clean,noise-10"
    )


def test_clips_are_joined_cut_and_altered_the_same_every_time(options: HardBenchOptions) -> None:
    assert build(options) == {"two": "one two three", "cut": "four"}  # no wheel, no play
    clean = {
        name: soundfile.info(options.folder / CLEAN / f"{name}.flac") for name in ("two", "cut")
    }
    assert clean["two"].duration == pytest.approx(2 * (3 + module.PAUSE), abs=0.01)
    assert clean["cut"].duration == pytest.approx(2 + module.PAUSE, abs=0.01)
    noisy = options.folder / "noise-10" / "cut.flac"
    before = noisy.read_bytes()
    noisy.unlink()
    build(options)
    assert noisy.read_bytes() == before


def test_words_are_counted_in_the_sources_too(
    options: HardBenchOptions, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Deaf:
        """Hears the first word of the first clip alone."""

        def __init__(self, memory: Path, names: list[str]) -> None:
            assert set(LISTENERS) < set(names)

        def ask(self, name: str, recording: object) -> str | float:
            heard = "one" if recording.path.stem == "two" else ""
            return heard if name in LISTENERS else 3.0

        def save(self) -> None: ...

    monkeypatch.setattr(module, "Jury", Deaf)
    monkeypatch.setattr(module, "runs", lambda options: [module.Run(CLEAN)])
    rows = hard_bench(options)["clean: sources"]
    assert [(row["words"], row["strict"], row["long"]) for row in rows] == [(3, 2, 2), (1, 1, 1)]
    assert "| clean: sources | 0.750 (0.667..1.000) | 0.750 (0.667..1.000) |" in (
        capsys.readouterr().out
    )


def test_an_interval_grows_with_what_the_clips_differ() -> None:
    def rows(errors: np.ndarray) -> list[dict[str, float]]:
        return [{"words": 10.0, "strict": float(count)} for count in errors]

    assert module._rate(rows(np.full(20, 2)), "strict") == "0.200 (0.200..0.200)"
    low, high = module._rate(rows(np.arange(20) % 5), "strict")[7:-1].split("..")
    assert 0.1 < float(low) < 0.2 < float(high) < 0.3
