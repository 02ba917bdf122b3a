"""From a network's salience over pitch bins to a frequency (CREPE, FCPE, RMVPE)."""

from __future__ import annotations

import torch
from torch import Tensor

PITCH_BINS = 360
CENTS_REFERENCE = 10.0  # Hz at 0 cents
CENTS_FIRST, CENTS_STEP = 1997.3794084376191, 20.0  # of the bins of CREPE and RMVPE
NEIGHBOURS = 4  # bins on either side of the peak that share in the weighted mean


def bin_cents(device: str) -> Tensor:
    """Where the bins of CREPE and RMVPE lie, (360,) cents above 10 Hz."""
    return CENTS_FIRST + CENTS_STEP * torch.arange(PITCH_BINS, device=device)


def cents_to_hz(cents: Tensor) -> Tensor:
    """Frequency of cents above 10 Hz."""
    return CENTS_REFERENCE * 2.0 ** (cents / 1200.0)


def mean_around(salience: Tensor, cents: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted mean of the nine bins around the highest one.

    salience: (T, K) in 0..1, cents: (K,) of each bin.
    Returns the mean (T,) in cents and the salience of the highest bin (T,).
    """
    height, peak = salience.max(dim=1)
    offsets = torch.arange(-NEIGHBOURS, NEIGHBOURS + 1, device=salience.device)
    around = peak[:, None] + offsets
    inside = (around >= 0) & (around < salience.shape[1])
    around = around.clamp(0, salience.shape[1] - 1)
    weights = salience.gather(1, around) * inside
    return (weights * cents[around]).sum(dim=1) / weights.sum(dim=1).clamp_min(1e-9), height
