"""The memory planner: its formula beside what was measured, and what it proposes."""

from __future__ import annotations

import pytest

from train.memory import RESERVE_GIB, needed_memory, plan_memory


@pytest.mark.parametrize(("batch_size", "peak"), [(4, 2.73), (8, 3.57), (16, 5.28)])
def test_the_formula_gives_the_peaks_that_were_measured(batch_size: int, peak: float) -> None:
    assert needed_memory(batch_size) - RESERVE_GIB == pytest.approx(peak, abs=0.02)


@pytest.mark.parametrize(
    ("memory", "half", "full"), [(4, 6, 3), (6, 16, 8), (8, 24, 12), (12, 32, 16), (24, 32, 32)]
)
def test_what_is_proposed_fits_and_the_next_larger_batch_does_not(
    memory: float, half: int, full: int
) -> None:
    for precision, wanted in (("fp16", half), ("fp32", full)):
        plan = plan_memory(memory, precision)
        assert (plan.batch_size, plan.precision, plan.fits) == (wanted, precision, True)
        assert plan.needed <= memory
        assert wanted == 32 or needed_memory(2 * wanted, precision) > memory


def test_a_higher_rate_needs_more_and_a_tiny_gpu_is_told_so() -> None:
    assert needed_memory(8, sample_rate=48000) > needed_memory(8) > needed_memory(8, "fp16", 32000)
    assert plan_memory(2.0) == plan_memory(1.0)
    assert not plan_memory(2.0).fits
