"""What to do when memory does not suffice: recognise it, give back what is free."""

from __future__ import annotations

import ctypes
import gc
import sys

import torch

# what the allocators of torch (GPU, Apple's GPU, processor), onnxruntime and C++ say; oneDNN has no
# better words for it than the last two
REFUSALS = (
    "out of memory", "can't allocate memory", "not enough memory", "alloc_failed",
    "bad allocation", "bad_alloc", "failed to allocate memory",
    "could not create a primitive", "could not execute a primitive",
)  # fmt: skip


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a GPU or the machine has too little memory."""
    told = str(error).lower()
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(words in told for words in REFUSALS)
    )


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
