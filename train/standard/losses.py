"""Losses of the standard recipe (VITS: arXiv:2106.06103; HiFi-GAN: arXiv:2010.05646).

All reduce in float32. Means are over items of equal length, so a batch in parts, each weighted by
its share of the items, has the same losses and gradients as the whole.
"""

from __future__ import annotations

import torch
from torch import Tensor


def discriminator_loss(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """Return the least squares: real scores 1, fake scores 0; the sum over discriminators."""
    parts = [
        (1 - r.float()).square().mean() + f.float().square().mean()
        for r, f in zip(real, fake, strict=True)
    ]
    return torch.stack(parts).sum()


def adversarial_loss(fake: list[Tensor]) -> Tensor:
    """Return what the synthesizer minimises: the distance of its scores from 1."""
    return torch.stack([(1 - score.float()).square().mean() for score in fake]).sum()


def feature_matching_loss(real: list[list[Tensor]], fake: list[list[Tensor]]) -> Tensor:
    """Return the sum of the mean differences of every layer."""
    parts = [
        (r.detach().float() - f.float()).abs().mean()
        for real_layers, fake_layers in zip(real, fake, strict=True)
        for r, f in zip(real_layers, fake_layers, strict=True)
    ]
    return torch.stack(parts).sum()


def kl_sum(z_p: Tensor, logs_q: Tensor, m_p: Tensor, logs_p: Tensor, mask: Tensor) -> Tensor:
    """Kullback-Leibler divergence of posterior and prior, summed over all valid values.

    z_p, logs_q, m_p, logs_p: (B, C, T); mask: (B, 1, T) 0 or 1. Divided by the number of valid
    frames (not by the channels) it is the loss.
    """
    z_p, logs_q, m_p, logs_p = (x.float() for x in (z_p, logs_q, m_p, logs_p))
    divergence = logs_p - logs_q - 0.5
    divergence = divergence + 0.5 * (z_p - m_p).square() * torch.exp(-2 * logs_p)
    return (divergence * mask).sum()
