"""Statistics of a recording, taken from its beginning before that is converted."""

from __future__ import annotations

import numpy as np

from infer.chunking import Chunk
from infer.content import FRAME, ContentEncoder
from infer.f0 import SAMPLE_RATE
from infer.memory import FittingChunks
from infer.progress import CONTENT
from infer.stages import Stages

STATISTICS_SECONDS = 120  # beginning of a recording that its normalisation is taken from


class LookAhead:
    """Gives the content of chunks, normalised by the beginning of their recording.

    What was encoded for the statistics is kept, and not encoded again.
    """

    def __init__(self, encoder: ContentEncoder, chunks: FittingChunks, stages: Stages) -> None:
        """Encode the beginning; the chunks come again."""
        self._encoder, self._stages = encoder, stages
        self._encoded: dict[tuple[int, int], np.ndarray] = {}  # by place, not normalised
        statistics = encoder.new_statistics()
        read: list[Chunk] = []
        seconds = 0.0
        for chunk, content in chunks.compute(lambda chunk, number: self._encode(chunk), CONTENT):
            read.append(chunk)
            self._encoded[chunk.place] = content
            left, right = chunk.left // FRAME, (len(chunk.audio) - chunk.right) // FRAME
            with stages("content"):
                statistics.update(content[left:right])
            seconds += len(chunk.core) / SAMPLE_RATE
            if seconds >= STATISTICS_SECONDS or statistics.is_final:
                break
        chunks.take_back(read)
        self._statistics = statistics.result()

    def content(self, chunk: Chunk) -> np.ndarray:
        """Return the normalised content of a chunk: (T, dim) at 50 frames/s; asked for once."""
        content = self._encoded.pop(chunk.place, None)
        return self._statistics.normalize(self._encode(chunk) if content is None else content)

    def _encode(self, chunk: Chunk) -> np.ndarray:
        with self._stages("content"):
            return self._encoder(chunk.audio)
