"""What a recording sounds like: its melody and its loudness, for the page's plots and comparisons.

Imports numpy and scipy, so only the conversion process and commands use it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.signal  # noqa: F401 - for Meter: with the process, not with the first recording

from infer.audio.filters import high_pass
from infer.audio.meter import Meter
from infer.audio.reader import AudioReader
from infer.audio.writer import AudioWriter
from infer.f0 import F0_RATE, SAMPLE_RATE, F0Method
from infer.f0.contour import f0_range, median_f0
from tools.datasets.measure import snr_of

LISTENED_SECONDS = 60  # from the beginning: enough for a plot and a median
PLOT_POINTS = 1000
LOUDNESS_RATE = 48000  # Hz


def listen(path: Path, f0_method: F0Method) -> dict[str, Any]:
    """Melody and loudness of the first minute, as plain values.

    seconds: of the whole recording, None if its file does not say; f0_step: seconds between the
    values of f0 (at most PLOT_POINTS, Hz, 0 = unvoiced); f0_median, f0_range: Hz over all voiced
    frames, zeros if there are none; loudness_db: in LUFS; snr: speech over noise in dB.
    AudioError.
    """
    audio, seconds = beginning(path, SAMPLE_RATE)
    audio = high_pass(audio, SAMPLE_RATE)
    f0 = f0_method(audio)
    group = max(1, math.ceil(len(f0) / PLOT_POINTS))
    return {
        "seconds": seconds,
        "f0_step": group / F0_RATE,
        "f0": [round(float(value), 1) for value in _thin(f0, group)],
        "f0_median": round(median_f0(f0), 1),
        "f0_range": [round(hz, 1) for hz in f0_range(f0)],
        "snr": round(snr_of(audio), 1),
        "loudness_db": round(loudness_of(path), 1),
    }


def melody(path: Path, f0_method: F0Method) -> list[float]:
    """Return f0 of a whole recording in Hz, 100 a second, 0 = unvoiced. Raises AudioError."""
    with AudioReader(path, SAMPLE_RATE) as reader:
        audio = np.concatenate(list(reader.blocks()))
    return [round(float(hz), 1) for hz in f0_method(high_pass(audio, SAMPLE_RATE))]


def loudness_of(path: Path) -> float:
    """Loudness of the first minute in LUFS, -70 for silence. Raises AudioError."""
    meter = Meter(LOUDNESS_RATE)
    meter.push(beginning(path, LOUDNESS_RATE)[0])
    return meter.loudness()


def match_loudness_of(paths: Sequence[Path], targets: Sequence[Path]) -> list[float]:
    """Write copies that are as loud as the quietest; returns the decibels taken from each.

    Only turned down, so nothing is cut off. Raises AudioError.
    """
    levels = [loudness_of(path) for path in paths]
    changes = [min(levels) - level for level in levels]
    for path, target, change in zip(paths, targets, changes, strict=True):
        with (
            AudioReader(path) as reader,
            AudioWriter(target, reader.sample_rate, reader.sample_rate) as writer,
        ):
            for block in reader.blocks():
                writer.write(block * np.float32(10 ** (change / 20)))
    return [round(change, 1) for change in changes]


def beginning(path: Path, sample_rate: int) -> tuple[np.ndarray, float | None]:
    """The first minute (N,) float32, and the seconds that the file states."""
    blocks: list[np.ndarray] = []
    missing = LISTENED_SECONDS * sample_rate
    with AudioReader(path, sample_rate) as reader:
        for block in reader.blocks():
            blocks.append(block[:missing])
            missing -= len(blocks[-1])
            if missing <= 0:
                break
        return np.concatenate(blocks), reader.seconds


def _thin(f0: np.ndarray, group: int) -> np.ndarray:
    """One value for each `group` frames: the median of the voiced ones if they are the most."""
    padded = np.pad(f0, (0, -len(f0) % group)).reshape(-1, group)
    is_voiced = padded > 0
    counts = is_voiced.sum(1)
    ordered = np.sort(padded, axis=1)  # unvoiced zeros come first
    middle = np.minimum(group - counts + counts // 2, group - 1)
    return np.where(counts * 2 > group, ordered[np.arange(len(padded)), middle], 0.0)
