from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from infer.audio.resampling import resample
from infer.f0 import SAMPLE_RATE
from tools.research import build_base_corpus as corpus
from tools.research import vary_base_corpus as variation

RANGE = (120.0, 700.0)  # Hz of the singer


@pytest.fixture(scope="module")
def speech(english: Path) -> variation.Voice:
    return variation.analyse(*soundfile.read(english, dtype="float32"))


def made(kind: str, speech: variation.Voice, number: int = 0) -> variation.Voice:
    return variation.KINDS[kind](speech, RANGE, number, np.random.default_rng(number))


def heard_f0(voice: variation.Voice) -> np.ndarray:
    """f0 of the sound of a voice, at the voice's own frames."""
    audio = variation.synthesise(voice).astype(np.float32)
    f0 = variation.f0_method()(resample(audio, voice.sample_rate, SAMPLE_RATE))
    return np.repeat(f0, 2)[: len(voice.f0)]


def spectrum(audio: np.ndarray, rate: int, f0: np.ndarray) -> np.ndarray:
    """Mean envelope of the voiced frames of a sound, dB."""
    import pyworld

    seconds = np.arange(len(f0)) * variation.FRAME_SECONDS
    envelope = pyworld.cheaptrick(audio.astype(np.float64), f0, seconds, rate)
    return 10 * np.log10(envelope[f0 > 0] + 1e-12).mean(axis=0)


@pytest.mark.parametrize("number", range(variation.BANDS))
def test_a_sung_clip_has_the_melody_that_was_asked_for(speech, number):
    sung = made("sung", speech, number)
    wanted, heard = sung.f0, heard_f0(sung)
    both = (wanted[: len(heard)] > 0) & (heard > 0)
    cents = 1200 * np.log2(heard[both] / wanted[: len(heard)][both])
    assert both.sum() > 0.9 * (wanted > 0).sum()
    assert np.mean(np.abs(cents) > 50) < 0.05
    assert RANGE[0] - 1 < wanted[wanted > 0].min() and wanted.max() < RANGE[1] + 1
    assert len(wanted) > 1.5 * len(speech.f0)  # notes are longer than syllables


def test_clips_take_turns_from_low_to_high(speech):
    medians = [np.median(f0[f0 > 0]) for f0 in (made("sung", speech, i).f0 for i in (0, 3, 4))]
    assert medians[0] < medians[1] > medians[2]


def test_long_notes_have_vibrato_and_some_glide_over_an_octave():
    notes = [(start, start + 400) for start in range(0, 8000, 400)]  # of 2 s
    pitch = variation.melody(8000, notes, (-12.0, 24.0), 6.0, np.random.default_rng(1))
    inside = np.stack([pitch[start + 150 : end - 60] for start, end in notes])
    widths = np.ptp(inside, axis=1)
    assert (widths > 9).any() and (widths < 1.6).any()
    assert np.abs(np.diff(pitch)).max() < 1.0  # notes change by glides: no step in 5 ms
    steady = inside[widths < 1.6]
    power = np.abs(np.fft.rfft(steady - steady.mean(axis=1, keepdims=True), 4000)) ** 2
    hz = np.fft.rfftfreq(4000, variation.FRAME_SECONDS)
    peaks = hz[4 * 10 :][power[:, 4 * 10 :].argmax(axis=1)]  # above 2 Hz: drift is slower
    assert np.mean((peaks > 4.5) & (peaks < 7.0)) > 0.5


def test_high_notes_are_about_as_loud_as_low_ones(speech):
    def level(f0: float, change: Callable[[variation.Voice], variation.Voice]) -> float:
        sung = variation.replace(speech, f0=np.where(speech.f0 > 0, f0, 0.0))
        return 10 * np.log10(np.mean(variation.synthesise(change(sung)) ** 2))

    plain = level(150.0, lambda voice: voice) - level(800.0, lambda voice: voice)
    kept = level(150.0, variation.keep_power) - level(800.0, variation.keep_power)
    assert abs(kept) < 3.5 < abs(plain) - 1, (kept, plain)


def test_a_whisper_has_no_pitch_and_its_vowels_are_quieter(speech):
    whispered = made("whisper", speech)
    assert np.mean(heard_f0(whispered) > 0) < 0.05 < np.mean(heard_f0(speech) > 0)
    quieter = variation.power(whispered) - variation.power(speech)
    far = variation.voicing(speech) < 1e-6
    assert quieter[speech.f0 > 0].mean() < -8 and np.abs(quieter[far]).max() < 1e-6


def test_a_shout_is_higher_and_flatter(speech):
    loud = made("shout", speech)
    before, after = heard_f0(speech), heard_f0(loud)
    ratio = np.median(after[after > 0]) / np.median(before[before > 0])
    assert 1.25 < ratio < 1.85
    high = speech.hz > 2000

    def tilt(voice: variation.Voice) -> float:
        levels = 10 * np.log10(voice.envelope[voice.f0 > 0].mean(axis=0))
        return levels[high & (voice.hz < 5000)].mean() - levels[voice.hz < 1000].mean()

    assert 4 < tilt(loud) - tilt(speech) < 16

    def spread(voice: variation.Voice) -> float:
        return variation.power(voice)[voice.f0 > 0].std()

    assert spread(loud) < 0.8 * spread(speech)


