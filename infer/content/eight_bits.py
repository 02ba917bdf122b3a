"""Layers for a few frames at a time: what costs there is reading the weights."""

from __future__ import annotations

import warnings

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def is_fast(device: torch.device) -> bool:
    """Whether torch multiplies 8-bit matrices on this device faster than floats."""
    return device.type == "cpu" and torch.backends.quantized.engine in ("x86", "fbgemm")


class EightBitLinear(nn.Module):
    """A Linear with weights in 8 bits, a scale for each row, and inputs in 8 bits as they come."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        weight = weight.detach()
        scale = (weight.abs().amax(1).clamp(min=1e-12) / 127).double()
        with warnings.catch_warnings():  # a note about what torch plans for its own quantizers
            warnings.simplefilter("ignore")
            quantized = torch._make_per_channel_quantized_tensor(
                (weight / scale[:, None]).round().to(torch.int8), scale,
                torch.zeros(len(scale), dtype=torch.long), 0,
            )  # fmt: skip
        self._packed = torch.ops.quantized.linear_prepack(quantized, bias)

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.quantized.linear_dynamic(x, self._packed, True)


class ProductConv(nn.Module):
    """A Conv1d as one matrix product of floats: a few frames take a third of the time."""

    def __init__(self, conv: nn.Conv1d) -> None:
        super().__init__()
        self._weight, self._bias = conv.weight.detach().flatten(1), conv.bias
        self._size, self._stride = conv.kernel_size[0], conv.stride[0]
        self._padding = 2 * (int(conv.padding[0]),)

    def forward(self, x: Tensor) -> Tensor:
        seen = F.pad(x, self._padding).unfold(2, self._size, self._stride)
        return F.linear(seen.transpose(1, 2).flatten(2), self._weight, self._bias).transpose(1, 2)


def use_eight_bits(network: nn.Module) -> None:
    """Let a network's Linears compute in 8 bits from here on, and its Conv1ds by products."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                setattr(module, name, EightBitLinear(child.weight, child.bias))
            elif isinstance(child, nn.Conv1d):
                setattr(module, name, ProductConv(child))
