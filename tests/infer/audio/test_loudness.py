from pathlib import Path

import numpy as np
import pytest

from infer.audio.loudness import LoudnessMatcher, is_noise, limit, match_loudness, no_louder
from infer.audio.reader import load
from tests.golden.arrays import read_golden


def speech_like(seconds: float, sample_rate: int, seed: int) -> np.ndarray:
    """Noise whose loudness wanders over 30 dB within seconds."""
    rng = np.random.default_rng(seed)
    size = round(seconds * sample_rate)
    knots = np.interp(
        np.linspace(0, seconds, size),
        np.arange(int(seconds) + 2),
        rng.uniform(-30, 0, int(seconds) + 2),
    )
    return (rng.normal(0, 0.2, size) * 10 ** (knots / 20)).astype(np.float32)


def test_nothing_reaches_full_scale_however_loud_it_is() -> None:
    loud = np.linspace(-4, 4, 8001, dtype=np.float32)
    made = limit(loud)
    assert np.abs(np.rint(made * 32767)).max() < 32767 and (np.diff(made) >= 0).all()
    assert np.array_equal(made[np.abs(loud) < 0.9], loud[np.abs(loud) < 0.9])


def in_blocks(matcher: LoudnessMatcher, source: np.ndarray, output: np.ndarray) -> np.ndarray:
    parts = []
    count = 23
    for i in range(count):
        parts.append(
            matcher.push(
                source[len(source) * i // count : len(source) * (i + 1) // count],
                output[len(output) * i // count : len(output) * (i + 1) // count],
            )
        )
    return np.concatenate([*parts, matcher.flush()])


@pytest.mark.parametrize(("rate", "name"), [(0.0, "mixed_rate0"), (0.25, "mixed_rate025")])
def test_the_loudness_of_a_whole_signal_equals_the_reference(rate: float, name: str) -> None:
    inputs = read_golden("rms_mix_inputs")
    expected = read_golden("rms_mix_outputs")[name]
    mixed = match_loudness(inputs["source"], inputs["output"], 16000, 32000, rate)
    assert mixed.dtype == np.float32
    assert np.abs(mixed - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_a_stream_of_known_length_is_matched_as_the_whole(rate: float) -> None:
    source, output = speech_like(20.3, 16000, 0), speech_like(20.3, 40000, 1)
    matcher = LoudnessMatcher(16000, 40000, rate, lengths=(len(source), len(output)))
    whole = match_loudness(source, output, 16000, 40000, rate)
    assert np.abs(in_blocks(matcher, source, output) - whole).max() < 1e-6 * np.abs(whole).max()


def test_a_stream_of_unknown_length_does_not_depend_on_its_blocks() -> None:
    source, output = speech_like(20.3, 16000, 0), speech_like(20.3, 40000, 1)
    matcher = LoudnessMatcher(16000, 40000, 0.0)
    one_block = np.concatenate([matcher.push(source, output), matcher.flush()])
    blocks = in_blocks(LoudnessMatcher(16000, 40000, 0.0), source, output)
    assert len(blocks) == len(output)
    assert np.abs(blocks - one_block).max() < 1e-6


def test_the_contour_of_the_source_is_taken_over() -> None:
    source = speech_like(30.0, 16000, 2)
    output = speech_like(30.0, 24000, 3)
    matched = in_blocks(LoudnessMatcher(16000, 24000, 0.0), source, output)

    def contour(wav: np.ndarray, sample_rate: int) -> np.ndarray:
        return 10 * np.log10(np.square(wav).reshape(-1, sample_rate).mean(axis=1))

    before = np.abs(contour(output, 24000) - contour(source, 16000)).mean()
    after = np.abs(contour(matched, 24000) - contour(source, 16000)).mean()
    assert before > 5
    assert after < 1.5  # dB; the contour is a second wide


def test_rate_one_changes_nothing_and_holds_nothing_back() -> None:
    output = speech_like(1.0, 24000, 0)
    matcher = LoudnessMatcher(16000, 24000, 1.0)
    assert matcher.push(speech_like(1.0, 16000, 1), output) is output
    assert len(matcher.flush()) == 0


def test_about_a_second_is_held_back() -> None:
    matcher = LoudnessMatcher(16000, 24000, 0.0)
    ready = len(matcher.push(speech_like(10.0, 16000, 0), speech_like(10.0, 24000, 1)))
    assert 8.4 <= ready / 24000 <= 10


def test_silence_stays_finite() -> None:
    silence, sound = np.zeros(16000, np.float32), speech_like(1.0, 16000, 0)
    assert not match_loudness(silence, sound, 16000, 16000, 0.0).any()
    assert not match_loudness(sound, silence, 16000, 16000, 0.0).any()


def test_true_places_and_rvcs_differ_by_less_than_a_decibel_on_speech(root: Path) -> None:
    source = load(root / "assets/examples/english.flac", 16000)[0]
    output = (np.tanh(6 * source) / 6).astype(np.float32)  # flatter, as conversions are
    matcher = LoudnessMatcher(16000, 16000, 0.0)
    true = np.concatenate([matcher.push(source, output), matcher.flush()])
    stretched = match_loudness(source, output, 16000, 16000, 0.0)
    loud = np.abs(output) > 0.01
    differences = np.abs(20 * np.log10(np.abs(true[loud]) / np.abs(stretched[loud])))
    assert 0 < np.median(differences) < 0.3
    assert differences.max() < 1.0


def hiss(tilt: float, seconds: float = 3.0) -> np.ndarray:
    """Noise of -60 dB at 16 kHz whose power falls with frequency by that exponent."""
    size = round(seconds * 16000)
    spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal(size))
    spectrum *= np.maximum(np.fft.rfftfreq(size, 1 / 16000), 50) ** (-tilt / 2)
    audio = np.fft.irfft(spectrum, size)
    return (1e-3 * audio / audio.std()).astype(np.float32)


@pytest.mark.parametrize("tilt", [0, 1, 2])
def test_noise_is_known_by_its_steadiness(tilt: float) -> None:
    audio = hiss(tilt)
    unvoiced = np.zeros(300, np.float32)
    assert is_noise(audio, unvoiced) and is_noise(audio, None)
    assert not is_noise(audio, unvoiced + 100)  # a held note
    assert not is_noise(audio[:100], unvoiced)  # too short to tell
    word = audio.copy()
    word[16000:17000] *= 30
    assert not is_noise(word, unvoiced)


def test_what_is_louder_than_its_source_is_brought_down_to_it() -> None:
    quiet, loud = hiss(0), 20 * hiss(1)
    assert rms(no_louder(loud, quiet)) == pytest.approx(rms(quiet), rel=1e-4)
    assert np.array_equal(no_louder(quiet, loud), quiet)
    assert not no_louder(loud, np.zeros(100, np.float32)).any()


def rms(audio: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(audio, dtype=np.float64))))
