"""Sound on its way into a live stream and out of it: other rates, noise taken out, times kept."""

from __future__ import annotations

import numpy as np

from infer.audio.denoise import SAMPLE_RATE as DENOISE_RATE
from infer.audio.denoise import Denoiser
from infer.audio.resampling import QuickResampler
from infer.f0 import SAMPLE_RATE


class Hearing:
    """Brings sound of any rate to 16 kHz, without noise if asked. UserError: no denoiser here."""

    def __init__(self, rate: int, denoise: bool) -> None:
        self._denoiser = Denoiser() if denoise else None
        through = DENOISE_RATE if denoise else rate
        self._first = QuickResampler(rate, through)
        self._second = QuickResampler(through, SAMPLE_RATE)
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
