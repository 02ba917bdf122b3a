"""The figures of the evaluation, where no judge is needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tools.research import evaluate as module
from tools.research import judges
from tools.research.evaluate import EvaluateOptions, evaluate
from tools.research.judges import count_word_errors, normalize_words
from tools.research.jury import Jury, Recording


def test_word_errors_are_counted_over_normalised_words() -> None:
    said = normalize_words("Please call 21 people, Mr. Smith!")
    assert said == "please call twenty one people mister smith".split()
    heard = normalize_words("please call twenty people mister smith now")
    assert count_word_errors(said, heard) == 2


def test_the_melody_is_compared_where_both_are_voiced() -> None:
    wanted = np.concatenate([np.linspace(100, 200, 50), np.zeros(20), np.full(30, 150.0)])
    made = wanted.copy()
    made[:5] *= 2  # octave errors
    made[60:70] = 300.0  # voiced where the source is not: not counted here
    figures = module.melody(wanted, made)
    assert figures["f0 gross error"] == pytest.approx(5 / 80)
    assert module.melody(wanted, wanted)["f0 correlation"] == pytest.approx(1.0)


def test_the_error_rate_is_of_all_words_together() -> None:
    rows = [
        {"words": 10.0, "errors source": 0.0, "errors converted": 1.0, "f0 correlation": 1.0},
        {"words": 30.0, "errors source": 4.0, "errors converted": 7.0},
        {"f0 correlation": 1.0},  # a clip whose words nobody knows
    ]
    figures = module._summary(rows)
    assert figures["word error rate converted"] == pytest.approx(8 / 40)
    assert figures["f0 correlation"] == 1.0


def test_the_high_band_is_a_share_of_the_energy(tmp_path: Path) -> None:
    time = np.arange(48000) / 48000
    low, high = np.sin(2 * np.pi * 1000 * time), np.sin(2 * np.pi * 10000 * time)
    soundfile.write(tmp_path / "a.wav", 0.5 * low + 0.05 * high, 48000, subtype="FLOAT")
    figures = module._high_band(tmp_path / "a.wav", 24000)
    assert figures["energy above 8 kHz, dB"] == pytest.approx(-20.0, abs=0.1)
    assert module._high_band(tmp_path / "a.wav", 16000) == {}


def test_every_speaker_of_the_sources_gets_its_share(tmp_path: Path) -> None:
    for speaker, count in (("many", 9), ("few", 2)):
        (tmp_path / speaker).mkdir()
        for number in range(count):
            soundfile.write(tmp_path / speaker / f"{number}.wav", np.zeros(32000), 16000)
    soundfile.write(tmp_path / "few" / "short.wav", np.zeros(8000), 16000)
    chosen = module.choose_clips(tmp_path, 6)
    assert [path.parent.name for path in chosen] == ["few"] * 2 + ["many"] * 4
    assert len(set(chosen)) == 6


class Ear:
    """A judge of voices that hears the first two samples only."""

    def embed(self, audio: np.ndarray) -> np.ndarray:
        return audio[:2] / np.linalg.norm(audio[:2])


def test_closer_to_the_target_than_to_the_clip_may_still_be_nearer_to_its_speaker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judges, "load_judge", lambda name: _only(name, "speaker", Ear()))
    degrees = {"target/a": 0, "source/clip": 90, "source/other": 10, "made/clip": 40}
    recordings = {}
    for name, angle in degrees.items():
        path = tmp_path / f"{name}.wav"
        path.parent.mkdir(exist_ok=True)
        angle = np.deg2rad(angle)
        soundfile.write(path, 0.5 * np.array([np.cos(angle), np.sin(angle)] * 800), 16000)
        recordings[name] = Recording(path)
    figures = module._likeness(
        Jury(),
        [recordings["target/a"]],
        [recordings["source/clip"], recordings["source/other"]],
        recordings["source/clip"],
        recordings["made/clip"],
    )
    assert figures["closer to target than to the source clip"] == 1  # 40 against 50 degrees
    assert figures["closer to target than to the source speaker"] == 0  # 40 against 10
    assert figures["similarity target"] == pytest.approx(np.cos(np.deg2rad(40)), abs=1e-3)


def test_levelled_likeness_hears_neither_loudness_nor_hum(
    english: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = []
    monkeypatch.setattr(judges.TimbreJudge, "__init__", lambda self: None)
    monkeypatch.setattr(judges.SpeakerJudge, "embed", lambda self, audio: heard.append(audio))
    speech = soundfile.read(english, dtype="float32")[0][:64000]
    hum = np.sin(2 * np.pi * 30 / 16000 * np.arange(len(speech))).astype(np.float32)
    for audio in (speech, 0.1 * speech, speech + 0.05 * hum):
        judges.TimbreJudge().embed(audio)
    plain, quiet, humming = (audio[8000:-8000] for audio in heard)
    np.testing.assert_allclose(quiet, plain, atol=1e-5)
    assert np.std(humming - plain) < 0.1 * np.std(plain)
    assert np.std(heard[0]) == pytest.approx(10 ** (-23 / 20), rel=1e-3)


def _only(name: str, wanted: str, judge: object) -> object:
    if name != wanted:
        raise ImportError("not in this test")
    return judge


def test_without_judges_the_melody_is_still_judged_and_the_missing_are_named(
    untrained_voice: Path,
    english: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def missing(judge: str) -> None:
        raise ImportError(f"needs the package of {judge}")

    monkeypatch.setattr(judges, "load_judge", missing)
    speech, rate = soundfile.read(english, dtype="float32")
    for folder in ("sources", "target"):
        (tmp_path / folder).mkdir()
        soundfile.write(tmp_path / folder / "a.flac", speech[: 3 * rate], rate)
    figures = evaluate(
        EvaluateOptions(
            voice=untrained_voice,
            sources=tmp_path / "sources",
            target=tmp_path / "target",
            memory=tmp_path / "judgements.json",
        )
    )
    assert figures["clips"] == 1
    assert np.isfinite(figures["energy above 8 kHz, dB, target real"])
    assert 0 < figures["real-time factor"] < 5
    assert "distillmos converted" not in figures
    assert "without the judge distillmos" in capsys.readouterr().err
