"""Applio's RefineGAN: the source goes down to frame rate, meets the latent and comes up again.

A U-shaped network after Xu et al. 2021, arXiv:2111.00962, as Applio 3.3.0 and later train it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infer.models.ops import Conv
from infer.models.standard.generator import harmonics
from infer.models.standard.layers import ResidualBlock
from infer.voice.hparams import REFINEGAN_STAGES, StandardParams

LEAK = 0.2  # slope of the leaky ReLUs
FIRST_DIM = 16  # channels of the source at its own rate; each stage down has twice as many
JOINED_DIM = FIRST_DIM * 2**REFINEGAN_STAGES  # of the latent, and of the source, at frame rate
KERNELS = (3, 7, 11)  # of the three branches of a stage
DILATIONS = (1, 3, 5)
# the low pass before each decimation: a sinc of so many zero crossings on each side, Kaiser window
CROSSINGS = 64
ROLLOFF = 0.9475937167399596
KAISER_BETA = 14.769656459379492
WINDOW_FRAMES = 256  # of the way up that are in memory at once

Draw = Callable[[tuple[int, ...]], Tensor]


def stretch(x: Tensor, factor: int) -> Tensor:
    """(..., T) -> (..., T * factor), linear between the middles of frames, held at both ends.

    factor is even, so that no sample lies on a middle.
    """
    before = torch.cat([x[..., :1], x[..., :-1]], -1)
    after = torch.cat([x[..., 1:], x[..., -1:]], -1)
    way = (torch.arange(factor, device=x.device, dtype=x.dtype) + 0.5) / factor - 0.5
    rise = torch.where(way < 0, (x - before)[..., None], (after - x)[..., None])
    return (x[..., None] + rise * way).flatten(-2)


class GlidingSource(nn.Module):
    """A sine whose pitch glides from frame to frame, with a learnt level."""

    def __init__(self, params: StandardParams) -> None:
        super().__init__()
        self.params = params
        self.merge = nn.ModuleList([nn.Linear(1, 1, bias=False)])

    def forward(self, f0: Tensor, noise: Tensor, starts: Tensor | None = None) -> Tensor:
        """f0: (B, T) Hz; noise: (B, N, 1) standard normal. Returns (B, 1, N) in -1..1.

        An unvoiced frame is 0 Hz on the way as well; what is above counts as voiced.
        """
        with torch.no_grad():  # the sum needs the precision; Apple's GPUs have no float64
            hz = f0.to(torch.float32 if f0.device.type == "mps" else torch.float64)
            hz = stretch(hz, self.params.hop_length)
            phase = torch.cumsum(hz / self.params.sample_rate, 1)
            source = harmonics(phase, hz > 0, noise, starts)
        return torch.tanh(self.merge[0](source.to(self.merge[0].weight.dtype))).transpose(1, 2)


@lru_cache
def low_pass(factor: int) -> Tensor:
    """The kernel (taps,) that a signal is filtered with before every factor-th sample is kept."""
    reach = math.ceil(CROSSINGS * factor / ROLLOFF)
    times = (np.arange(2 * reach + factor) - reach) * ROLLOFF / factor
    times = np.clip(times, -CROSSINGS, CROSSINGS)
    window = np.i0(KAISER_BETA * np.sqrt(1 - (times / CROSSINGS) ** 2)) / np.i0(KAISER_BETA)
    return torch.from_numpy(ROLLOFF / factor * np.sinc(times) * window)


def decimate(x: Tensor, factor: int) -> Tensor:
    """(B, C, N) -> (B, C, N / factor), what lies above the new half rate filtered out."""
    kernel = low_pass(factor).to(x)[None, None]
    padding = (kernel.shape[-1] - factor) // 2
    rows = F.conv1d(x.flatten(0, 1)[:, None], kernel, stride=factor, padding=padding)
    return rows.view(*x.shape[:2], -1)


class NoisyLeak(nn.Module):
    """Adds noise, of a learnt level by channel, before the activation; it is called AdaIN."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((dim,), 1e-4))

    def forward(self, x: Tensor, draw: Draw | None) -> Tensor:
        if draw is not None:
            x = x + draw(tuple(x.shape)) * self.weight[:, None]
        return F.leaky_relu(x, LEAK)


class Stage(nn.Module):
    """The mean of three branches of different kernels: (B, C, N) -> (B, C', N)."""

    def __init__(self, in_dim: int, out_dim: int, normed: bool) -> None:
        super().__init__()
        self.input_conv = Conv(in_dim, out_dim, 7, padding=3)
        self.blocks = nn.ModuleList(
            nn.ModuleList(
                [
                    NoisyLeak(out_dim),
                    ResidualBlock(out_dim, size, DILATIONS, normed, LEAK),
                    NoisyLeak(out_dim),
                ]
            )
            for size in KERNELS
        )

    def forward(self, x: Tensor, draw: Draw | None) -> Tensor:
        x = self.input_conv(x)
        made = []
        for branch in self.blocks:
            y = branch[1](branch[0](x, draw))
            made.append(branch[2](y, draw))
        return torch.stack(made).mean(0)


