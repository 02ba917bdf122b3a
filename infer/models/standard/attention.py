"""Self-attention with relative positions in a window (Shaw et al. 2018, arXiv:1803.02155)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infer.models.ops import Conv

WINDOW = 10  # frames on each side that have a position embedding of their own
BLOCK = 1024  # frames that attend at once: bounds the memory of long sequences
MASKED = -1e4  # score of frames behind the end; not -inf: a row may have no other


class RelativeAttention(nn.Module):
    """Multi-head attention of a sequence to itself. (B, C, T) -> (B, C, T)."""

    def __init__(self, dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.block = BLOCK
        head_dim = dim // num_heads
        positions = (1, 2 * WINDOW + 1, head_dim)  # the heads share one table
        self.emb_rel_k = nn.Parameter(torch.randn(positions) * head_dim**-0.5)
        self.emb_rel_v = nn.Parameter(torch.randn(positions) * head_dim**-0.5)
        self.conv_q = Conv(dim, dim, 1)
        self.conv_k = Conv(dim, dim, 1)
        self.conv_v = Conv(dim, dim, 1)
        self.conv_o = Conv(dim, dim, 1)
        for conv in (self.conv_q, self.conv_k, self.conv_v):
            nn.init.xavier_uniform_(conv.weight)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """mask: (B, 1, T), 0 behind the end of a sequence."""
        query, key, value = (
            conv(x).reshape(len(x), self.num_heads, -1, x.shape[-1]).transpose(2, 3)
            for conv in (self.conv_q, self.conv_k, self.conv_v)
        )  # each (B, heads, T, head_dim)
        query = query / math.sqrt(query.shape[-1])
        if x.shape[-1] <= self.block:  # no slice, whose length an ONNX file would fix
            blocks = [self._attend(query, 0, key, value, mask)]
        else:
            blocks = [
                self._attend(query[:, :, start : start + self.block], start, key, value, mask)
                for start in range(0, x.shape[-1], self.block)
            ]
        return self.conv_o(torch.cat(blocks, 2).transpose(2, 3).flatten(1, 2))

    def _attend(
        self, query: Tensor, start: int, key: Tensor, value: Tensor, mask: Tensor
    ) -> Tensor:
        """What the frames from start on attend to: (B, heads, rows, head_dim)."""
        rows, frames = query.shape[2], key.shape[2]
        around = (WINDOW - start, start + rows + WINDOW - frames)  # columns that a band lacks
        scores = query @ key.transpose(2, 3)
        scores = scores + F.pad(from_bands(query @ self.emb_rel_k[0].T), _negated(around))
        row_mask = mask[:, :, start : start + rows, None]
        scores = scores.masked_fill(row_mask * mask[:, :, None] == 0, MASKED)
        weights = F.dropout(scores.softmax(-1), self.dropout, self.training)
        return weights @ value + to_bands(F.pad(weights, around)) @ self.emb_rel_v[0]


def _negated(padding: tuple[int, int]) -> tuple[int, int]:
    return -padding[0], -padding[1]


def from_bands(bands: Tensor) -> Tensor:
    """Values by relative position -> by absolute: (..., rows, 2 W + 1) -> (..., rows, rows + 2 W).

    The first column is W frames before the first row; 0 beyond W from the diagonal. Row i is to be
    shifted by i: rows of one length are read again as rows one shorter.
    """
    rows = bands.shape[-2]
    padded = F.pad(bands, (0, rows)).flatten(-2)
    return padded[..., :-rows].reshape(*bands.shape[:-1], -1)


def to_bands(values: Tensor) -> Tensor:
    """The inverse: (..., rows, rows + 2 W) -> (..., rows, 2 W + 1)."""
    rows = values.shape[-2]
    padded = F.pad(values.flatten(-2), (0, rows))
    return padded.reshape(*values.shape[:-1], -1)[..., : 2 * WINDOW + 1]
