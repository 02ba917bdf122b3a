"""What networks share: masks, crops, convolutions with weight norm, building without drawing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from infer.voice.hparams import NORM_KEYS


def sequence_mask(lengths: Tensor, frames: int) -> Tensor:
    """(B,) lengths -> (B, 1, frames) float, 1 before the end and 0 after it."""
    positions = torch.arange(frames, device=lengths.device)
    return (positions < lengths[:, None])[:, None].float()


def crop_frames(x: Tensor, starts: Tensor, frames: int) -> Tensor:
    """The frames starts[b] .. starts[b] + frames of each item: (B, ..., T) -> (B, ..., frames)."""
    positions = starts[:, None] + torch.arange(frames, device=x.device)
    index = positions.view(len(x), *[1] * (x.dim() - 2), frames)
    return x.gather(-1, index.expand(*x.shape[:-1], frames))


def draw_normal(shape: tuple[int, ...], generator: torch.Generator | None, like: Tensor) -> Tensor:
    """Normal numbers drawn on the CPU, so that a seed means the same on every device."""
    return torch.randn(shape, generator=generator).to(like)


class Kernel(NamedTuple):
    """What a convolution multiplies with and adds."""

    weight: Tensor
    bias: Tensor | None


class Conv(nn.Module):
    """1-D convolution or transposed convolution, (B, C, T) -> (B, C', T').

    normed: the kernel is weight_g * weight_v / |weight_v|, norms over all dimensions but the first
    (Salimans and Kingma 2016, arXiv:1602.07868), and the keys are those of public voices.
    """

    def __init__(
        self,
        in_dim: int,
        out_dim: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        bias: bool = True,
        normed: bool = False,
        transposed: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride = kernel_size, stride
        self.padding, self.dilation = padding, dilation
        self.prepared: Kernel | None = None  # made for all convolutions of a network at once
        self.normed, self.transposed = normed, transposed
        first, second = (in_dim, out_dim) if transposed else (out_dim, in_dim)
        weight = torch.empty(first, second, kernel_size)
        nn.init.kaiming_uniform_(weight, a=math.sqrt(5))
        bound = 1 / math.sqrt(second * kernel_size)
        offset = nn.Parameter(torch.empty(out_dim).uniform_(-bound, bound)) if bias else None
        if normed:  # optimiser states are in the order of registration: bias, g, v as in public G_
            self.register_parameter("bias", offset)
            self.weight_g = nn.Parameter(weight.flatten(1).norm(dim=1)[:, None, None])
            self.weight_v = nn.Parameter(weight)
        else:
            self.weight = nn.Parameter(weight)
            self.register_parameter("bias", offset)

    def kernel(self) -> Tensor:
        """Return the weight to convolve with."""
        if self.prepared is not None:
            return self.prepared.weight
        return torch._weight_norm(self.weight_v, self.weight_g, 0) if self.normed else self.weight

    def forward(self, x: Tensor) -> Tensor:
        bias = self.bias if self.prepared is None else self.prepared.bias
        if self.transposed:
            return F.conv_transpose1d(x, self.kernel(), bias, self.stride, self.padding)
        return F.conv1d(x, self.kernel(), bias, self.stride, self.padding, self.dilation)


def fold_weight_norm(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights with each pair weight_g, weight_v replaced by the weight that they stand for."""
    magnitude, direction = NORM_KEYS
    folded = {}
    for name, value in weights.items():
        stem = name.removesuffix(direction)
        if stem != name and stem + magnitude in weights:
            folded[stem + "weight"] = torch._weight_norm(value, weights[stem + magnitude], 0)
        elif not (name.endswith(magnitude) and name.removesuffix(magnitude) + direction in weights):
            folded[name] = value
    return folded


class NoDrawing(TorchFunctionMode):
    """Networks made in it keep weights that are not drawn.

    On the meta device there is nothing to draw, yet `normal_` imports torch's compiler for it,
    which takes longer than a short conversion.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is nn.init.normal_:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))
