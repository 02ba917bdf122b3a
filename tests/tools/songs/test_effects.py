"""Effects: every sample comes back, blocks of any length give the same, each does its work."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.signal import butter, resample_poly, sosfilt

from tools.songs.effects import (
    Compressor,
    DeEsser,
    Effect,
    Equalizer,
    HighPass,
    Limiter,
    Reverb,
    through,
)

RATE = 44100
RANDOM = np.random.default_rng(0)
EFFECTS: dict[str, Callable[[], Effect]] = {
    "high pass": lambda: HighPass(RATE, 100),
    "equalizer": lambda: Equalizer(RATE, 6, -3, 4),
    "compressor": lambda: Compressor(RATE, 1.0, -20),
    "de-esser": lambda: DeEsser(RATE, 1.0),
    "reverb": lambda: Reverb(RATE, 0.5),
    "limiter": lambda: Limiter(RATE, -1.0),
}


def run(effect: Effect, audio: np.ndarray, size: int = 441_000) -> np.ndarray:
    """Send audio through an effect in blocks."""
    blocks = (audio[start : start + size] for start in range(0, len(audio), size))
    return np.concatenate(list(through([effect], blocks)))


def noise(seconds: float, level: float = 0.1) -> np.ndarray:
    return (level * RANDOM.normal(size=(round(seconds * RATE), 2))).astype(np.float32)


def sine(hz: float, seconds: float, amplitude: float = 0.5) -> np.ndarray:
    wave = amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)
    return np.stack([wave, wave], axis=1).astype(np.float32)


def rms_db(audio: np.ndarray) -> float:
    return float(10 * np.log10(np.square(audio, dtype=np.float64).mean() + 1e-20))


@pytest.mark.parametrize("name", EFFECTS)
def test_as_many_samples_come_back_whatever_the_blocks(name: str) -> None:
    audio = noise(1.2345) * np.float32(8)
    whole = run(EFFECTS[name](), audio)
    pieces = run(EFFECTS[name](), audio, 1009)
    assert whole.shape == pieces.shape == audio.shape
    assert np.abs(whole - pieces).max() < 1e-5


def test_the_limiter_keeps_true_peaks_below_its_ceiling() -> None:
    beats = noise(3, 0.02)
    beats[::4000] = 1.5  # single samples, the worst there is
    quarter = np.sin(np.pi / 2 * np.arange(3 * RATE) + np.pi / 4)[:, None].repeat(2, axis=1)
    music = sosfilt(butter(10, 17000, fs=RATE, output="sos"), noise(3, 0.5), axis=0)
    for audio in (
        beats,
        music.astype(np.float32),
        sine(60, 3, 1.4),
        (1.2 * quarter).astype(np.float32),
    ):
        limited = run(Limiter(RATE, -1.0), audio)
        assert 20 * np.log10(np.abs(limited).max()) < -0.999
        peak = np.abs(resample_poly(limited, 8, 1, axis=0)[1000:-1000]).max()
        assert 20 * np.log10(peak) < -0.8
        assert rms_db(limited) > rms_db(audio) - 9


def test_the_limiter_leaves_what_is_below_alone() -> None:
    audio = noise(2, 0.05)
    assert np.array_equal(run(Limiter(RATE, -1.0), audio), audio)
    audio[RATE // 2] = 1.5
    limited = run(Limiter(RATE, -1.0), audio)
    assert np.array_equal(limited[: RATE // 2 - 1000], audio[: RATE // 2 - 1000])
    assert np.array_equal(limited[-RATE // 2 :], audio[-RATE // 2 :])


def test_the_compressor_brings_loud_and_soft_nearer() -> None:
    audio = np.concatenate([sine(300, 1, 0.5), sine(300, 1, 0.05)])
    evened = run(Compressor(RATE, 1.0, -20), audio)
    before, after = (
        rms_db(each[RATE // 2 : RATE]) - rms_db(each[-RATE // 2 :]) for each in (audio, evened)
    )
    assert before == pytest.approx(20, abs=0.1)
    assert after < 13


def test_the_de_esser_softens_hissing_and_no_vowel() -> None:
    hiss = run(HighPass(RATE, 7000), noise(1))
    vowel = sine(300, 1, 0.3)
    softened = run(DeEsser(RATE, 1.0), np.concatenate([vowel, hiss]))
    assert rms_db(softened[-RATE // 2 :]) < rms_db(hiss[-RATE // 2 :]) - 5
    assert np.abs(softened[: RATE - 100] - vowel[: RATE - 100]).max() < 1e-4


def test_the_high_pass_takes_rumble_and_leaves_the_voice() -> None:
    assert rms_db(run(HighPass(RATE, 120), sine(30, 2))[RATE:]) < rms_db(sine(30, 2)) - 20
    assert abs(rms_db(run(HighPass(RATE, 120), sine(1000, 2))[RATE:]) - rms_db(sine(1, 2))) < 0.1


@pytest.mark.parametrize("rate", [24000, 44100, 48000])
def test_the_equalizer_moves_a_band_and_leaves_the_others(rate: int) -> None:
    heard = {"bass_db": 40, "presence_db": 3000, "air_db": 0.48 * rate}
    for name in heard:
        for db in (-9.0, 6.0):
            effect = Equalizer(rate, **{name: db})
            for other, tone_hz in {**heard, "middle": 700}.items():
                wave = np.sin(2 * np.pi * tone_hz / rate * np.arange(2 * rate))
                tone = np.stack([wave, wave], axis=1).astype(np.float32)
                moved = rms_db(run(effect, tone)[rate:]) - rms_db(tone[rate:])
                expected = db if other == name else 0.0
                assert moved == pytest.approx(expected, abs=1.2), (name, db, other)


def test_the_equalizer_takes_rates_below_its_own_bands() -> None:
    heard = run(Equalizer(5000, 6, 6, 6), noise(2))
    assert -20.5 < rms_db(heard) < -20 + 6.5


def test_the_reverb_rings_on_and_keeps_the_voice_itself() -> None:
    audio = np.zeros((2 * RATE, 2), np.float32)
    audio[1000] = 1.0
    heard = run(Reverb(RATE, 1.0), audio)
    assert heard[1000].tolist() == pytest.approx([1.0, 1.0], abs=1e-3)
    assert np.abs(heard[:1000]).max() < 1e-6
    wet = heard[1001:]
    assert np.square(wet[:, 0]).sum() == pytest.approx(0.5, rel=0.1)
    assert abs(np.corrcoef(wet[: RATE // 2].T)[0, 1]) < 0.2  # each ear its own
    assert rms_db(wet[RATE : RATE + 4000]) < rms_db(wet[2000:6000]) - 25
