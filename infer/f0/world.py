"""f0 by WORLD (Morise et al. 2016): "harvest" and "dio", both refined by StoneMask."""

from __future__ import annotations

import numpy as np

from infer.f0 import F0_MAX, F0_MIN, F0_RATE, HOP_LENGTH, SAMPLE_RATE
from infer.f0.windows import track


class WorldF0:
    """A WORLD f0 estimator; the device is ignored."""

    estimator: str
    highest = F0_MAX  # Hz

    def __init__(self, device: str = "cpu") -> None:
        import pyworld

        self._estimator = getattr(pyworld, self.estimator)
        self._refine = pyworld.stonemask

    def __call__(self, audio: np.ndarray) -> np.ndarray:
        """(N,) float32 at 16 kHz -> (N // 160,) float32 Hz."""
        return track(audio, self._estimate)

    def _estimate(self, window: np.ndarray) -> np.ndarray:
        signal = window.astype(np.float64)
        f0, seconds = self._estimator(
            signal, SAMPLE_RATE, f0_floor=F0_MIN, f0_ceil=self.highest, frame_period=1000 / F0_RATE
        )
        return self._refine(signal, f0, seconds, SAMPLE_RATE)[: len(window) // HOP_LENGTH]


class HarvestF0(WorldF0):
    """WORLD's Harvest: slow, few gaps; above some 1050 Hz it misses notes whatever the ceiling."""

    estimator = "harvest"


class DioF0(WorldF0):
    """WORLD's DIO: fast, less robust to noise."""

    estimator = "dio"
    highest = SAMPLE_RATE / 12  # what StoneMask refines
