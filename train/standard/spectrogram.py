"""Linear and log-mel spectrograms of the standard recipe, with the constants of the public bases.

Programs since 2026 use 2e-7 and 2e-6 instead of EPSILON and MEL_FLOOR; the public base models were
trained with these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from infer.audio.mel import mel_filters

EPSILON = 1e-6  # added to the power before the root
MEL_FLOOR = 1e-5  # mel values below this are silence


@dataclass(frozen=True)
class SpectrogramParams:
    """What a spectrogram depends on; f_max None = half the sample rate."""

    sample_rate: int
    n_fft: int
    hop_length: int
    win_length: int
    n_mels: int
    f_min: float = 0.0
    f_max: float | None = None
    epsilon: float = EPSILON
    mel_floor: float = MEL_FLOOR

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> SpectrogramParams:
        """From the group "data" of a configuration of the standard families."""
        return cls(
            sample_rate=data["sample_rate"],
            n_fft=data["n_fft"],
            hop_length=data["hop_length"],
            win_length=data["win_length"],
            n_mels=data["n_mels"],
            f_min=data["mel_fmin"],
            f_max=data["mel_fmax"],
        )


class MelSpectrogram:
    """Linear and log-mel spectrograms on a device that holds the window and the filters."""

    def __init__(self, params: SpectrogramParams, device: torch.device) -> None:
        self.params = params
        given = {"low": params.f_min, "high": params.f_max or None}
        filters = mel_filters(params.n_mels, params.n_fft, params.sample_rate, **given)
        self.filters = torch.from_numpy(filters).to(device)  # (n_mels, F) float32
        self.window = torch.hann_window(params.win_length, device=device)

    def linear(self, wav: Tensor) -> Tensor:
        """(B, N) -> magnitude (B, n_fft / 2 + 1, N // hop_length)."""
        return _magnitude(wav, self.params, self.window)

    def log_mel(self, spec: Tensor) -> Tensor:
        """Magnitude (B, F, T) -> natural log of the mel bands (B, n_mels, T)."""
        return torch.log(torch.matmul(self.filters, spec).clamp(min=self.params.mel_floor))


def linear_spectrogram(wav: Tensor, params: SpectrogramParams) -> Tensor:
    """(B, N) -> magnitude (B, n_fft / 2 + 1, N // hop_length)."""
    return _magnitude(wav, params, torch.hann_window(params.win_length, device=wav.device))


def _magnitude(wav: Tensor, params: SpectrogramParams, window: Tensor) -> Tensor:
    margin = (params.n_fft - params.hop_length) // 2
    padded = F.pad(wav[:, None], (margin, margin), "reflect")[:, 0]
    spec = torch.stft(
        padded, params.n_fft, params.hop_length, params.win_length, window,
        center=False, return_complex=True,
    )  # fmt: skip
    return torch.sqrt(spec.real.square() + spec.imag.square() + params.epsilon)


def log_mel(spec: Tensor, params: SpectrogramParams) -> Tensor:
    """Magnitude (B, F, T) -> natural log of the mel bands (B, n_mels, T)."""
    return MelSpectrogram(params, spec.device).log_mel(spec)
