"""Clips kept in the memory of a GPU, so that a batch is put together there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from infer.voice.hparams import StandardParams


class KeptClips:
    """All clips one after another, a frame of 10 ms to a row, in one tensor for each feature.

    So a single index gathers a batch. Content has a row for two frames: clips begin at even rows.
    The first two rows are zeros, for what is behind the end of a shorter clip.
    """

    def __init__(self, frames: Sequence[int], params: StandardParams) -> None:
        """frames: of each clip; its place in this list is its number. Takes no memory yet."""
        ends = np.cumsum([2, *(count + count % 2 for count in frames)])
        self._frames, self._starts, rows = np.array(frames), ends[:-1], int(ends[-1])
        self._features = {
            "content": torch.empty(rows // 2, params.content_dim, device="meta"),
            "spec": torch.empty(rows, params.spec_bins, device="meta"),
            "wav": torch.empty(rows, params.hop_length, device="meta"),
        }
        if params.use_f0:
            self._features["pitch"] = torch.empty(rows, dtype=torch.int64, device="meta")
            self._features["f0"] = torch.empty(rows, device="meta")
        self.held: set[int] = set()  # numbers of the clips that are there

    @property
    def gib(self) -> float:
        """What all clips take."""
        return sum(feature.nbytes for feature in self._features.values()) / 2**30

    def allocate(self, device: torch.device) -> None:
        """Make room on a device."""
        self._features = {
            name: torch.zeros_like(feature, device=device)
            for name, feature in self._features.items()
        }

    @staticmethod
    def rows(clip: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
        """Return what a batch holds of a clip, a frame or two to a row."""
        spec, wav = clip["spec"].T, clip["wav"].reshape(clip["spec"].shape[1], -1)
        changed = {**clip, "content": clip["content"][::2], "spec": spec, "wav": wav}
        return {name: torch.from_numpy(np.ascontiguousarray(x)) for name, x in changed.items()}

    def put(self, number: int, clip: Mapping[str, Tensor]) -> None:
        """Take in the rows of a clip."""
        for name, rows in clip.items():
            start = int(self._starts[number]) // (2 if name == "content" else 1)
            self._features[name][start : start + len(rows)].copy_(rows, non_blocking=True)
        self.held.add(number)

    def index(self, numbers: Sequence[int]) -> Tensor:
        """Return the rows of clips as (B, T), T of the longest of them."""
        counts, starts = self._frames[numbers, None], self._starts[numbers, None]
        steps = np.arange(counts.max())
        return torch.from_numpy(np.where(steps < counts, starts + steps, 0))

    def gather(self, index: Tensor) -> dict[str, Tensor]:
        """Return the features of rows, shaped as those of a batch."""
        made = {
            name: feature[index // 2 if name == "content" else index]
            for name, feature in self._features.items()
        }
        return made | {"spec": made["spec"].mT, "wav": made["wav"].flatten(1)[:, None]}
