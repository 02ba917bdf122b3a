"""A speaker's content features, for altered clips to be mixed with what other clips hold."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from infer.retrieval import NUM_NEIGHBOURS, inverse_square

MOST_VECTORS = 30_000  # ten minutes; of more, evenly spaced ones are searched


class Neighbours:
    """Finds for each frame of a clip the nearest frames of the speaker's other clips."""

    def __init__(self, clips: Iterable[tuple[str, np.ndarray]]) -> None:
        """clips: names and (T, dim) normalised content of one speaker."""
        names, contents = zip(*clips, strict=True)
        step = -(-sum(map(len, contents)) // MOST_VECTORS)
        taken = [content[::step].astype(np.float32) for content in contents]
        self._vectors = np.concatenate(taken)
        self._owners = np.repeat(np.array(names), [len(content) for content in taken])
        self._squares = np.square(self._vectors).sum(1)

    def blend(self, clip: str, content: np.ndarray, rate: float) -> np.ndarray:
        """Mix content (T, dim) as retrieval does at conversion: rate 0 keeps it, 1 replaces it.

        Without other clips it stays as it is.
        """
        if np.count_nonzero(self._owners != clip) < NUM_NEIGHBOURS:
            return content
        distances = self._squares - 2 * content @ self._vectors.T  # each lacks the frame's square
        distances[:, self._owners == clip] = np.inf
        nearest = np.argpartition(distances, NUM_NEIGHBOURS, axis=1)[:, :NUM_NEIGHBOURS]
        vectors = self._vectors[nearest]
        exact = np.square(vectors - content[:, None]).sum(2, dtype=np.float64)
        retrieved = np.einsum("rk,rkd->rd", inverse_square(exact), vectors)
        return content + np.float32(rate) * (retrieved - content)
