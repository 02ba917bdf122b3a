"""Kernels of all convolutions of a network at once, for a training step.

Layer by layer a step starts three small kernels for every convolution before it convolves: weight
norm, and the weight and the bias in the products' type. Here the types are changed for all of them
together, and a network that sees two inputs has its weight norm computed once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from infer.models.ops import Kernel
from train import processes


@contextmanager
def prepared_kernels(network: nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """Let the convolutions of a network use kernels of a type, computed on entry.

    Of several processes each part's are computed when it is called: a backward pass runs from the
    newest to the oldest, so that the part's gradients come, and are sent, before it goes on.
    """
    prepared: list[nn.Module] = []
    called: set[nn.Module] = set()

    def prepare(part: nn.Module, *inputs: Any) -> None:
        if part not in called:
            called.add(part)
            prepared.extend(_prepare(part, dtype))

    hooks = []
    if processes.count() > 1:
        parts = processes.parts_of(network)
        hooks = [part.register_forward_pre_hook(prepare) for part in parts]
    else:
        prepare(network)
    try:
        yield
    finally:
        for module in prepared:
            module.prepared = None
        for hook in hooks:
            hook.remove()


def _prepare(part: nn.Module, dtype: torch.dtype) -> list[nn.Module]:
    """Give the convolutions of a part their kernels; returns the convolutions."""
    convolutions = [module for module in part.modules() if hasattr(module, "prepared")]
    tensors: list[Tensor] = []
    for module in convolutions:
        tensors += [module.weight_v, module.weight_g] if hasattr(module, "weight_v") else [
            module.weight
        ]  # fmt: skip
    normed = tuple(hasattr(module, "weight_v") for module in convolutions)
    biases = [module.bias for module in convolutions if module.bias is not None]
    made = iter(_Kernels.apply(dtype, normed, *tensors, *biases))
    weights = [next(made) for _ in convolutions]
    for module, weight in zip(convolutions, weights, strict=True):
        module.prepared = Kernel(weight, None if module.bias is None else next(made))
    return convolutions


class _Kernels(torch.autograd.Function):
    """Weights, normed ones as direction and magnitude, then biases -> kernels, then biases."""

    @staticmethod
    def forward(
        ctx: Any, dtype: torch.dtype, normed: tuple[bool, ...], *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        ahead = iter(tensors)
        kernels, kept = [], []
        for is_normed in normed:
            weight = next(ahead)
            if is_normed:
                direction, magnitude = weight, next(ahead)
                weight, lengths = torch._weight_norm_interface(direction, magnitude, 0)
                kept += [direction, magnitude, lengths]
            kernels.append(weight)
        kernels += ahead
        ctx.normed = normed
        ctx.save_for_backward(*kept)
        return tuple(_as_type(kernels, dtype))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        found = [gradient for gradient in gradients if gradient is not None]
        full = iter(_as_type(found, torch.float32))
        ahead = iter(None if gradient is None else next(full) for gradient in gradients)
        kept = iter(ctx.saved_tensors)
        results: list[Tensor | None] = []
        for is_normed in ctx.normed:
            gradient = next(ahead)
            if is_normed:
                saved = next(kept), next(kept), next(kept)
                results += [None, None] if gradient is None else (
                    torch.ops.aten._weight_norm_interface_backward(gradient.contiguous(), *saved, 0)
                )  # fmt: skip
            else:
                results.append(gradient)
        return None, None, *results, *ahead


def _as_type(tensors: list[Tensor], dtype: torch.dtype) -> list[Tensor]:
    """Return tensors of that type; views of those that have it."""
    if all(tensor.dtype == dtype for tensor in tensors):
        return [tensor.view_as(tensor) for tensor in tensors]
    changed = [torch.empty_like(tensor, dtype=dtype) for tensor in tensors]
    torch._foreach_copy_(changed, tensors)
    return changed