@pytest.mark.parametrize("number", (0, 3))
def test_wide_speech_changes_the_pitch_and_keeps_the_formants(speech, number):
    wide = made("wide", speech, number)
    ratio = np.median(wide.f0[wide.f0 > 0]) / np.median(speech.f0[speech.f0 > 0])
    assert 0.7 <= ratio < 0.9 if number == 0 else 1.25 < ratio <= 1.6
    rate = speech.sample_rate
    original = spectrum(variation.synthesise(speech), rate, speech.f0)
    changed = spectrum(variation.synthesise(wide), rate, wide.f0)
    below = speech.hz < 4000
    moved = np.interp(speech.hz / ratio, speech.hz, original)  # formants that went with the pitch
    kept = np.corrcoef(original[below], changed[below])[0, 1]
    assert kept > 0.97
    assert 1 - kept < 0.2 * (1 - np.corrcoef(moved[below], changed[below])[0, 1])


def test_a_deep_voice_is_not_made_deeper_than_f0_methods_hear(speech):
    median = np.median(speech.f0[speech.f0 > 0])
    deep = variation.replace(speech, f0=speech.f0 * 80 / median)
    wide = made("wide", deep).f0
    assert np.median(wide[wide > 0]) == pytest.approx(variation.LOWEST_SPEECH, abs=1)


def test_the_first_formant_moves_and_the_upper_ones_stay(speech):
    peaks = np.exp(-0.5 * ((speech.hz - 600) / 60) ** 2)
    peaks += np.exp(-0.5 * ((speech.hz - 3500) / 60) ** 2) + 1e-6
    voice = variation.replace(speech, envelope=np.tile(peaks, (len(speech.f0), 1)))
    shifted = variation.shift_first_formant(voice, np.full(len(voice.f0), 1.2)).envelope[0]
    assert speech.hz[shifted[speech.hz < 2000].argmax()] == pytest.approx(720, abs=20)
    upper = speech.hz > 3000
    assert np.allclose(shifted[upper], peaks[upper])


@pytest.fixture
def source(tmp_path, english, monkeypatch) -> Path:
    """A corpus of one singer, with two seconds of speech of his, and of others."""
    monkeypatch.setattr(variation, "SINGERS", {"joe": RANGE})
    folder = tmp_path / "synth"
    audio, rate = soundfile.read(english, dtype="float32")
    rows = {}
    for name, split in (("joe/0000_en.flac", "synth"), ("joe/9.flac", "dev"), ("ann/0.flac", "")):
        corpus.write(folder / name, audio[: 2 * rate], rate)
        speaker = name.split("/")[0]
        rows[name] = (name, speaker, str(rate), "2.000", f"text {name}", "pack", "CC0-1.0", split)
    corpus.write_manifest(folder, rows)
    return folder


def test_every_kind_is_written_once_with_the_facts_of_its_recording(source, tmp_path, monkeypatch):
    output = tmp_path / "extra"
    options = variation.VaryBaseCorpusOptions(source=source, output=output, minutes=0.02)
    variation.vary_base_corpus(options)
    rows = corpus.read_manifest(output)
    assert {name for name in rows} == {f"joe/0000_{kind}.flac" for kind in variation.KINDS}
    for name, row in rows.items():
        audio, rate = soundfile.read(output / name)
        assert row[1:3] == ("joe", str(rate)) and float(row[3]) == pytest.approx(
            len(audio) / rate, abs=1e-3
        )
        assert row[4:] == ("text joe/0000_en.flac", "pack", "CC0-1.0", "synth")
        assert np.abs(audio).max() == pytest.approx(corpus.PEAK, abs=0.01)
    whisper = (output / "joe/0000_whisper.flac").read_bytes()
    (output / "joe/0000_whisper.flac").unlink()
    kept = {path: path.stat().st_mtime_ns for path in output.glob("joe/*.flac")}
    variation.vary_base_corpus(options)
    assert (output / "joe/0000_whisper.flac").read_bytes() == whisper
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    assert corpus.read_manifest(output) == rows


def test_errors_name_the_speakers_and_the_way_out(source, tmp_path):
    def options(folder: Path, only: str) -> variation.VaryBaseCorpusOptions:
        return variation.VaryBaseCorpusOptions(source=folder, output=tmp_path / "x", only=only)

    with pytest.raises(ValueError, match="no speaker starts with 'ann'; there are: joe"):
        variation.vary_base_corpus(options(source, "ann"))
    with pytest.raises(ValueError, match="no recordings of joe; run python -m tools.research"):
        variation.vary_base_corpus(options(tmp_path / "nothing", ""))
