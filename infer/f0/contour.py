"""Operations on an f0 contour: (T,) Hz at 100 frames per second, 0 where unvoiced."""

from __future__ import annotations

import numpy as np

from infer.f0 import F0_MAX, F0_MIN

PITCH_BINS = 255


def hz_to_mel(f0: np.ndarray) -> np.ndarray:
    """Natural-log mel scale of RVC's pitch embedding: 1127 ln(1 + f / 700), in float64."""
    return 1127.0 * np.log1p(np.asarray(f0, np.float64) / 700.0)


def is_voiced(f0: np.ndarray) -> np.ndarray:
    """(T,) bool, True where the frame has a pitch."""
    return np.asarray(f0) > 0


def semitones_to_ratio(semitones: float) -> float:
    """The frequency ratio of an interval in semitones."""
    return 2.0 ** (semitones / 12.0)


def transpose(f0: np.ndarray, semitones: float) -> np.ndarray:
    """Shift a contour by semitones; unvoiced frames stay 0 and the range is not limited."""
    return (np.asarray(f0) * semitones_to_ratio(semitones)).astype(np.float32)


def quantize(f0: np.ndarray) -> np.ndarray:
    """Map f0 to the synthesizer's 255 pitch bins, evenly spaced on the mel scale.

    f0: (T,) Hz, 0 where unvoiced. Returns (T,) int64 in 1..255: unvoiced is 1, the rest is
    clipped to 50..1100 Hz.
    """
    low, high = hz_to_mel(np.array([F0_MIN, F0_MAX]))
    pitch = 1 + (hz_to_mel(f0) - low) * (PITCH_BINS - 1) / (high - low)
    return np.rint(np.clip(pitch, 1, PITCH_BINS)).astype(np.int64)


def median_f0(f0: np.ndarray) -> float:
    """Median of the voiced frames in Hz, 0.0 if there are none."""
    voiced = np.asarray(f0)[is_voiced(f0)]
    return float(np.median(voiced)) if len(voiced) else 0.0


def f0_range(f0: np.ndarray) -> tuple[float, float]:
    """Hz between which nine tenths of the voiced frames lie, zeros if there are none."""
    voiced = np.asarray(f0)[is_voiced(f0)]
    low, high = np.percentile(voiced, [5, 95]) if len(voiced) else (0.0, 0.0)
    return float(low), float(high)


def resample_contour(f0: np.ndarray, confidence: np.ndarray, positions: np.ndarray) -> tuple:
    """Read a contour between its frames: f0 on the log scale, confidence linearly.

    f0, confidence: (K,), f0 > 0 everywhere. positions: (T,) in frames, held at both ends.
    Returns f0 (T,) and confidence (T,). Across a jump of more than half an octave between two
    frames the nearer one is taken, because no pitch lies between them.
    """
    frames = np.arange(len(f0))
    log_f0 = np.log2(f0)
    smooth = np.interp(positions, frames, log_f0)
    nearest = np.clip(np.rint(positions).astype(np.int64), 0, len(f0) - 1)
    jump = np.abs(smooth - log_f0[nearest]) > 0.25
    return 2.0 ** np.where(jump, log_f0[nearest], smooth), np.interp(positions, frames, confidence)
