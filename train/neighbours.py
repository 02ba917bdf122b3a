"""A speaker's content features, for altered clips to be mixed with what other clips hold."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from infer.retrieval import NUM_NEIGHBOURS, inverse_square

CPU = torch.device("cpu")
MOST_VECTORS = 30_000  # ten minutes; of more, evenly spaced ones are searched


class Neighbours:
    """Finds for each frame of a clip the nearest frames of the speaker's other clips."""

    def __init__(self, clips: Iterable[tuple[str, np.ndarray]], device: torch.device = CPU) -> None:
        """clips: names and (T, dim) normalised content of one speaker. device: where they lie."""
        names, contents = zip(*clips, strict=True)
        step = -(-sum(map(len, contents)) // MOST_VECTORS)
        taken = [content[::step].astype(np.float32) for content in contents]
        ends = np.cumsum([len(content) for content in taken]).tolist()
        self._places = {
            name: slice(end - len(content), end)
            for name, content, end in zip(names, taken, ends, strict=True)
        }
        self._vectors = np.concatenate(taken)
        self._searched = torch.from_numpy(self._vectors).to(device)
        self._squares = self._searched.square().sum(1)

    def blend(self, clip: str, content: np.ndarray, rate: float) -> np.ndarray:
        """Mix content (T, dim) as retrieval does at conversion: rate 0 keeps it, 1 replaces it.

        Without other clips it stays as it is.
        """
        own = self._places[clip]
        if len(self._vectors) - (own.stop - own.start) < NUM_NEIGHBOURS:
            return content
        frames = torch.from_numpy(content).to(self._searched.device)
        distances = self._squares - 2 * frames @ self._searched.T  # each lacks the frame's square
        distances[:, own] = torch.inf
        nearest = distances.topk(NUM_NEIGHBOURS, largest=False).indices.cpu().numpy()
        vectors = self._vectors[nearest]
        exact = np.square(vectors - content[:, None]).sum(2, dtype=np.float64)
        retrieved = np.einsum("rk,rkd->rd", inverse_square(exact), vectors)
        return content + np.float32(rate) * (retrieved - content)
