"""Relative attention against its definition, written out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from infer.models.standard.attention import WINDOW, RelativeAttention


def by_definition(layer: RelativeAttention, x: Tensor, length: int) -> Tensor:
    """One item (C, T), frame by frame and head by head."""
    heads, size = layer.num_heads, x.shape[0] // layer.num_heads
    query, key, value = (
        (conv.weight[..., 0] @ x + conv.bias[:, None]).view(heads, size, -1)
        for conv in (layer.conv_q, layer.conv_k, layer.conv_v)
    )
    frames = x.shape[1]
    mixed = torch.zeros(heads, size, frames)
    for head in range(heads):
        for i in range(frames):
            scores = torch.empty(frames)
            for j in range(frames):
                heard = key[head, :, j].clone()
                if abs(j - i) <= WINDOW:
                    heard += layer.emb_rel_k[0, j - i + WINDOW]
                scores[j] = query[head, :, i] @ heard / math.sqrt(size)
                if i >= length or j >= length:
                    scores[j] = -1e4
            for j, weight in enumerate(scores.softmax(0)):
                said = value[head, :, j].clone()
                if abs(j - i) <= WINDOW:
                    said += layer.emb_rel_v[0, j - i + WINDOW]
                mixed[head, :, i] += weight * said
    return layer.conv_o.weight[..., 0] @ mixed.flatten(0, 1) + layer.conv_o.bias[:, None]


@pytest.mark.parametrize("block", [1024, 30, 7, 1])
def test_it_equals_its_definition_in_blocks_of_any_size(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infer.models.standard.attention.BLOCK", block)
    torch.manual_seed(0)
    layer = RelativeAttention(8, 2, 0.0).requires_grad_(False)
    x, mask = torch.randn(2, 8, 31), torch.ones(2, 1, 31)
    mask[1, :, 20:] = 0
    made = layer(x, mask)
    for item, length in enumerate((31, 20)):
        assert (made[item] - by_definition(layer, x[item], length)).abs().max() < 1e-5