class RefineGenerator(nn.Module):
    """Latent sequence and source -> waveform. The names of the parts are keys of Applio's files."""

    def __init__(self, params: StandardParams, normed: bool) -> None:
        super().__init__()
        self.rates = tuple(params.upsample_rates)
        stages = range(REFINEGAN_STAGES)
        self.m_source = GlidingSource(params)
        self.pre_conv = Conv(1, FIRST_DIM, 7, padding=3, normed=normed)
        self.downsample_blocks = nn.ModuleList(
            Conv(FIRST_DIM * 2**stage, FIRST_DIM * 2 ** (stage + 1), 7, padding=3, normed=normed)
            for stage in stages
        )
        self.mel_conv = Conv(params.inter_dim, JOINED_DIM, 7, padding=3, normed=normed)
        self.cond = Conv(params.speaker_dim, JOINED_DIM, 1)
        dims = [2 * JOINED_DIM >> stage for stage in range(REFINEGAN_STAGES + 1)]
        self.upsample_conv_blocks = nn.ModuleList(
            Stage(dims[stage] + (JOINED_DIM >> (stage + 1)), dims[stage + 1], normed)
            for stage in stages
        )
        self.conv_post = Conv(dims[-1], 1, 7, padding=3, bias=False, normed=normed)

    def descend(self, source: Tensor) -> list[Tensor]:
        """What the source (B, 1, N) is on its way down, from its own rate to one frame's."""
        x = self.pre_conv(source)
        passed = []
        for rate, conv in zip(reversed(self.rates), self.downsample_blocks, strict=True):
            passed.append(F.leaky_relu(x, LEAK))
            x = conv(decimate(passed[-1], rate))
        return [*passed, x]

    def ascend(self, z: Tensor, passed: list[Tensor], speaker: Tensor, draw: Draw | None) -> Tensor:
        """The waveform (B, 1, N) of latents and of what `descend` gave for the same frames."""
        *skips, x = passed
        x = torch.cat([self.mel_conv(z) + self.cond(speaker), x], 1)
        for rate, skip, stage in zip(
            self.rates, reversed(skips), self.upsample_conv_blocks, strict=True
        ):
            x = F.interpolate(F.leaky_relu(x, LEAK), scale_factor=float(rate), mode="linear")
            x = stage(torch.cat([x, skip], 1), draw)
        return torch.tanh(self.conv_post(F.leaky_relu(x, LEAK)))

    def forward(
        self, z: Tensor, source: Tensor, speaker: Tensor, draw: Draw | None = None
    ) -> Tensor:
        """z: (B, inter_dim, T); source: (B, 1, N); speaker: (B, speaker_dim, 1).

        draw: makes normal numbers of a shape, which the stages add; None = nothing is added.
        Returns the waveform (B, 1, N) in -1..1.
        """
        return self.ascend(z, self.descend(source), speaker, draw)

    def reach(self) -> int:
        """Frames on each side that a sample of `ascend` depends on."""
        reach: int = self.conv_post.padding
        widest = (KERNELS[-1] - 1) // 2 * (sum(DILATIONS) + len(DILATIONS))
        for rate, stage in zip(reversed(self.rates), self.upsample_conv_blocks, strict=True):
            reach = int(-(-(reach + widest + stage.input_conv.padding) // rate)) + 1
        return reach + self.mel_conv.padding


def render_windows(
    generator: RefineGenerator,
    z: Tensor,
    source: Tensor,
    speaker: Tensor,
    draw: Draw | None = None,
) -> Tensor:
    """As RefineGenerator.forward, in windows, so that the wide layers need constant memory."""
    frames, reach = z.shape[-1], generator.reach()
    passed = generator.descend(source)
    parts = []
    for start in range(0, frames, WINDOW_FRAMES):
        end = min(start + WINDOW_FRAMES, frames)
        low, high = max(0, start - reach), min(frames, end + reach)
        steps = [x.shape[-1] // frames for x in passed]
        window = [x[..., low * step : high * step] for x, step in zip(passed, steps, strict=True)]
        wav = generator.ascend(z[..., low:high], window, speaker, draw)
        hop = steps[0]
        parts.append(wav[..., (start - low) * hop : (end - low) * hop])
    return torch.cat(parts, -1)
