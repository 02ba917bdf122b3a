"""The pitch shifter: notes move by what was asked, all else stays where it was."""

import numpy as np
import pytest

from tools.songs.pitch import PitchShifter

RATE = 44100


def shift(audio: np.ndarray, semitones: float, size: int = 100_000) -> np.ndarray:
    shifter = PitchShifter(RATE, semitones)
    parts = [shifter.push(audio[start : start + size]) for start in range(0, len(audio), size)]
    return np.concatenate([*parts, shifter.flush()])


def tone(hz: float, seconds: float) -> np.ndarray:
    seconds = np.arange(round(seconds * RATE)) / RATE
    return 0.3 * np.sin(2 * np.pi * hz * seconds)


def peak_hz(audio: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio)), 8 * len(audio)))
    return float(np.argmax(spectrum) * RATE / (8 * len(audio)))


@pytest.mark.parametrize("semitones", [-5, -2, 1, 3, 7])
def test_a_tone_moves_by_exactly_that_and_stays_clean(semitones: float) -> None:
    wave = tone(440, 2)
    moved = shift(np.stack([wave, wave], axis=1), semitones)
    assert moved.shape == (2 * RATE, 2)
    middle = moved[RATE // 2 : -RATE // 2, 0]
    wanted = 440 * 2 ** (semitones / 12)
    assert abs(1200 * np.log2(peak_hz(middle) / wanted)) < 1
    spectrum = np.abs(np.fft.rfft(middle * np.blackman(len(middle)))) ** 2
    hz = np.fft.rfftfreq(len(middle), 1 / RATE)
    beside = spectrum[np.abs(hz - wanted) > 30].sum() / spectrum.sum()
    assert 10 * np.log10(beside) < -40  # dB of everything that is not the tone
    assert abs(20 * np.log10(np.sqrt(np.mean(middle**2)) / (0.3 / np.sqrt(2)))) < 0.5


def test_blocks_of_any_length_give_the_same() -> None:
    audio = np.random.default_rng(0).normal(size=(RATE, 2)) * 0.1
    assert np.abs(shift(audio, 3) - shift(audio, 3, 777)).max() < 1e-5


@pytest.mark.parametrize("semitones", [-4, 4])
def test_an_onset_stays_in_its_place_through_a_long_song(semitones: float) -> None:
    audio = np.zeros((20 * RATE, 2))
    starts = [RATE, 10 * RATE, 19 * RATE]
    burst = np.exp(-np.arange(8000) / 1000) * np.random.default_rng(0).normal(size=8000)
    for start in starts:
        audio[start : start + 8000] += burst[:, None]
    moved = shift(audio, semitones)
    for start in starts:
        around = np.square(moved[start - RATE // 2 : start + RATE // 2, 0])
        source = np.square(audio[start - RATE // 2 : start + RATE // 2, 0])
        centres = [np.average(np.arange(RATE), weights=each) for each in (around, source)]
        assert abs(centres[0] - centres[1]) < 0.01 * RATE


def test_what_is_left_stays_left_and_the_middle_the_middle() -> None:
    left, both = tone(500, 2), tone(900, 2)
    moved = shift(np.stack([left + both, both], axis=1), 2)[RATE // 2 : -RATE // 2]
    spectra = np.abs(np.fft.rfft(moved * np.hanning(len(moved))[:, None], axis=0))
    ratio = 2 ** (2 / 12)
    at = [round(hz * ratio * len(moved) / RATE) for hz in (500, 900)]
    levels = [spectra[place - 2 : place + 3].max(axis=0) for place in at]
    assert levels[0][1] < levels[0][0] / 30
    assert levels[1][1] == pytest.approx(levels[1][0], rel=0.05)
