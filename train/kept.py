"""Clips kept in the memory of a GPU, so that a batch is put together there."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

SHARE = 0.5  # of the memory that training leaves free, that clips may take

logger = logging.getLogger(__name__)


class Feature(NamedTuple):
    """What a row holds, and of how many frames."""

    width: tuple[int, ...] = ()
    frames: int = 1
    dtype: torch.dtype = torch.float32


class KeptClips:
    """All clips one after another, a frame of 10 ms to a row, in one tensor for each feature.

    So an index gathers a batch. Where two frames share a row, as of content, it is half of the
    index: clips begin at even rows. The first two are zeros, for what is behind a clip's end.
    """

    def __init__(self, frames: Sequence[int], features: Mapping[str, Feature]) -> None:
        """frames: of each clip; its place in this list is its number. Takes no memory yet."""
        ends = np.cumsum([2, *(count + count % 2 for count in frames)])
        self.starts = ends[:-1]  # first row of each clip
        self.features = features
        self._tensors = {
            name: torch.empty(ends[-1] // each.frames, *each.width, dtype=each.dtype, device="meta")
            for name, each in features.items()
        }
        self.held: set[int] = set()  # numbers of the clips that are there

    @property
    def gib(self) -> float:
        """What all clips take."""
        return sum(tensor.nbytes for tensor in self._tensors.values()) / 2**30

    def fit(self, device: torch.device, left: float) -> bool:
        """Make room on a device, if its share of what training leaves, in GiB, suffices."""
        room = max(SHARE * left, 0)
        if self.gib > room:
            logger.info("clips are read for every step: %.2f GiB do not fit the %.2f GiB of GPU "
                        "memory for them", self.gib, room)  # fmt: skip
            return False
        self._tensors = {
            name: torch.zeros_like(tensor, device=device) for name, tensor in self._tensors.items()
        }
        logger.info("clips are kept in GPU memory: %.2f GiB", self.gib)
        return True

    def put(self, clips: Mapping[int, Mapping[str, Tensor]]) -> None:
        """Take in the rows of clips, by their numbers."""
        for number, clip in clips.items():
            for name, rows in clip.items():
                start = self.starts[number] // self.features[name].frames
                self._tensors[name][start : start + len(rows)].copy_(rows, non_blocking=True)
            self.held.add(number)

    def index(
        self, numbers: Sequence[int], counts: np.ndarray, frames: int, first: np.ndarray | int = 0
    ) -> Tensor:
        """Return the rows (B, frames) of clips, counts (B,) of them from the first on."""
        steps, starts = np.arange(frames), self.starts[numbers] + first
        return torch.from_numpy(np.where(steps < counts[:, None], starts[:, None] + steps, 0))

    def gather(self, name: str, index: Tensor, *others: Tensor) -> Tensor:
        """Return a feature of rows (B, T); others: indices of what is in a row."""
        return self._tensors[name][(index // self.features[name].frames, *others)]


def pinned(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors in memory that a CUDA GPU copies from by itself."""
    return {name: x.pin_memory() for name, x in tensors.items()}
