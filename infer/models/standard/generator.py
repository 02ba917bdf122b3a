"""HiFi-GAN generator with a neural source filter.

Kong et al. 2020, arXiv:2010.05646; Wang et al. 2019, arXiv:1904.12088.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infer.models.ops import Conv
from infer.models.standard.layers import LEAK, ResidualBlock
from infer.voice.hparams import MRF, StandardParams

SINE_LEVEL = 0.1
VOICED_NOISE = 0.003  # deviation of the noise on top of the sine
UNVOICED_NOISE = SINE_LEVEL / 3
LAST_LEAK = 0.01  # slope before the last convolution
MRF_BLOCK = re.compile(r"dec\.mrfs\.(\d+)\.(\d+)\.layers\.(\d+)\.conv([12])\.")
T = TypeVar("T")


def sine_source(
    f0: Tensor, noise: Tensor, sample_rate: int, hop_length: int, starts: Tensor | None = None
) -> Tensor:
    """f0 (B, T) Hz -> (B, T * hop_length, H): H harmonics where voiced, noise everywhere.

    noise and starts as of `harmonics`. f0 holds within a frame; the phase goes on from frame to
    frame and stands still where unvoiced.
    """
    # the sum over thousands of frames needs the precision; Apple's GPUs have no float64
    hz = f0.to(torch.float32 if f0.device.type == "mps" else torch.float64)
    turns = hz * hop_length / sample_rate
    start = F.pad((turns - turns.round()).cumsum(1)[:, :-1], (1, 0))
    steps = torch.arange(1, hop_length + 1, device=f0.device, dtype=hz.dtype) / sample_rate
    phase = (start[..., None] + hz[..., None] * steps).flatten(1)
    voiced = (f0 > 0)[..., None].expand(-1, -1, hop_length).flatten(1)
    return harmonics(phase, voiced, noise, starts)


def harmonics(phase: Tensor, voiced: Tensor, noise: Tensor, starts: Tensor | None) -> Tensor:
    """The sines of H harmonics where voiced, and noise everywhere: (B, N, H).

    phase: (B, N) cycles of the first one; voiced: (B, N) bool; noise: (B, N, H) standard normal;
    starts: (B, H) cycles, where each harmonic begins, None = all at 0.
    """
    orders = torch.arange(1, noise.shape[-1] + 1, device=phase.device)
    cycles = (phase - phase.round()).float()[..., None] * orders
    if starts is not None:
        cycles = cycles + starts[:, None]
    sines = SINE_LEVEL * torch.sin(2 * math.pi * (cycles - cycles.round()))
    share = voiced.float()[..., None]
    return sines * share + (share * VOICED_NOISE + (1 - share) * UNVOICED_NOISE) * noise


class HarmonicSource(nn.Module):
    """The sine source, its harmonics weighed and added up."""

    def __init__(self, params: StandardParams) -> None:
        super().__init__()
        self.params = params
        self.l_linear = nn.Linear(params.num_harmonics, 1)

    def forward(self, f0: Tensor, noise: Tensor, starts: Tensor | None = None) -> Tensor:
        """f0: (B, T) Hz; noise: (B, N, H) standard normal; starts: (B, H) cycles or None.

        Returns (B, 1, N) in -1..1.
        """
        rate, hop = self.params.sample_rate, self.params.hop_length
        with torch.no_grad():
            source = sine_source(f0, noise, rate, hop, starts)
        return torch.tanh(self.l_linear(source.to(self.l_linear.weight.dtype))).transpose(1, 2)


class Generator(nn.Module):
    """Latent sequence, and the source for voices with pitch -> waveform.

    Applio's MRF HiFi-GAN is this network with nine harmonics, a bias at the end, a weight norm on
    the first and the last layer, and other names, see `generator_names`.
    """

    def __init__(self, params: StandardParams, normed: bool) -> None:
        super().__init__()
        is_mrf = params.vocoder == MRF
        rates, first_dim = params.upsample_rates, params.upsample_initial_dim
        dims = [first_dim // 2 ** (stage + 1) for stage in range(len(rates))]
        if params.use_f0:
            self.m_source = HarmonicSource(params)
            self.noise_convs = nn.ModuleList()
            for stage, dim in enumerate(dims):
                step = math.prod(rates[stage + 1 :])  # samples of the source in one of this stage
                size = 1 if step == 1 else 2 * step
                self.noise_convs.append(Conv(1, dim, size, stride=step, padding=step // 2))
        self.conv_pre = Conv(params.inter_dim, first_dim, 7, padding=3, normed=normed and is_mrf)
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
        self.conv_post = Conv(dims[-1], 1, 7, padding=3, bias=is_mrf, normed=normed and is_mrf)
        self.cond = Conv(params.speaker_dim, first_dim, 1)

    def forward(
        self, z: Tensor, source: Tensor | None, speaker: Tensor, draw: object = None
    ) -> Tensor:
        """z: (B, inter_dim, T); source: (B, 1, N) or None; speaker: (B, speaker_dim, 1).

        Returns the waveform (B, 1, N) in -1..1. draw is not needed: no layer adds noise.
        """
        return self.finish(self.body(z, source, speaker))

    def body(self, z: Tensor, source: Tensor | None, speaker: Tensor) -> Tensor:
        """Return what the last layer sees, (B, C, N)."""
        x = self.conv_pre(z) + self.cond(speaker)
        blocks = len(self.resblocks) // len(self.ups)
        for stage, upsample in enumerate(self.ups):
            x = upsample(F.leaky_relu(x, LEAK))
            if source is not None:
                x = x + self.noise_convs[stage](source)
            group = self.resblocks[stage * blocks : (stage + 1) * blocks]
            x = sum(block(x) for block in group) / blocks
        return x

    def finish(self, x: Tensor) -> Tensor:
        """Make the waveform (B, 1, N) in -1..1 of that."""
        return torch.tanh(self.conv_post(F.leaky_relu(x, LAST_LEAK)))


def generator_names(weights: Mapping[str, T]) -> dict[str, T]:
    """The weights of an MRF HiFi-GAN by the names that Generator has for them; others as they are.

    Its residual blocks are numbered by stage and kernel, ours from first to last.
    """
    matches = [MRF_BLOCK.match(name) for name in weights]
    kernels = 1 + max((int(match[2]) for match in matches if match), default=0)
    named = {}
    for (name, value), match in zip(weights.items(), matches, strict=True):
        if match:
            stage, kernel, layer, number = map(int, match.groups())
            block = f"dec.resblocks.{stage * kernels + kernel}.convs{number}.{layer}."
            name = block + name[match.end() :]
        named[name.replace("dec.upsamples.", "dec.ups.")] = value
    return named
