"""Losses of the lite recipe: zero for equals, growing with the error, blind above the band."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from train.lite.losses import (
    SpectralLoss,
    adversarial_loss,
    discriminator_loss,
    feature_matching_loss,
)

RATE = 24000
WINDOWS = [512, 1024]
FULL = torch.tensor([12000.0])


def tone(hz: float, level: float = 0.1) -> Tensor:
    """Half a second, (1, N)."""
    return level * torch.sin(2 * torch.pi * hz * torch.arange(RATE // 2) / RATE)[None]


def speech_like() -> Tensor:
    """A few harmonics and some noise."""
    noise = 0.01 * torch.randn(1, RATE // 2, generator=torch.Generator().manual_seed(0))
    return sum((tone(180.0 * k, 0.2 / k) for k in range(1, 30)), noise)


@pytest.fixture(scope="module")
def spectral() -> SpectralLoss:
    """The loss at two window lengths."""
    return SpectralLoss(RATE, WINDOWS, [40, 80])


def test_equal_recordings_have_no_loss_and_it_grows_with_the_error(spectral: SpectralLoss) -> None:
    real = speech_like()
    losses = [spectral(gain * real, real, FULL) for gain in (1.0, 0.9, 0.5, 0.1)]
    assert [float(part) for part in losses[0]] == [0.0, 0.0]
    for part in range(2):
        values = [float(loss[part]) for loss in losses]
        assert values == sorted(values) and values[1] > 0.01
    # half the level is log 2 in every bin that is no silence
    assert float(losses[2][1]) == pytest.approx(0.693, rel=0.1)


def test_what_lies_above_the_bandwidth_does_not_count(spectral: SpectralLoss) -> None:
    real = speech_like()
    made = real + tone(10500.0)
    narrow = torch.tensor([8000.0])
    assert all(float(part) < 0.02 for part in spectral(made, real, narrow))
    assert all(float(part) > 0.02 for part in spectral(made, real, FULL))
    low = real + tone(3000.0)
    assert all(float(part) > 0.02 for part in spectral(low, real, narrow))


def test_each_recording_of_a_batch_has_its_own_bandwidth(spectral: SpectralLoss) -> None:
    real = speech_like().expand(2, -1)
    made = torch.cat([real[:1], real[1:] + tone(10500.0)])
    wide_first, wide_second = torch.tensor([[12000.0, 8000.0], [8000.0, 12000.0]])
    assert float(spectral(made, real, wide_first)[1]) < float(spectral(made, real, wide_second)[1])


def test_the_loss_can_be_followed_down_even_from_silence(spectral: SpectralLoss) -> None:
    made = (1e-3 * torch.randn(1, RATE // 2)).requires_grad_()
    sum(spectral(made, speech_like(), FULL)).backward()
    assert bool(torch.isfinite(made.grad).all()) and bool(made.grad.any())


def test_hinge_values() -> None:
    sure = [torch.full((2, 5), 1.5)], [torch.full((2, 5), -2.0)]
    assert float(discriminator_loss(*sure)) == 0.0
    assert float(discriminator_loss(sure[1], sure[0])) == pytest.approx(3.0 + 2.5)
    undecided = [torch.zeros(2, 5), torch.zeros(1, 3)]
    assert float(discriminator_loss(undecided, undecided)) == pytest.approx(2.0)
    assert float(adversarial_loss([torch.full((2, 5), 0.5), torch.full((2, 2), 1.5)])) == -1.0


def test_features_match_relative_to_the_real_ones_which_are_not_moved() -> None:
    real = torch.rand(2, 4, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert float(feature_matching_loss([[(real, real.clone())]]).detach()) == 0.0
    made = (3 * real.detach()).requires_grad_()
    loss = feature_matching_loss([[(real, made)], [(10 * real, 10 * made)]])
    assert float(loss.detach()) == pytest.approx(2.0)
    loss.backward()
    assert real.grad is None and bool(made.grad.any())
