"""Self-attention with relative positions in a window (Shaw et al. 2018, arXiv:1803.02155)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infer.models.ops import Conv

WINDOW = 10  # frames on each side that have a position embedding of their own
MASKED = -1e4  # score of frames behind the end; not -inf: a row may have no other


class RelativeAttention(nn.Module):
    """Multi-head attention of a sequence to itself. (B, C, T) -> (B, C, T)."""

    def __init__(self, dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
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
            conv(x).unflatten(1, (self.num_heads, -1)).transpose(2, 3)
            for conv in (self.conv_q, self.conv_k, self.conv_v)
        )  # each (B, heads, T, head_dim)
        query = query / math.sqrt(query.shape[-1])
        scores = query @ key.transpose(2, 3)
        scores = scores + from_bands(query @ self.emb_rel_k[0].T)
        scores = scores.masked_fill(mask[:, :, :, None] * mask[:, :, None] == 0, MASKED)
        weights = F.dropout(scores.softmax(-1), self.dropout, self.training)
        mixed = weights @ value + to_bands(weights) @ self.emb_rel_v[0]
        return self.conv_o(mixed.transpose(2, 3).flatten(1, 2))


def from_bands(bands: Tensor) -> Tensor:
    """Values by relative position -> by absolute: (..., T, 2 W + 1) -> (..., T, T), 0 beyond W.

    Row i is to be shifted by i: rows of one length are read again as rows one shorter.
    """
    frames = bands.shape[-2]
    padded = F.pad(bands, (0, frames)).flatten(-2)
    skewed = padded[..., :-frames].unflatten(-1, (frames, frames + 2 * WINDOW))
    return skewed[..., WINDOW : WINDOW + frames]


def to_bands(values: Tensor) -> Tensor:
    """The inverse: (..., T, T) -> (..., T, 2 W + 1), what lies within W of the diagonal."""
    frames = values.shape[-1]
    padded = F.pad(F.pad(values, (WINDOW, WINDOW)).flatten(-2), (0, frames))
    return padded.unflatten(-1, (frames, frames + 2 * WINDOW + 1))[..., : 2 * WINDOW + 1]
