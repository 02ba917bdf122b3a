"""Several processes that train one voice together, started by torchrun; one process needs none."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn

from errors import UserError

BUCKET_VALUES = 16_000_000  # gradients summed in one message (64 MB)


@contextmanager
def together(device_name: str) -> Iterator[str]:
    """Join the other processes for the block; yields the device that is this one's.

    device_name: for all of them, or a list with one for each process of this machine, e.g.
    cuda:1,cuda:3. NCCL between CUDA GPUs, Gloo for what lies in memory. Without torchrun nothing
    happens.
    """
    if "WORLD_SIZE" not in os.environ:
        yield device_name
        return
    names, number = device_name.split(","), int(os.environ["LOCAL_RANK"])
    on_gpu = device_name.startswith("cuda") or (
        device_name == "auto" and torch.cuda.device_count() > 0
    )
    if len(names) > 1:
        if len(names) != int(os.environ["LOCAL_WORLD_SIZE"]):
            raise UserError("devices_count", devices=device_name)
        device_name = names[number]
    elif on_gpu:
        device_name = f"cuda:{number}"
    if on_gpu:
        torch.cuda.set_device(device_name)
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo")
    try:
        yield device_name
    finally:
        dist.destroy_process_group()


def count() -> int:
    """How many processes share the work."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """This one's number among them; 0 writes the files."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_first_here() -> bool:
    """Whether this is the one process on its machine that looks after files beside the clips."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def total(number: Tensor) -> Tensor:
    """Return the sum of a number over the processes; nobody waits for its value."""
    if dist.is_initialized():
        dist.all_reduce(number)
    return number


def any_of(flag: bool) -> bool:
    """Say whether the flag is set in any process; all of them get the same answer."""
    if not dist.is_initialized():
        return flag
    number = torch.tensor(int(flag))
    dist.all_reduce(number)  # by Gloo: no GPU is waited for
    return bool(number)


def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Give every process the sum of all gradients; one that has none counts as zero."""
    if not dist.is_initialized():
        return
    bucket: list[Tensor] = []
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        bucket.append(parameter.grad)
        if sum(gradient.numel() for gradient in bucket) > BUCKET_VALUES:
            _sum(bucket)
            bucket = []
    if bucket:
        _sum(bucket)


def _sum(gradients: list[Tensor]) -> None:
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    for gradient, part in zip(
        gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True
    ):
        gradient.copy_(part.view_as(gradient))
