"""Discriminators see a recording up to its bandwidth."""

from __future__ import annotations

import torch

from train.lite.discriminators import SpectrogramDiscriminators

RATE = 24000
WINDOWS = [512, 1024]


def judge(wav: torch.Tensor, bandwidth: float) -> list[torch.Tensor]:
    """Scores of discriminators with fixed weights."""
    torch.manual_seed(0)
    network = SpectrogramDiscriminators(RATE, WINDOWS, [8, 8])
    with torch.no_grad():
        scores, layers = network(wav, torch.tensor([bandwidth]).expand(len(wav)))
    assert len(scores) == len(layers) == len(WINDOWS)
    return scores


def test_what_lies_above_the_bandwidth_is_not_seen() -> None:
    time = torch.arange(RATE // 4) / RATE
    low = 0.1 * torch.randn(1, len(time), generator=torch.Generator().manual_seed(1))
    swell = torch.hann_window(len(time))  # a sudden end would be heard at every frequency
    both = low + 0.1 * swell * torch.sin(2 * torch.pi * 10500 * time)
    for one, other in zip(judge(low, 8000.0), judge(both, 8000.0), strict=True):
        assert float((one - other).abs().max()) < 1e-3
    moved = [
        float((one - other).abs().max())
        for one, other in zip(judge(low, 12000.0), judge(both, 12000.0), strict=True)
    ]
    assert max(moved) > 1e-2


def test_recordings_of_a_batch_are_judged_one_by_one() -> None:
    wav = 0.1 * torch.randn(2, RATE // 4, generator=torch.Generator().manual_seed(1))
    for together, alone in zip(judge(wav, 12000.0), judge(wav[1:], 12000.0), strict=True):
        torch.testing.assert_close(together[1:], alone, atol=1e-5, rtol=1e-4)


def test_silence_has_a_finite_score_and_gradient() -> None:
    network = SpectrogramDiscriminators(RATE, WINDOWS, [8, 8])
    wav = torch.zeros(1, RATE // 4, requires_grad=True)
    scores, _ = network(wav, torch.tensor([12000.0]))
    sum(score.mean() for score in scores).backward()
    assert bool(torch.isfinite(wav.grad).all())
