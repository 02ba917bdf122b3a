"""Altered recordings are altered as their kind says, and keep their names and lengths."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from infer.f0 import load_f0_method
from tools.research.alter_sources import KINDS, AlterSourcesOptions, alter_sources, main


@pytest.fixture
def sources(english: Path, tmp_path: Path) -> Path:
    """One clip of 3 s of one speaker."""
    speech, rate = soundfile.read(english)
    path = tmp_path / "sources" / "ed" / "a.wav"
    path.parent.mkdir(parents=True)
    soundfile.write(path, speech[: 3 * rate], rate)
    return tmp_path / "sources"


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_does_what_it_says(kind: str, sources: Path, tmp_path: Path) -> None:
    output = tmp_path / "made"
    assert alter_sources(AlterSourcesOptions(sources=sources, output=output, kind=kind)) == 1
    before, rate = soundfile.read(sources / "ed" / "a.wav")
    after, new_rate = soundfile.read(output / "ed" / "a.flac")
    assert len(after) / new_rate == pytest.approx(len(before) / rate, abs=0.01)
    assert new_rate == (8000 if kind == "phone" else rate)
    loudness = 10 * np.log10(np.mean(after**2) / np.mean(before**2))
    full = np.mean(np.abs(after) > 0.99 * np.abs(after).max())
    assert (loudness == pytest.approx(-40, abs=0.1)) == (kind == "quiet")
    assert (full > 0.02) == (kind == "clipped")
    if kind.startswith("noise"):
        gain = after @ before / (before @ before)
        ratio = np.sum((gain * before) ** 2) / np.sum((after - gain * before) ** 2)
        assert 10 * np.log10(ratio) == pytest.approx(float(kind[6:]), abs=0.5)
    if kind == "whisper":
        f0 = load_f0_method("pm")(after.astype(np.float32))
        assert np.mean(f0 > 0) < 0.05 < np.mean(load_f0_method("pm")(before.astype("f4")) > 0)


def test_the_recordings_themselves_are_never_overwritten(
    sources: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["--sources", str(sources), "--output", str(sources), "--kind", "quiet"]
    assert main(argv) == 1
    assert capsys.readouterr().err.startswith("error: --output is the folder of the recordings")
    assert [path.name for path in (sources / "ed").iterdir()] == ["a.wav"]
