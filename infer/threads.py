"""How many threads torch computes with: one where other programs have the cores.

Threads that share an operation wait for each other at its end, thousands of times a second. Where
one of them has to wait for a core each time, many are several times slower than one alone.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from functools import cache

import torch

WATCH_SECONDS = 5.0  # between two looks at what the others do
ROWS, DIM = 128, 512  # of the matrix product that is timed, one as in the networks
PRODUCTS = 6
GAIN = 0.8  # of one thread's time in which many have to be through, or one works alone


@dataclass
class _Threads:
    """most: that torch had at first. looked_at: when both were timed last."""

    most: int
    looked_at: float = -math.inf


def fit_threads(device: torch.device) -> None:
    """Let torch use all of its threads, or one where that is quicker now.

    In float32 the numbers stay the same; in bfloat16 last bits can differ.

    device: where the networks are; nothing changes where it is no processor.
    """
    threads, now = _threads(), time.perf_counter()
    if device.type != "cpu" or threads.most == 1 or now - threads.looked_at < WATCH_SECONDS:
        return
    alone, together = _time_products(1), _time_products(threads.most)
    if together > GAIN * alone:
        torch.set_num_threads(1)
    threads.looked_at = time.perf_counter()


def most_threads() -> int:
    """The threads that torch had before any were taken from it."""
    return _threads().most


@cache
def _threads() -> _Threads:
    return _Threads(torch.get_num_threads())


@torch.inference_mode()
def _time_products(threads: int) -> float:
    """Seconds that a few matrix products take with so many threads, which stay set."""
    torch.set_num_threads(threads)
    rows, matrix = torch.ones(ROWS, DIM), torch.ones(DIM, 2 * DIM)
    rows @ matrix  # the first wakes the threads
    began = time.perf_counter()
    for _ in range(PRODUCTS):
        rows @ matrix
    return time.perf_counter() - began
