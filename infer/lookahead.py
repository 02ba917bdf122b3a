"""A recording's beginning, heard before it is converted: its statistics and its pitch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from infer import memory
from infer.chunking import Chunk
from infer.content import FRAME, ContentEncoder
from infer.f0 import SAMPLE_RATE
from infer.melody import Melody
from infer.memory import FittingChunks
from infer.progress import CONTENT
from infer.stages import Stages
from infer.threads import fit_threads

STATISTICS_SECONDS = 120  # beginning of a recording that its normalisation is taken from


class LookAhead:
    """Gives the content of chunks, normalised by the beginning of their recording, and their f0.

    What was found in the beginning is kept, and not found again.
    """

    def __init__(
        self,
        encoder: ContentEncoder,
        melody: Melody | None,
        chunks: FittingChunks,
        stages: Stages,
        least_seconds: float = 0.0,
        needs_f0: Callable[[Chunk], bool] = lambda chunk: True,
    ) -> None:
        """Hear the beginning, at least so much of it; the chunks come again.

        needs_f0: whether the f0 of a chunk will be asked for.
        """
        self.melody, self.chunks = melody, chunks
        self._encoder, self._stages, self._needs_f0 = encoder, stages, needs_f0
        self._encoded: dict[tuple[int, int], np.ndarray] = {}  # by place, not normalised
        statistics = encoder.new_statistics()
        read: list[Chunk] = []
        seconds = 0.0
        for chunk, content in chunks.compute(lambda chunk, number: self._hear(chunk), CONTENT):
            read.append(chunk)
            self._encoded[chunk.place] = content
            left, right = chunk.left // FRAME, (len(chunk.audio) - chunk.right) // FRAME
            with stages("content"):
                statistics.update(content[left:right])
            with stages("memory"):
                memory.trim()
            seconds += len(chunk.core) / SAMPLE_RATE
            is_known = seconds >= STATISTICS_SECONDS or statistics.is_final
            if is_known and seconds >= least_seconds:
                break
        chunks.take_back(read)
        self._statistics = statistics.result()

    def content(self, chunk: Chunk) -> np.ndarray:
        """Return the normalised content of a chunk: (T, dim) at 50 frames/s; asked for once."""
        content = self._encoded.pop(chunk.place, None)
        return self._statistics.normalize(self._encode(chunk) if content is None else content)

    def f0(self, chunk: Chunk) -> np.ndarray | None:
        """Return the f0 (N // 160,) of a chunk in Hz; None for a voice that follows none."""
        with self._stages("f0"):
            return None if self.melody is None else self.melody.f0(chunk)

    def _hear(self, chunk: Chunk) -> np.ndarray:
        content = self._encode(chunk)
        if self.melody is not None and self._needs_f0(chunk):
            with self._stages("f0"):
                self.melody.look_ahead(chunk)
        return content

    def _encode(self, chunk: Chunk) -> np.ndarray:
        """Return the content of a chunk; its f0 is found at the same time."""
        with self._stages("content"):
            fit_threads(self.chunks.device)  # before f0, which would seem to be another program's
            if self.melody is not None and self._needs_f0(chunk):
                self.melody.begin(chunk)
            return self._encoder(chunk.audio)
