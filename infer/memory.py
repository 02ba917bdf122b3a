"""What to do when memory does not suffice: recognise it, give back what is free, cut shorter."""

from __future__ import annotations

import ctypes
import gc
import logging
import sys
from collections.abc import Callable, Iterator
from textwrap import shorten
from typing import TypeVar

import torch

from errors import UserError
from infer.chunking import Chunk, Cutter
from infer.stages import Stages

logger = logging.getLogger(__name__)
Result = TypeVar("Result")

# what the allocators of torch (GPU, Apple's GPU, processor), onnxruntime and C++ say; oneDNN has no
# better words for it than the last two
REFUSALS = (
    "out of memory", "can't allocate memory", "not enough memory", "alloc_failed",
    "bad allocation", "bad_alloc", "failed to allocate memory",
    "could not create a primitive", "could not execute a primitive",
)  # fmt: skip


class TooLittleMemory(UserError):
    """Not even a short chunk fits the memory."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a GPU or the machine has too little memory."""
    message = str(error).lower()
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(words in message for words in REFUSALS)
    )


def allocator_message(error: Exception) -> str:
    """Return what an allocator said, in one short line."""
    return shorten(str(error) or type(error).__name__, 160)


def give_back(device: torch.device) -> None:
    """Let a GPU have what an attempt that failed has left behind."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
    trim()


def trim() -> None:
    """Let the system have what was freed; glibc keeps it in pieces that grow with every chunk."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "malloc_trim"):  # not in musl, which needs no asking
            libc.malloc_trim(0)


class FittingChunks:
    """The chunks of a recording, cut shorter where one does not fit the memory of a device."""

    def __init__(
        self,
        chunks: Cutter,
        device: torch.device,
        stages: Stages,
        on_done: Callable[[str, float], None] = lambda name, seconds: None,
    ) -> None:
        """on_done is told of every chunk: the pass that is done with it, and its seconds."""
        self.chunks, self.device = chunks, device
        self._stages, self._on_done = stages, on_done

    def compute(
        self, function: Callable[[Chunk, int], Result], name: str
    ) -> Iterator[tuple[Chunk, Result]]:
        """Yield each chunk with what function(chunk, number of chunks before it) gives.

        name: of this pass, see infer.progress. Where memory does not suffice, the chunk comes
        again, shorter, as do those after it. TooLittleMemory: it cannot be shorter.
        """
        number = 0
        for chunk in self._stages.over(self.chunks, "cut"):
            try:
                result = function(chunk, number)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                message = allocator_message(error)
            else:
                number += 1
                self._on_done(name, len(chunk.core) / self.chunks.sample_rate)
                yield chunk, result
                continue
            give_back(self.device)  # not earlier: the error holds what the attempt had made
            self._cut_shorter(chunk, message)

    def take_back(self, chunks: list[Chunk]) -> None:
        """Have the last chunks, in their order, come again."""
        for chunk in reversed(chunks):
            self.chunks.take_back(chunk)

    def _cut_shorter(self, chunk: Chunk, message: str) -> None:
        before, rate = self.chunks.sizes.x_center, self.chunks.sample_rate
        try:
            self.chunks.halve(chunk)
        except ValueError as error:
            what = UserError("memory_chunk", seconds=len(chunk.core) / rate, device=self.device)
            raise TooLittleMemory("memory", what=what, detail=message) from error
        logger.warning(
            "memory of %s does not suffice: from %.0f s on, %.1f s are converted at once instead "
            "of %.1f s", self.device, chunk.start / rate, self.chunks.sizes.x_center, before,
        )  # fmt: skip
