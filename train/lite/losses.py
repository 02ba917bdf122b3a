"""Spectral, adversarial and feature-matching losses of the lite recipe."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infer.audio.mel import mel_filters

LOG_FLOOR = 1e-3  # STFT magnitudes below this (about -108 dB) are silence to the losses


class SpectralLoss(nn.Module):
    """Mean difference of log mel and of log magnitude spectra, at several window lengths.

    Bins above a recording's bandwidth do not count: a 16 kHz one says nothing about 9 kHz.
    """

    def __init__(self, sample_rate: int, windows: list[int], mels: list[int]) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.windows = windows
        for window, num_mels in zip(windows, mels, strict=True):
            filters = torch.from_numpy(mel_filters(num_mels, window, sample_rate, "htk", "sum"))
            hz = torch.linspace(0, sample_rate / 2, window // 2 + 1)
            self.register_buffer(f"mel_{window}", filters, persistent=False)
            self.register_buffer(f"top_{window}", (filters * hz).sum(1), persistent=False)
            self.register_buffer(f"hz_{window}", hz, persistent=False)
            self.register_buffer(f"window_{window}", torch.hann_window(window), persistent=False)

    def forward(self, made: Tensor, real: Tensor, bandwidth: Tensor) -> tuple[Tensor, Tensor]:
        """made, real: (B, N); bandwidth: (B,) Hz. Returns the mel and the stft loss."""
        mel_loss = stft_loss = made.new_zeros(())
        for window in self.windows:
            hann = getattr(self, f"window_{window}")
            shape = {"n_fft": window, "hop_length": window // 4, "window": hann}
            spec = [torch.stft(wav, **shape, return_complex=True).abs() for wav in (made, real)]
            filters = getattr(self, f"mel_{window}")
            mel = [torch.log(torch.matmul(filters, s).clamp(min=LOG_FLOOR)) for s in spec]
            inside = (getattr(self, f"top_{window}") < 0.97 * bandwidth[:, None]).to(made.dtype)
            mel_loss = mel_loss + _masked_mean((mel[0] - mel[1]).abs(), inside)
            log = [torch.log(s.clamp(min=LOG_FLOOR)) for s in spec]
            inside = (getattr(self, f"hz_{window}") < 0.97 * bandwidth[:, None]).to(made.dtype)
            stft_loss = stft_loss + _masked_mean((log[0] - log[1]).abs(), inside)
        return mel_loss / len(self.windows), stft_loss / len(self.windows)


def _masked_mean(difference: Tensor, inside: Tensor) -> Tensor:
    """difference: (B, F, T), inside: (B, F) 0 or 1."""
    return (difference * inside[..., None]).sum() / (inside.sum() * difference.shape[-1])


def discriminator_loss(real: Sequence[Tensor], made: Sequence[Tensor]) -> Tensor:
    """Hinge loss: real scores above 1, made scores below -1. Mean over discriminators."""
    parts = [F.relu(1 - r).mean() + F.relu(1 + m).mean() for r, m in zip(real, made, strict=True)]
    return torch.stack(parts).mean()


def adversarial_loss(made: Sequence[Tensor]) -> Tensor:
    """What the synthesizer minimises: the negative score of what it made."""
    return torch.stack([-score.mean() for score in made]).mean()


def feature_matching_loss(pairs: list[list[tuple[Tensor, Tensor]]]) -> Tensor:
    """Mean difference of hidden layers (real, made) of each discriminator, relative to the real."""
    parts = [
        (real.detach() - made).abs().mean(dtype=torch.float32)
        / real.detach().abs().mean(dtype=torch.float32).clamp(min=1e-4)
        for layers in pairs
        for real, made in layers
    ]
    return torch.stack(parts).mean()
