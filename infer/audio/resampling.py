"""Audio brought to another sample rate, by soxr."""

from __future__ import annotations

import math

import numpy as np
import soxr

QUICK_ZEROS = 16  # zero crossings of the quick filter to each side
QUICK_CUTOFF = 0.9  # of the lower rate's half


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


class QuickResampler:
    """Change the sample rate of a stream whose delay matters: about 1 ms, where soxr has 20.

    Its filter is short: what lies within 10 % of the lower rate's half is lost.
    """

    def __init__(self, source_rate: int, target_rate: int) -> None:
        self.source_rate, self.target_rate = source_rate, target_rate
        common = math.gcd(source_rate, target_rate)
        self._up, self._down = target_rate // common, source_rate // common
        cutoff = min(1.0, target_rate / source_rate) * QUICK_CUTOFF
        self._half = math.ceil(QUICK_ZEROS / cutoff)
        offsets = (
            np.arange(-self._half + 1, self._half + 1) - np.arange(self._up)[:, None] / self._up
        )
        window = np.i0(8 * np.sqrt(np.clip(1 - (offsets / self._half) ** 2, 0, 1))) / np.i0(8)
        self._filters = (cutoff * np.sinc(cutoff * offsets) * window).astype(np.float32)
        self._history = np.zeros(self._half - 1, np.float32)  # from the next output's filter on
        self._next = 0  # place of the next output after history's middle, in units of 1 / up

    @property
    def held_seconds(self) -> float:
        """How much of what went in has not come out yet."""
        behind = len(self._history) - (self._half - 1) - self._next / self._up
        return 0.0 if self._is_same else behind / self.source_rate

    def push(self, audio: np.ndarray) -> np.ndarray:
        """Take the next (n,) float32, return what is ready."""
        audio = np.asarray(audio, np.float32)
        if self._is_same:
            return audio
        history = np.concatenate([self._history, audio])
        taps = 2 * self._half
        last = (len(history) - taps + 1) * self._up  # places before it have all they need
        places = np.arange(self._next, max(self._next, last), self._down)
        if not len(places):
            self._history = history
            return np.zeros(0, np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(history, taps)[places // self._up]
        out = np.einsum("nt,nt->n", windows, self._filters[places % self._up])
        gone, self._next = divmod(int(places[-1]) + self._down, self._up)
        gone, late = min(gone, len(history)), max(0, gone - len(history))
        self._history, self._next = history[gone:], self._next + late * self._up
        return out

    @property
    def _is_same(self) -> bool:
        return self._up == self._down
