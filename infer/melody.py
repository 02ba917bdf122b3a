"""The melody of a recording, chunk by chunk: measured, or as a file says."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from infer.chunking import Chunk
from infer.f0 import F0_RATE, HOP_LENGTH, F0Method
from infer.f0.contour import median_f0
from infer.f0.curve import Curve, write_curve


class Melody:
    """Gives the f0 of chunks in Hz, 0 where unvoiced, and keeps what belongs to their cores."""

    def __init__(self, source: F0Method | Curve) -> None:
        self._source = source
        self._cores: dict[int, np.ndarray] = {}  # f0 by the chunk's start: one may come again
        self._ahead: dict[tuple[int, int], np.ndarray] = {}  # by place, of chunks that come again

    def f0(self, chunk: Chunk) -> np.ndarray:
        """Return (N // 160,) frames of chunk.audio, which is high-passed."""
        if chunk.place in self._ahead:
            return self._ahead.pop(chunk.place)
        first, count = (chunk.start - chunk.left) // HOP_LENGTH, len(chunk.audio) // HOP_LENGTH
        if isinstance(self._source, Curve):
            f0 = self._source.frames(first, count)
        else:
            f0 = self._source(chunk.audio)
        left, right = chunk.left // HOP_LENGTH, (len(chunk.audio) - chunk.right) // HOP_LENGTH
        self._cores[chunk.start] = f0[left:right]
        return f0

    def look_ahead(self, chunk: Chunk) -> np.ndarray:
        """Return the same for a chunk that will come again: it is not measured again then."""
        self._ahead[chunk.place] = f0 = self.f0(chunk)
        return f0

    @property
    def median(self) -> float:
        """Median in Hz of what was here so far, 0 if nothing is voiced."""
        return median_f0(self._whole())

    def known(self) -> Melody:
        """Return the same melody, no longer measured, once all chunks were here."""
        f0 = self._whole()
        return Melody(Curve(np.arange(len(f0)) / F0_RATE, f0))

    def save(self, path: Path) -> None:
        """Write the melody of the recording, once all its chunks were here. OSError."""
        write_curve(path, self._whole())

    def _whole(self) -> np.ndarray:
        return np.concatenate([self._cores[start] for start in sorted(self._cores)])
