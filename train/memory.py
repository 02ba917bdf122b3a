"""How much GPU memory a training of the standard families needs, and what is proposed for a GPU.

Fitted to peaks that torch measured on an H200 in November 2026 (v2, 40 kHz, fp16; batches of 4, 8
and 16: 2.73, 3.57 and 5.28 GiB). Other rates and fp32 are computed from them, not measured.
"""

from __future__ import annotations

from dataclasses import dataclass

FIXED_GIB = 1.88  # weights, gradients, the optimisers' moments, and what convolutions work with
CLIP_GIB = 0.2125  # activations of a clip at FITTED_RATE in half precision
FITTED_RATE = 40000  # Hz
RESERVE_GIB = 0.7  # CUDA's own, and what the allocator cannot use
BATCH_SIZES = (32, 24, 16, 12, 8, 6, 4, 3, 2, 1)


@dataclass(frozen=True)
class MemoryPlan:
    """What is proposed for a GPU; needed: GiB at its peak, CUDA's own included."""

    batch_size: int
    precision: str
    needed: float
    fits: bool


def needed_memory(
    batch_size: int, precision: str = "fp16", sample_rate: int = FITTED_RATE
) -> float:
    """Return the GiB that a training takes at its peak, CUDA's own included."""
    width = 2 if precision == "fp32" else 1
    clips = batch_size * width * CLIP_GIB * sample_rate / FITTED_RATE
    return RESERVE_GIB + FIXED_GIB + clips


def plan_memory(free: float, precision: str = "fp16", sample_rate: int = FITTED_RATE) -> MemoryPlan:
    """Propose the largest batch that fits so many free GiB; one clip where nothing does."""
    for batch_size in BATCH_SIZES:
        needed = needed_memory(batch_size, precision, sample_rate)
        if needed <= free:
            return MemoryPlan(batch_size, precision, needed, fits=True)
    return MemoryPlan(1, precision, needed, fits=False)
