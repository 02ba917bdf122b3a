"""What a recording sounds like, measured on tones of known pitch and level and on real speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from infer.f0 import load_f0_method
from tools.convert.listen import PLOT_POINTS, listen, match_loudness_of
from tools.web.tabs.convert_settings import SettingsPanel


def tone(seconds: float, hertz: float, rate: int, level: float = 1.0) -> np.ndarray:
    """A voice-like tone: five harmonics."""
    time = np.arange(round(seconds * rate)) / rate
    parts = [np.sin(2 * np.pi * hertz * number * time) / number for number in range(1, 6)]
    return (level * np.sum(parts, 0) / 2.5).astype(np.float32)


def test_a_glide_is_heard_at_its_pitch_and_place(tmp_path: Path) -> None:
    quiet, rate = np.zeros(16000, np.float32), 16000
    parts = [quiet, tone(2, 150, rate, 0.5), quiet, tone(1, 300, rate, 0.5)]
    soundfile.write(tmp_path / "音 1.wav", np.concatenate(parts), rate)
    heard = listen(tmp_path / "音 1.wav", load_f0_method("pm"))
    assert heard["seconds"] == pytest.approx(5.0)
    assert heard["f0_median"] == pytest.approx(150, abs=1)
    at = {second: heard["f0"][round(second / heard["f0_step"])] for second in (0.5, 2, 3.5, 4.5)}
    assert at == {0.5: 0.0, 2: pytest.approx(150, abs=2), 3.5: 0.0, 4.5: pytest.approx(300, abs=3)}


def test_the_page_says_when_a_recording_leaves_the_voices_range(
    tmp_path: Path,
) -> None:
    low, high = tone(2, 150, 16000, 0.5), tone(1, 300, 16000, 0.5)
    soundfile.write(tmp_path / "octave.wav", np.concatenate([low, high]), 16000)
    heard = listen(tmp_path / "octave.wav", load_f0_method("pm"))
    assert heard["f0_range"] == [pytest.approx(150, abs=2), pytest.approx(300, abs=3)]
    panel, said = SettingsPanel.__new__(SettingsPanel), []
    for pair in ([100.0, 300.0], [140.0, 180.0]):
        facts = {"f0_median": {"0": 160.0}, "f0_range": {"0": pair}}
        said.append(panel.fit_pitch(facts, heard, 0, "speech")[0])
    assert "strained" not in said[0] and "140–180 Hz and may sound strained" in said[1]


def test_a_long_recording_gives_few_points_and_its_first_minute(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.flac", tone(90, 220, 16000, 0.5), 16000)
    heard = listen(tmp_path / "long.flac", load_f0_method("pm"))
    assert heard["seconds"] == pytest.approx(90)
    assert PLOT_POINTS / 2 < len(heard["f0"]) <= PLOT_POINTS
    assert len(heard["f0"]) * heard["f0_step"] == pytest.approx(60, abs=0.1)
    assert np.median(heard["f0"]) == pytest.approx(220, abs=1)


def test_copies_of_a_loud_and_a_quiet_recording_are_equally_loud(
    english: Path, tmp_path: Path
) -> None:
    speech, rate = soundfile.read(english, dtype="float32")
    quiet, loud = tmp_path / "quiet.wav", tmp_path / "loud.wav"
    soundfile.write(quiet, speech * 0.1, rate)
    soundfile.write(loud, np.resize(speech, 3 * rate), rate)
    targets = [tmp_path / "a.wav", tmp_path / "b.wav"]
    changes = match_loudness_of([quiet, loud], targets)
    assert changes[0] == 0 and changes[1] < -15
    levels = [listen(path, load_f0_method("pm"))["loudness_db"] for path in targets]
    assert levels[0] == pytest.approx(levels[1], abs=0.2)


def test_a_noisy_recording_is_measured_and_the_page_offers_to_take_the_noise_out(
    english: Path, tmp_path: Path
) -> None:
    speech, rate = soundfile.read(english)
    noise = np.random.default_rng(0).normal(0, speech.std() * 10 ** (-10 / 20), len(speech))
    soundfile.write(tmp_path / "noisy.wav", 0.5 * (speech + noise), rate)
    method, panel = load_f0_method("pm"), SettingsPanel.__new__(SettingsPanel)
    clean, noisy = (listen(path, method) for path in (english, tmp_path / "noisy.wav"))
    assert noisy["snr"] == pytest.approx(10, abs=3) and clean["snr"] > 25
    facts = {"f0_median": {"0": 190.0}, "f0_range": {}}
    said = [panel.fit_pitch(facts, heard, 0, "speech")[0] for heard in (clean, noisy)]
    assert "noise" not in said[0] and "Take noise out first" in said[1]
