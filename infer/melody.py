"""The melody of a recording, chunk by chunk: measured, or as a file says."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from infer.audio.filters import high_pass
from infer.chunking import Chunk
from infer.f0 import F0_RATE, HOP_LENGTH, SAMPLE_RATE, F0Method
from infer.f0.curve import Curve, write_curve
from infer.threads import most_threads


class Melody:
    """Gives the f0 of chunks in Hz, 0 where unvoiced, and keeps what belongs to their cores.

    Where torch may use several threads, it is measured beside other work.
    """

    def __init__(self, source: F0Method | Curve) -> None:
        self._source = source
        self._beside = ThreadPoolExecutor(1)
        self._begun: tuple[Chunk, Future[np.ndarray]] | None = None
        self._cores: dict[int, np.ndarray] = {}  # f0 by the chunk's start: one may come again
        self._ahead: dict[tuple[int, int], np.ndarray] = {}  # by place, of chunks that come again

    def begin(self, chunk: Chunk) -> None:
        """Begin with a chunk that is asked for next."""
        if most_threads() > 1:  # with one, a process is to keep to one core
            self._begun = chunk, self._beside.submit(self._measure, chunk)

    def f0(self, chunk: Chunk) -> np.ndarray:
        """Return (N // 160,) frames of chunk.audio. RuntimeError where memory is refused."""
        if chunk.place in self._ahead:
            return self._ahead.pop(chunk.place)
        begun, self._begun = self._begun, None
        f0 = begun[1].result() if begun and begun[0] is chunk else self._measure(chunk)
        left, right = chunk.left // HOP_LENGTH, (len(chunk.audio) - chunk.right) // HOP_LENGTH
        self._cores[chunk.start] = f0[left:right]
        return f0

    def look_ahead(self, chunk: Chunk) -> np.ndarray:
        """Return the same for a chunk that will come again: it is not measured again then."""
        self._ahead[chunk.place] = f0 = self.f0(chunk)
        return f0

    def beginning(self, seconds: float) -> np.ndarray:
        """The f0 in Hz of the chunks that begin within so many seconds."""
        return np.concatenate(
            [f0 for start, f0 in self._cores.items() if start < seconds * SAMPLE_RATE]
        )

    def known(self) -> Melody:
        """Return the same melody, no longer measured, once all chunks were here."""
        f0 = self._whole()
        return Melody(Curve(np.arange(len(f0)) / F0_RATE, f0))

    def save(self, path: Path) -> None:
        """Write the melody of the recording, once all its chunks were here. OSError."""
        write_curve(path, self._whole())

    def _measure(self, chunk: Chunk) -> np.ndarray:
        if isinstance(self._source, Curve):
            first = (chunk.start - chunk.left) // HOP_LENGTH
            return self._source.frames(first, len(chunk.audio) // HOP_LENGTH)
        return self._source(high_pass(chunk.audio, SAMPLE_RATE))

    def _whole(self) -> np.ndarray:
        return np.concatenate([self._cores[start] for start in sorted(self._cores)])
