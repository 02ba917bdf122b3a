"""Sound on its way into a live stream and out of it: other rates, noise taken out, times kept."""

from __future__ import annotations

from copy import copy

import numpy as np

from infer.audio.denoise import SAMPLE_RATE as DENOISE_RATE
from infer.audio.denoise import Denoiser
from infer.audio.resampling import QuickResampler
from infer.f0 import SAMPLE_RATE


class Hearing:
    """Brings sound of any rate to 16 kHz, without noise if asked. UserError: no denoiser here.

    Every 10 ms that come give 10 ms: a block is whole when its last frame is there.
    """

    def __init__(self, rate: int, denoise: bool) -> None:
        self._denoiser = Denoiser() if denoise else None
        through = DENOISE_RATE if denoise else rate
        self._first = QuickResampler(rate, through)
        self._second = QuickResampler(through, SAMPLE_RATE)
        for resampler in (self._first, self._second):
            resampler.push(np.zeros(resampler.source_rate // 50, np.float32))  # before the stream
        self._rate = rate
        self._held = 0  # samples in the denoiser's frame

    def push(self, audio: np.ndarray, seconds: float) -> tuple[np.ndarray, float]:
        """Take (n,) float32 that was spoken at that time; returns what is ready, and its time."""
        sound = self._first.push(audio)
        ends = seconds + len(audio) / self._rate - self._first.held_seconds
        if self._denoiser is not None:
            self._held += len(sound)
            sound = self._denoiser.push(sound)
            self._held -= len(sound)
            ends -= self._held / DENOISE_RATE
        out = self._second.push(sound)
        ends -= self._second.held_seconds
        return out, ends - len(out) / SAMPLE_RATE

    def close(self) -> None:
        """Give the denoiser's memory back."""
        if self._denoiser is not None:
            self._denoiser.__exit__()


class Speaking:
    """Brings what a stream gives to another rate."""

    def __init__(self, rate: int, target_rate: int) -> None:
        self.sample_rate = target_rate or rate
        self._resampler = QuickResampler(rate, self.sample_rate)

    def push(self, audio: np.ndarray, seconds: float) -> tuple[np.ndarray, float]:
        """Take (n,) float32 of that time; returns what is ready, and its time."""
        before = self._resampler.held_seconds
        return self._resampler.push(audio), seconds - before

    def beyond(self, audio: np.ndarray) -> np.ndarray:
        """Bring to that rate what would follow; the stream stays where it is."""
        return copy(self._resampler).push(audio)
