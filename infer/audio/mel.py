"""Mel filterbanks: triangles over the bins of a spectrum."""

from __future__ import annotations

from typing import Literal

import numpy as np

Scale = Literal["slaney", "htk"]
Norm = Literal["area", "sum", "peak"]

# Slaney's scale: linear up to 1 kHz, then 27 steps for each factor of 6.4
LINEAR_STEP = 200 / 3  # Hz a mel
KNEE_HZ, KNEE_MEL = 1000.0, 15.0
LOG_STEP = np.log(6.4) / 27


def mel_filters(
    num_mels: int,
    n_fft: int,
    sample_rate: int,
    scale: Scale = "slaney",
    norm: Norm = "area",
    low: float = 0.0,
    high: float | None = None,
) -> np.ndarray:
    """Return triangles evenly spaced on a mel scale: (num_mels, n_fft // 2 + 1) float32.

    low, high: Hz, high None = half the sample rate. norm: "area" makes areas equal, as Slaney does;
    "peak" leaves the peaks at 1; "sum" makes each filter a weighted mean, and its slopes no steeper
    than one bin.
    """
    to_mel, to_hz = (
        (_hz_to_slaney, _slaney_to_hz) if scale == "slaney" else (_hz_to_htk, _htk_to_hz)
    )
    ends = to_mel(np.array([low, sample_rate / 2 if high is None else high]))
    edges = to_hz(np.linspace(ends[0], ends[1], num_mels + 2))
    widths = np.diff(edges)
    if norm == "sum":
        widths = np.maximum(widths, sample_rate / n_fft)
    bins = np.fft.rfftfreq(n_fft, 1 / sample_rate)
    rising = (bins - edges[:-2, None]) / widths[:-1, None]
    falling = (edges[2:, None] - bins) / widths[1:, None]
    triangles = np.maximum(0, np.minimum(rising, falling))
    if norm == "area":
        triangles *= (2 / (edges[2:] - edges[:-2]))[:, None]
    elif norm == "sum":
        triangles /= np.maximum(triangles.sum(axis=1, keepdims=True), 1e-8)
    return triangles.astype(np.float32)


def _hz_to_slaney(hz: np.ndarray) -> np.ndarray:
    above = KNEE_MEL + np.log(np.maximum(hz, KNEE_HZ) / KNEE_HZ) / LOG_STEP
    return np.where(hz < KNEE_HZ, hz / LINEAR_STEP, above)


def _slaney_to_hz(mel: np.ndarray) -> np.ndarray:
    above = KNEE_HZ * np.exp(LOG_STEP * (mel - KNEE_MEL))
    return np.where(mel < KNEE_MEL, mel * LINEAR_STEP, above)


def _hz_to_htk(hz: np.ndarray) -> np.ndarray:
    return 2595 * np.log10(1 + hz / 700)


def _htk_to_hz(mel: np.ndarray) -> np.ndarray:
    return 700 * (10 ** (mel / 2595) - 1)
