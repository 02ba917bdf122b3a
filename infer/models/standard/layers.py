"""Layers of the standard synthesizer: WaveNet stack, transformer parts, HiFi-GAN residual block."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infer.models.ops import Conv
from infer.models.standard.attention import RelativeAttention

LEAK = 0.1  # slope of the leaky ReLUs
WAVENET_KERNEL = 5


class ChannelNorm(nn.Module):
    """Layer norm over the channels of (B, C, T)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dims = (dim,)
        self.gamma = nn.Parameter(torch.ones(dim))
        self.beta = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(1, 2)
        return F.layer_norm(x, self.dims, self.gamma, self.beta).transpose(1, 2)


class FeedForward(nn.Module):
    """Two convolutions with a ReLU between. (B, C, T) -> (B, C, T)."""

    def __init__(self, dim: int, filter_dim: int, kernel_size: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.before = ((kernel_size - 1) // 2, kernel_size // 2)
        self.conv_1 = Conv(dim, filter_dim, kernel_size)
        self.conv_2 = Conv(filter_dim, dim, kernel_size)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = torch.relu(self.conv_1(F.pad(x * mask, self.before)))
        x = F.dropout(x, self.dropout, self.training)
        return self.conv_2(F.pad(x * mask, self.before)) * mask


class Transformer(nn.Module):
    """Post-norm transformer with relative positions (Kim et al. 2021, arXiv:2106.06103)."""

    def __init__(
        self,
        dim: int,
        filter_dim: int,
        num_heads: int,
        num_layers: int,
        kernel_size: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        layers = range(num_layers)
        self.attn_layers = nn.ModuleList(RelativeAttention(dim, num_heads, dropout) for _ in layers)
        self.norm_layers_1 = nn.ModuleList(ChannelNorm(dim) for _ in layers)
        self.ffn_layers = nn.ModuleList(
            FeedForward(dim, filter_dim, kernel_size, dropout) for _ in layers
        )
        self.norm_layers_2 = nn.ModuleList(ChannelNorm(dim) for _ in layers)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = x * mask
        for attend, norm_attended, feed, norm_fed in zip(
            self.attn_layers, self.norm_layers_1, self.ffn_layers, self.norm_layers_2, strict=True
        ):
            x = norm_attended(x + F.dropout(attend(x, mask), self.dropout, self.training))
            x = norm_fed(x + F.dropout(feed(x, mask), self.dropout, self.training))
        return x * mask


class WaveNet(nn.Module):
    """Gated convolutions with a speaker's vector (van den Oord et al. 2016, arXiv:1609.03499)."""

    def __init__(self, dim: int, num_layers: int, speaker_dim: int, normed: bool) -> None:
        super().__init__()
        self.dim = dim
        self.in_layers = nn.ModuleList(
            Conv(dim, 2 * dim, WAVENET_KERNEL, padding=WAVENET_KERNEL // 2, normed=normed)
            for _ in range(num_layers)
        )
        self.res_skip_layers = nn.ModuleList(
            Conv(dim, 2 * dim if layer < num_layers - 1 else dim, 1, normed=normed)
            for layer in range(num_layers)
        )
        self.cond_layer = Conv(speaker_dim, 2 * dim * num_layers, 1, normed=normed)

    def forward(self, x: Tensor, mask: Tensor, speaker: Tensor) -> Tensor:
        """x: (B, dim, T); speaker: (B, speaker_dim, 1). Returns (B, dim, T)."""
        conditions = self.cond_layer(speaker).split(2 * self.dim, 1)
        skipped: Tensor | None = None
        for condition, gate, leave in zip(
            conditions, self.in_layers, self.res_skip_layers, strict=True
        ):
            signal, opening = (gate(x) + condition).split(self.dim, 1)
            left = leave(torch.tanh(signal) * torch.sigmoid(opening))
            if left.shape[1] > self.dim:
                residual, left = left.split(self.dim, 1)
                x = (x + residual) * mask
            skipped = left if skipped is None else skipped + left
        return skipped * mask


class ResidualBlock(nn.Module):
    """Pairs of convolutions, the first dilated, each pair added to its input: (B, C, N) -> same."""

    def __init__(
        self,
        dim: int,
        kernel_size: int,
        dilations: Sequence[int],
        normed: bool,
        leak: float = LEAK,
    ) -> None:
        super().__init__()
        self.leak = leak

        def conv(dilation: int) -> Conv:
            reach = (kernel_size - 1) // 2 * dilation
            return Conv(dim, dim, kernel_size, padding=reach, dilation=dilation, normed=normed)

        self.convs1 = nn.ModuleList(conv(dilation) for dilation in dilations)
        self.convs2 = nn.ModuleList(conv(1) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        for dilated, dense in zip(self.convs1, self.convs2, strict=True):
            x = x + dense(F.leaky_relu(dilated(F.leaky_relu(x, self.leak)), self.leak))
        return x
