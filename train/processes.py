"""Several processes that train one voice together, started by torchrun; one process needs none."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial

import torch
import torch.distributed as dist
from torch import Tensor, nn

from errors import UserError

BUCKET_VALUES = 8_000_000  # gradients summed in one message (32 MB)
POLL_SECONDS = 0.05
PATIENCE = timedelta(minutes=5)  # with a machine that is gone without a word


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
    from torch.distributed.rendezvous import rendezvous  # not in every build of torch

    store, number, size = next(rendezvous("env://", timeout=PATIENCE))
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=PATIENCE, rank=number, world_size=size,
        store=dist.PrefixStore(_name_together(store, number, size), store),
    )  # fmt: skip
    try:
        yield device_name
    finally:
        dist.destroy_process_group()


def _name_together(store: dist.Store, number: int, size: int) -> str:
    """Return a name that the processes which were started together have in common.

    torchrun's store outlives them, with the addresses of those that died (pytorch issue 135712).
    """
    own = secrets.token_hex(8)
    if number > 0:
        store.set(f"asks/{number}", own)
        name = store.get(f"answer/{own}").decode()  # waits for it
        store.set(f"{name}/{number}", "here")
        return name
    missing, until = set(range(1, size)), time.monotonic() + PATIENCE.total_seconds()
    while missing:
        for other in [other for other in missing if store.check([f"asks/{other}"])]:
            store.set(f"answer/{store.get(f'asks/{other}').decode()}", own)  # or one that died
        missing = {other for other in missing if not store.check([f"{own}/{other}"])}
        if time.monotonic() > until:
            raise UserError("processes_missing", missing=len(missing), all=size)
        time.sleep(POLL_SECONDS)
    return own


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


def agree(number: int) -> bool:
    """Whether all processes have the same number (of 32 bits)."""
    if not dist.is_initialized():
        return True
    bounds = torch.tensor([number, -number])
    dist.all_reduce(bounds, dist.ReduceOp.MAX)
    return int(bounds[0]) == -int(bounds[1])


def parts_of(network: nn.Module) -> list[nn.Module]:
    """The parts of a network that a backward pass finishes one after the other."""
    parts: list[nn.Module] = []
    for child in network.children():
        parts += child if isinstance(child, nn.ModuleList) else [child]
    return parts


class GradientSums:
    """Sums the gradients of a network over the processes, while the backward pass goes on.

    A bucket, gradients of one part of the network, is sent as soon as all of them are there. What
    is in a bucket never changes, so that three processes add the same numbers in the same order
    after a restart, too; DDP arranges its buckets anew after the first step.
    """

    def __init__(self, network: nn.Module) -> None:
        self._buckets: list[list[nn.Parameter]] = []
        self._order: list[int] = []  # in which the buckets are sent, the same in all processes
        self._came: list[int] = []  # buckets that are complete
        self._missing: list[int] = []  # gradients of each bucket
        self._sent: dict[int, tuple[Tensor, dist.Work]] = {}
        self._is_whole = self._knows_order = False
        if not dist.is_initialized():
            return
        for part in reversed(parts_of(network)):
            bucket: list[nn.Parameter] = []
            for parameter in part.parameters():
                bucket.append(parameter)
                if sum(each.numel() for each in bucket) > BUCKET_VALUES:
                    self._buckets.append(bucket)
                    bucket = []
            self._buckets += [bucket] if bucket else []
        assert sum(map(len, self._buckets)) == len(list(network.parameters()))
        self._order = list(range(len(self._buckets)))
        for number, bucket in enumerate(self._buckets):
            for parameter in bucket:
                parameter.register_post_accumulate_grad_hook(partial(self._arrived, number))

    def begin(self, is_whole: bool) -> None:
        """Prepare for a backward pass; of one that is only a part of a batch nothing is sent yet.

        What a pass has sent before it ran out of memory was complete, and stays sent.
        """
        self._is_whole, self._came = is_whole, []
        self._missing = [len(bucket) for bucket in self._buckets]

    def finish(self) -> int:
        """Give every process the sums; returns how many buckets the pass itself had sent.

        Where one process has no gradient of a parameter it counts as zero.
        """
        early = len(self._sent)
        for number in self._order[early:]:
            self._send(number)
        for number, (flat, work) in self._sent.items():
            work.wait()
            gradients = [parameter.grad for parameter in self._buckets[number]]
            sums = flat.split([gradient.numel() for gradient in gradients])
            torch._foreach_copy_(
                gradients, [one.view_as(to) for one, to in zip(sums, gradients, strict=True)]
            )
        self._sent = {}
        if self._buckets and not self._knows_order:  # as they came in the first process
            rest = [number for number in self._order if number not in self._came]
            order = torch.tensor(self._came + rest)
            dist.broadcast(order, 0)
            self._order, self._knows_order = order.tolist(), True
        return early

    def _arrived(self, number: int, parameter: nn.Parameter) -> None:
        self._missing[number] -= 1
        if not self._is_whole or self._missing[number]:
            return
        self._came.append(number)
        while self._knows_order and len(self._sent) < len(self._order):
            ahead = self._order[len(self._sent)]
            if self._missing[ahead]:
                break
            self._send(ahead)

    def _send(self, number: int) -> None:
        for parameter in self._buckets[number]:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        flat = torch.cat([parameter.grad.flatten() for parameter in self._buckets[number]])
        self._sent[number] = flat, dist.all_reduce(flat, async_op=True)
