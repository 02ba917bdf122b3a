"""HiFi-GAN generator with a neural source filter.

Kong et al. 2020, arXiv:2010.05646; Wang et al. 2019, arXiv:1904.12088.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infer.models.ops import Conv
from infer.models.standard.layers import LEAK, ResidualBlock
from infer.voice.hparams import StandardParams

SINE_LEVEL = 0.1
VOICED_NOISE = 0.003  # deviation of the noise on top of the sine
UNVOICED_NOISE = SINE_LEVEL / 3
LAST_LEAK = 0.01  # slope before the last convolution


def sine_source(f0: Tensor, noise: Tensor, sample_rate: int, hop_length: int) -> Tensor:
    """f0 (B, T) Hz -> (B, 1, T * hop_length): a sine where voiced, noise everywhere.

    noise: (B, T * hop_length), standard normal. f0 holds within a frame; the phase goes on from
    frame to frame and stands still where unvoiced.
    """
    # the sum over thousands of frames needs the precision; Apple's GPUs have no float64
    hz = f0.to(torch.float32 if f0.device.type == "mps" else torch.float64)
    turns = hz * hop_length / sample_rate
    start = F.pad((turns - turns.round()).cumsum(1)[:, :-1], (1, 0))
    steps = torch.arange(1, hop_length + 1, device=f0.device, dtype=hz.dtype) / sample_rate
    phase = (start[..., None] + hz[..., None] * steps).flatten(1)
    sine = SINE_LEVEL * torch.sin(2 * math.pi * (phase - phase.round()).float())
    voiced = (f0 > 0).float().repeat_interleave(hop_length, 1)
    deviation = voiced * VOICED_NOISE + (1 - voiced) * UNVOICED_NOISE
    return (sine * voiced + deviation * noise)[:, None]


class HarmonicSource(nn.Module):
    """The sine source with a learnt level."""

    def __init__(self, params: StandardParams) -> None:
        super().__init__()
        self.params = params
        self.l_linear = nn.Linear(1, 1)

    def forward(self, f0: Tensor, noise: Tensor) -> Tensor:
        """f0: (B, T) Hz; noise: (B, N) standard normal. Returns (B, 1, N) in -1..1."""
        with torch.no_grad():
            source = sine_source(f0, noise, self.params.sample_rate, self.params.hop_length)
        return torch.tanh(source.to(self.l_linear.weight.dtype) * self.l_linear.weight[0]
                          + self.l_linear.bias)  # fmt: skip


class Generator(nn.Module):
    """Latent sequence, and the source for voices with pitch -> waveform."""

    def __init__(self, params: StandardParams, normed: bool) -> None:
        super().__init__()
        rates, first_dim = params.upsample_rates, params.upsample_initial_dim
        dims = [first_dim // 2 ** (stage + 1) for stage in range(len(rates))]
        if params.use_f0:
            self.m_source = HarmonicSource(params)
            self.noise_convs = nn.ModuleList()
            for stage, dim in enumerate(dims):
                step = math.prod(rates[stage + 1 :])  # samples of the source in one of this stage
                size = 1 if step == 1 else 2 * step
                self.noise_convs.append(Conv(1, dim, size, stride=step, padding=step // 2))
        self.conv_pre = Conv(params.inter_dim, first_dim, 7, padding=3)
        self.ups = nn.ModuleList(
            Conv(2 * dim, dim, size, stride=rate, padding=(size - rate) // 2, normed=normed,
                 transposed=True)
            for dim, size, rate in zip(dims, params.upsample_kernel_sizes, rates, strict=True)
        )  # fmt: skip
        self.resblocks = nn.ModuleList(
            ResidualBlock(dim, size, dilations, normed)
            for dim in dims
            for size, dilations in zip(
                params.resblock_kernel_sizes, params.resblock_dilation_sizes, strict=True
            )
        )
        self.conv_post = Conv(dims[-1], 1, 7, padding=3, bias=False)
        self.cond = Conv(params.speaker_dim, first_dim, 1)

    def forward(self, z: Tensor, source: Tensor | None, speaker: Tensor) -> Tensor:
        """z: (B, inter_dim, T); source: (B, 1, N) or None; speaker: (B, speaker_dim, 1).

        Returns the waveform (B, 1, N) in -1..1.
        """
        x = self.conv_pre(z) + self.cond(speaker)
        blocks = len(self.resblocks) // len(self.ups)
        for stage, upsample in enumerate(self.ups):
            x = upsample(F.leaky_relu(x, LEAK))
            if source is not None:
                x = x + self.noise_convs[stage](source)
            group = self.resblocks[stage * blocks : (stage + 1) * blocks]
            x = sum(block(x) for block in group) / blocks
        return torch.tanh(self.conv_post(F.leaky_relu(x, LAST_LEAK)))
