"""A training step and a conversion ask a GPU for nothing: shown on fake tensors."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException

from tools.research.launches import (
    BEFORE,
    CONVERSIONS,
    STEPS,
    Launches,
    Waits,
    count,
    count_conversion,
    fake_gpu,
)


@pytest.mark.parametrize("family", STEPS)
def test_a_step_never_waits_and_starts_fewer_kernels_than_it_did(family: str) -> None:
    """The share is what was reached, with some room; before: with torch's lists of tensors."""
    share = {"v2": 0.5, "lite": 0.85}[family]
    assert 500 < count(family).total < share * BEFORE[family][1]


def test_an_unscaled_step_does_not_wait_either() -> None:
    with fake_gpu():
        step, state = STEPS["v2"](scaled=False)
        with Launches() as launches:
            step()
    assert launches.kernels["_fused_adamw_"] >= 2
    assert [name for _, name, _ in state.norms] == ["discriminators", "synthesizer"]


@pytest.mark.parametrize("network", CONVERSIONS)
def test_a_conversion_never_waits(network: str) -> None:
    assert count_conversion(network).total > 20


@pytest.mark.parametrize(
    "waits",
    [
        lambda x: x.sum().item(),
        lambda x: bool(x.sum() > 0),
        lambda x: x + torch.tensor(1.0),
        lambda x: torch.randn(3, generator=torch.Generator()),
    ],
)
def test_what_waits_is_noticed(waits: Callable[[torch.Tensor], object]) -> None:
    with fake_gpu(), Launches(), pytest.raises((Waits, DataDependentOutputException)):
        waits(torch.empty(3))
