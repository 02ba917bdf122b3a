"""High-pass filter, zero-phase for conversion and causal for training data."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

HIGH_PASS_HZ = 48.0
HIGH_PASS_ORDER = 5
HIGH_PASS_EXTENSION = 3 * (HIGH_PASS_ORDER + 1)  # mirrored samples at both ends
HIGH_PASS_DECAY_SECONDS = 0.4  # after this the filter's response is below 1e-15


def high_pass(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Remove what lies below 48 Hz, forwards and backwards so that nothing is delayed.

    audio: (N,) with at least 19 samples, else ValueError; returns (N,) of the same dtype.
    Chunks that overlap by half a second or more can be filtered one by one: apart from their
    outer 0.4 s they come out as in the whole.
    """
    extension = HIGH_PASS_EXTENSION
    if len(audio) <= extension:
        raise ValueError(f"at least {extension + 1} samples are needed, not {len(audio)}")
    ends = audio[0], audio[-1]
    wav = np.asarray(audio, np.float64)
    wav = np.concatenate(
        [
            2.0 * ends[0] - wav[extension:0:-1],
            wav,
            2.0 * ends[1] - wav[-2 : -extension - 2 : -1],
        ]
    )
    wav = _butterworth(wav, sample_rate)
    wav = _butterworth(wav[::-1], sample_rate)[::-1]
    return wav[extension:-extension].astype(audio.dtype)


def _butterworth(wav: np.ndarray, sample_rate: int) -> np.ndarray:
    """Filter (N,) float64 causally, as if its first value had lasted for ever before.

    The exact response is multiplied in the frequency domain: scipy.signal, which would run the
    recursion, takes a second to import. Preprocessing uses that recursion, see high_pass_causal.
    """
    history = round(HIGH_PASS_DECAY_SECONDS * sample_rate)
    size = 1 << min(len(wav) + history, 4 * history).bit_length()  # pieces stay in the cache
    step = size - history  # the beginning of each piece only settles the filter
    count = -(-len(wav) // step)
    padded = np.zeros(history + count * step)
    padded[:history] = wav[0]
    padded[history : history + len(wav)] = wav
    pieces = np.lib.stride_tricks.sliding_window_view(padded, size)[::step]
    filtered = np.fft.irfft(np.fft.rfft(pieces) * _response(size, sample_rate), size)
    return filtered[:, history:].reshape(-1)[: len(wav)]


@lru_cache(1)
def _response(size: int, sample_rate: int) -> np.ndarray:
    """The filter's response at the frequencies of an FFT of that size: all chunks share it."""
    half_angle = np.pi * np.arange(1, size // 2 + 1) / size
    inverse = np.tan(np.pi * HIGH_PASS_HZ / sample_rate) / (1j * np.tan(half_angle))
    response = np.zeros(size // 2 + 1, np.complex128)  # 0 at 0 Hz
    response[1:] = 1.0
    for i in range(HIGH_PASS_ORDER):
        angle = np.pi * (2 * i + HIGH_PASS_ORDER + 1) / (2 * HIGH_PASS_ORDER)
        response[1:] /= inverse - np.exp(1j * angle)
    return response


def high_pass_causal(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Remove what lies below 48 Hz in one forward pass, so that nothing rings before an onset.

    audio: (N,); returns (N,) of the same dtype.
    """
    from scipy import signal

    numerator, denominator = signal.butter(
        HIGH_PASS_ORDER, HIGH_PASS_HZ, "highpass", fs=sample_rate
    )
    return signal.lfilter(numerator, denominator, audio.astype(np.float64)).astype(audio.dtype)
