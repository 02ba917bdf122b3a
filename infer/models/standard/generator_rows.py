"""The generator for CPUs: the same numbers as Generator.forward, at the speed of matrix products.

Time runs along the rows of (B, N, C), which is how a convolution over many samples of few channels
is fast on a CPU, and a stage is made piece by piece, so that what lies between its first and its
last layer stays in the processor's cache. A transposed convolution is one convolution to the
channels of all its phases: in rows, they already stand where the samples belong.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from infer.models.ops import Conv
from infer.models.standard.generator import LAST_LEAK, Generator
from infer.models.standard.layers import LEAK, ResidualBlock

WINDOW_FRAMES = 512  # rendered at once, whatever lies between fits the memory of any computer
PIECE_VALUES = 2**19  # samples times channels of a piece (2 MB), for each thread


def render_rows(generator: Generator, z: Tensor, source: Tensor | None, speaker: Tensor) -> Tensor:
    """Arguments and result as of Generator.forward; without gradients, in constant memory."""
    frames = z.shape[2]
    hop = math.prod(upsample.stride for upsample in generator.ups)
    made = z.new_empty(len(z), 1, frames * hop)
    reach = _reach_in_frames(generator)
    for start in range(0, frames, WINDOW_FRAMES):
        end = min(start + WINDOW_FRAMES, frames)
        low, high = max(0, start - reach), min(frames, end + reach)
        part = None if source is None else source[..., low * hop : high * hop]
        wav = _render_window(generator, z[..., low:high], part, speaker)
        made[..., start * hop : end * hop] = wav[..., (start - low) * hop : (end - low) * hop]
    return made


def _reach_in_frames(generator: Generator) -> int:
    """Frames on each side that a sample depends on, and one for its source."""
    reach = generator.conv_post.padding
    blocks = len(generator.resblocks) // len(generator.ups)
    for stage, upsample in reversed(list(enumerate(generator.ups))):
        group = generator.resblocks[stage * blocks : (stage + 1) * blocks]
        reach = -(-(reach + max(map(_reach, group))) // upsample.stride) + _tap_reach(upsample)
    return reach + generator.conv_pre.padding + 1


def _render_window(
    generator: Generator, z: Tensor, source: Tensor | None, speaker: Tensor
) -> Tensor:
    x = convolve(generator.conv_pre, z.transpose(1, 2).contiguous())
    x += generator.cond(speaker).transpose(1, 2)
    blocks = len(generator.resblocks) // len(generator.ups)
    for stage, upsample in enumerate(generator.ups):
        group = generator.resblocks[stage * blocks : (stage + 1) * blocks]
        noise_conv = None if source is None else generator.noise_convs[stage]
        x = _render_stage(x, upsample, noise_conv, source, list(group))
    return torch.tanh(_to_one_channel(generator.conv_post, F.leaky_relu_(x, LAST_LEAK)))


def convolve(conv: Conv, x: Tensor) -> Tensor:
    """A convolution along the rows of (B, N, C)."""
    return _convolve(x, conv.kernel(), conv.bias, conv.padding, conv.dilation)


def _convolve(
    x: Tensor, kernel: Tensor, bias: Tensor | None, padding: int, dilation: int = 1
) -> Tensor:
    image = x.transpose(1, 2).unsqueeze(2)  # (B, C, 1, N), in memory still rows
    made = F.conv2d(image, kernel.unsqueeze(2), bias, 1, (0, padding), (1, dilation))
    return made.squeeze(2).transpose(1, 2)


def _render_stage(
    x: Tensor,
    upsample: Conv,
    noise_conv: Conv | None,
    source: Tensor | None,
    group: list[ResidualBlock],
) -> Tensor:
    """(B, N, C) -> (B, N * stride, C / 2): upsample, add the source, mean of the blocks."""
    batch, rows, _ = x.shape
    stride, dim = upsample.stride, upsample.kernel().shape[1]
    phases, taps = phase_kernel(upsample), _tap_reach(upsample)
    bias = upsample.bias.repeat(stride)
    reach = -(-max(map(_reach, group)) // stride) + taps  # in rows of x
    step = max(1, PIECE_VALUES * torch.get_num_threads() // dim // stride)
    made = x.new_empty(batch, rows * stride, dim)
    frames = None if noise_conv is None else _frames(noise_conv, source)
    for start in range(0, rows, step):
        end = min(start + step, rows)
        low, high = max(0, start - reach), min(rows, end + reach)
        piece = _convolve(F.leaky_relu(x[:, low:high], LEAK), phases, bias, taps)
        piece = piece.reshape(batch, (high - low) * stride, dim)
        if frames is not None:
            seen = frames[:, low * stride : high * stride]
            piece += F.linear(seen, noise_conv.kernel()[:, 0], noise_conv.bias)
        kept = slice((start - low) * stride, (end - low) * stride)
        out = made[:, start * stride : end * stride]
        for number, block in enumerate(group):
            rendered = _render_block(block, piece)[:, kept]
            out.copy_(rendered) if number == 0 else out.add_(rendered)
        out.div_(len(group))
    return made


def phase_kernel(upsample: Conv) -> Tensor:
    """The kernel (stride * C', C, taps) of the convolution that gives all phases at once.

    Output sample n * stride + phase depends on input n - d by tap phase + padding + stride * d.
    """
    kernel = upsample.kernel()  # (C, C', size)
    inputs, outputs, size = kernel.shape
    stride, padding = upsample.stride, upsample.padding
    reach = _tap_reach(upsample)
    phases = kernel.new_zeros(stride, outputs, inputs, 2 * reach + 1)
    for phase in range(stride):
        for d in range(-reach, reach + 1):
            tap = phase + padding + stride * d
            if 0 <= tap < size:
                phases[phase, :, :, reach - d] = kernel[:, :, tap].T
    return phases.flatten(0, 1)


def _tap_reach(upsample: Conv) -> int:
    """Input samples on each side that an output of a transposed convolution depends on."""
    return (upsample.kernel_size - 1 - upsample.padding) // upsample.stride


def _frames(noise_conv: Conv, source: Tensor) -> Tensor:
    """Return what each output sample of a source's convolution depends on: (B, N, size), a view."""
    padded = F.pad(source[:, 0], (noise_conv.padding, noise_conv.padding))
    return padded.unfold(-1, noise_conv.kernel_size, noise_conv.stride)


def _render_block(block: ResidualBlock, x: Tensor) -> Tensor:
    for dilated, dense in zip(block.convs1, block.convs2, strict=True):
        inner = F.leaky_relu_(convolve(dilated, F.leaky_relu(x, LEAK)), LEAK)
        x = convolve(dense, inner).add_(x)
    return x


def _reach(block: ResidualBlock) -> int:
    """Samples on each side that a block's output depends on."""
    return sum(conv.padding for convs in (block.convs1, block.convs2) for conv in convs)


def _to_one_channel(conv: Conv, x: Tensor) -> Tensor:
    """A convolution to one channel: a product for all taps, then their sum. Returns (B, 1, N)."""
    taps = conv.kernel()[0].T  # (size, C)
    products = F.pad(F.linear(x, taps), (0, 0, conv.padding, conv.padding))
    rows = x.shape[1]
    made = sum(products[:, tap : tap + rows, tap] for tap in range(len(taps)))[:, None]
    return made if conv.bias is None else made + conv.bias
