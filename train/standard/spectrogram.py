"""Linear and log-mel spectrograms of the standard recipe, with the constants of the public bases.

Programs since 2026 use 2e-7 and 2e-6 instead of EPSILON and MEL_FLOOR; the public base models were
trained with these.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
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


def linear_spectrogram(wav: Tensor, params: SpectrogramParams) -> Tensor:
    """(B, N) -> magnitude (B, n_fft / 2 + 1, N // hop_length)."""
    margin = (params.n_fft - params.hop_length) // 2
    padded = F.pad(wav[:, None], (margin, margin), "reflect")[:, 0]
    window = torch.hann_window(params.win_length, dtype=wav.dtype, device=wav.device)
    spec = torch.stft(
        padded, params.n_fft, params.hop_length, params.win_length, window,
        center=False, return_complex=True,
    )  # fmt: skip
    return torch.sqrt(spec.real.square() + spec.imag.square() + params.epsilon)


def log_mel(spec: Tensor, params: SpectrogramParams) -> Tensor:
    """Magnitude (B, F, T) -> natural log of the mel bands (B, n_mels, T)."""
    filters = _filters(params).to(spec)
    return torch.log(torch.matmul(filters, spec).clamp(min=params.mel_floor))


@cache
def _filters(params: SpectrogramParams) -> Tensor:
    """The mel filterbank: (n_mels, F) float32."""
    given = {"low": params.f_min, "high": params.f_max or None}
    return torch.from_numpy(mel_filters(params.n_mels, params.n_fft, params.sample_rate, **given))
