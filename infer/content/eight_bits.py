"""Matrix products in 8 bits, for a few rows at a time: what costs there is reading the weights."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn


def is_fast(device: torch.device) -> bool:
    """Whether torch multiplies 8-bit matrices on this device faster than floats."""
    return device.type == "cpu" and torch.backends.quantized.engine in ("x86", "fbgemm")


class EightBitLinear(nn.Module):
    """A Linear with weights in 8 bits, a scale for each row, and inputs in 8 bits as they come."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach()
        scale = (weight.abs().amax(1).clamp(min=1e-12) / 127).double()
        with warnings.catch_warnings():  # a note about what torch plans for its own quantizers
            warnings.simplefilter("ignore")
            quantized = torch._make_per_channel_quantized_tensor(
                (weight / scale[:, None]).round().to(torch.int8), scale,
                torch.zeros(len(scale), dtype=torch.long), 0,
            )  # fmt: skip
        self._packed = torch.ops.quantized.linear_prepack(quantized, linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.quantized.linear_dynamic(x, self._packed, True)


def use_eight_bits(network: nn.Module) -> None:
    """Let a network's Linears compute in 8 bits from here on."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                setattr(module, name, EightBitLinear(child))
