"""Audio brought to another sample rate, by soxr."""

from __future__ import annotations

import numpy as np
import soxr


class Resampler:
    """Change the sample rate of a stream: float32 blocks in, blocks out, any block lengths.

    A block is (n,), or (n, channels) of more than one channel.
    """

    def __init__(self, source_rate: float, target_rate: float, channels: int = 1) -> None:
        self.source_rate = source_rate
        self.target_rate = target_rate
        self._nothing = np.zeros((0, channels) if channels > 1 else 0, np.float32)
        self._stream: soxr.ResampleStream | None = None
        if source_rate != target_rate:
            self._stream = soxr.ResampleStream(source_rate, target_rate, channels)

    def push(self, audio: np.ndarray) -> np.ndarray:
        """Take the next block, return what is ready."""
        audio = np.asarray(audio, np.float32)
        return audio if self._stream is None else self._stream.resample_chunk(audio)

    def flush(self) -> np.ndarray:
        """Return what is left; in all, N samples become N * target_rate / source_rate, rounded."""
        rest = self._nothing
        return rest if self._stream is None else self._stream.resample_chunk(rest, last=True)


def resample(audio: np.ndarray, source_rate: int, target_rate: int) -> np.ndarray:
    """Change the sample rate of (N,) float32 audio; returns (N * target_rate / source_rate,)."""
    if source_rate == target_rate:
        return np.asarray(audio, np.float32)
    return soxr.resample(np.asarray(audio, np.float32), source_rate, target_rate)
