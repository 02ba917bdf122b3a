"""How much later a sound is heard in another voice: loudness and melody, laid over each other."""

from __future__ import annotations

import numpy as np
import soxr

from infer.f0 import F0_RATE, HOP_LENGTH, SAMPLE_RATE, F0Method

WINDOW_SECONDS = 4.0  # of speech that one delay is found in
STEP_SECONDS = 1.0
LONGEST_SECONDS = 1.5
QUIET_DB = -60.0
VOICED = 0.2  # share of a window that has to have a melody


def find_delays(
    spoken: np.ndarray, heard: np.ndarray, rate: int, f0_method: F0Method
) -> list[float]:
    """Seconds by which (N,) float32 heard is later than spoken, one for each window with speech.

    Both at the same rate, recorded by one clock.
    """
    both = [soxr.resample(audio, rate, SAMPLE_RATE) for audio in (spoken, heard)]
    levels = [_level(audio) for audio in both]
    melodies = [_melody(f0_method(audio)) for audio in both]
    size, reach = round(WINDOW_SECONDS * F0_RATE), round(LONGEST_SECONDS * F0_RATE)
    delays = []
    for start in range(0, len(levels[0]) - size - reach, round(STEP_SECONDS * F0_RATE)):
        here = slice(start, start + size)
        if np.mean(melodies[0][here] != 0) < VOICED:
            continue
        fits = _fits(levels[0][here], levels[1][start:], reach)
        fits += _fits(melodies[0][here], melodies[1][start:], reach)
        delays.append(_peak(fits) / F0_RATE)
    return delays


def _level(audio: np.ndarray) -> np.ndarray:
    frames = audio[: len(audio) // HOP_LENGTH * HOP_LENGTH].reshape(-1, HOP_LENGTH)
    return np.maximum(10 * np.log10(np.mean(frames**2, axis=1) + 1e-12), QUIET_DB) - QUIET_DB


def _melody(f0: np.ndarray) -> np.ndarray:
    """Log f0 about its own median, 0 where unvoiced: the shift between two voices is gone."""
    is_voiced = f0 > 0
    if not is_voiced.any():
        return np.zeros_like(f0)
    log = np.log(np.where(is_voiced, f0, 1.0))
    return np.where(is_voiced, log - np.median(log[is_voiced]) + 1.0, 0.0)


def _fits(window: np.ndarray, along: np.ndarray, reach: int) -> np.ndarray:
    """Correlation (reach,) of a window with what lies later by 0, 1, ... frames."""
    there = np.lib.stride_tricks.sliding_window_view(along, len(window))[:reach]
    there = there - there.mean(axis=1, keepdims=True)
    window = window - window.mean()
    return there @ window / (np.linalg.norm(there, axis=1) * np.linalg.norm(window) + 1e-9)


def _peak(fits: np.ndarray) -> float:
    """Place of the highest value, between frames too (a parabola through three)."""
    top = int(np.argmax(fits))
    if not 0 < top < len(fits) - 1:
        return float(top)
    before, here, after = fits[top - 1 : top + 2]
    return top + 0.5 * float((before - after) / (before - 2 * here + after))
