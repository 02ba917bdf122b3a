"""The page of samples plays every source and every conversion, and is written whole or not."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pytest
import soundfile

from infer.voice.checkpoint import load_voice_model, save_voice_model
from tools.research import samples as module
from tools.research.samples import SamplesOptions, main, samples


@pytest.fixture
def options(untrained_voice: Path, english: Path, tmp_path: Path) -> SamplesOptions:
    """One voice with a recording of its own, one source of two seconds with an awkward name."""
    speech, rate = soundfile.read(english)
    for path in ("sources/a & b.flac", f"targets/{untrained_voice.stem}.flac"):
        (tmp_path / path).parent.mkdir()
        soundfile.write(tmp_path / path, speech[: 2 * rate], rate)
    return SamplesOptions(
        voices=untrained_voice,
        sources=tmp_path / "sources",
        targets=tmp_path / "targets",
        output=tmp_path / "page",
    )


def test_every_player_has_its_file(options: SamplesOptions) -> None:
    page = samples(options)
    text = page.read_text(encoding="utf-8")
    played = re.findall(r'<audio [^>]*src="([^"]+)"', text)
    voice = options.voices.stem
    assert played == [f"{voice}-target.mp3", "a%20%26%20b.mp3", f"a%20%26%20b-{voice}.mp3"]
    for file in played:
        info = soundfile.info(page.parent / unquote(file))
        assert info.duration == pytest.approx(2.0, abs=0.15)
    assert "NOTICE.md" in text and "<script" not in text


def test_voices_of_several_bases_stand_side_by_side(
    options: SamplesOptions, tmp_path: Path
) -> None:
    voices = tmp_path / "voices"
    voices.mkdir()
    model = load_voice_model(options.voices)
    for steps in (10000, 900):
        told = replace(model, info=f"{steps} steps")
        save_voice_model(voices / f"base-{steps}.pth", told)
    target = tmp_path / "targets" / f"{options.voices.stem}.flac"
    page = samples(replace(options, voices=voices, targets=target))
    text = page.read_text(encoding="utf-8")
    heads = re.findall(r"<th>(base-\d+)<br><small>(\d+ steps)", text)
    assert heads == [("base-900", "900 steps"), ("base-10000", "10000 steps")]
    made = [path.name for path in sorted(page.parent.glob("a & b-*.mp3"))]
    assert made == ["a & b-base-10000.mp3", "a & b-base-900.mp3"]


def test_a_page_that_is_too_large_is_not_written(
    options: SamplesOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 10_000)
    with pytest.raises(ValueError, match=r"at most 0\.01 are allowed"):
        samples(options)
    assert not options.output.exists()


def test_a_folder_without_voices_is_one_line(
    options: SamplesOptions, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(tmp_path / "targets")
    assert main(["--voices", str(tmp_path), "--output", str(tmp_path / "page")]) == 1
    assert capsys.readouterr().err.startswith(f"error: {tmp_path} holds no voice file")
