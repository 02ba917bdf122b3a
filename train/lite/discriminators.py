"""Small discriminators on spectrograms (EnCodec: Défossez et al. 2022, arXiv:2210.13438)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

DILATIONS = (1, 1, 2, 4)  # in time, layer by layer
COMPRESSION = 0.3  # magnitudes are raised to this power, so that quiet high bands are visible


class SpectrogramDiscriminator(nn.Module):
    """2-D convolutions on one STFT; frequency is halved by every layer."""

    def __init__(self, window: int, sample_rate: int, channels: list[int]) -> None:
        super().__init__()
        self.window_length = window
        self.register_buffer("window", torch.hann_window(window), persistent=False)
        hz = torch.linspace(0, sample_rate / 2, window // 2 + 1)
        self.register_buffer("hz", hz, persistent=False)
        widths = [3, *channels]
        self.convs = nn.ModuleList(
            weight_norm(
                nn.Conv2d(
                    i,
                    o,
                    (7, 3) if n == 0 else (5, 3),
                    (3 if n == 0 else 2, 1),
                    (3 if n == 0 else 2, dilation),
                    (1, dilation),
                )
            )
            for n, (i, o, dilation) in enumerate(zip(widths, channels, DILATIONS, strict=False))
        )
        self.score = weight_norm(nn.Conv2d(channels[-1], 1, 3, padding=1))
        self.to(memory_format=torch.channels_last)  # a third of the time on a CPU

    def forward(self, wav: Tensor, bandwidth: Tensor) -> tuple[Tensor, list[Tensor]]:
        """wav: (B, N); bandwidth: (B,) Hz, above which nothing is shown.

        Returns the scores and the hidden layers.
        """
        spec = torch.stft(
            wav,
            self.window_length,
            self.window_length // 4,
            window=self.window,
            return_complex=True,
        )
        real, imaginary = spec.real, spec.imag
        squared = real.square() + imaginary.square() + 1e-8
        gain = squared ** ((COMPRESSION - 1) / 2)
        level = squared ** (COMPRESSION / 2)
        x = torch.stack([real * gain, imaginary * gain, level], 1)
        x = x * (self.hz < 0.97 * bandwidth[:, None]).to(x.dtype)[:, None, :, None]
        layers = []
        for conv in self.convs:
            x = F.leaky_relu(conv(x), 0.1)
            layers.append(x)
        return self.score(x), layers


class SpectrogramDiscriminators(nn.Module):
    """One discriminator per window length."""

    def __init__(self, sample_rate: int, windows: list[int], channels: list[int]) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(
            SpectrogramDiscriminator(window, sample_rate, channels) for window in windows
        )

    def forward(self, wav: Tensor, bandwidth: Tensor) -> tuple[list[Tensor], list[list[Tensor]]]:
        results = [discriminator(wav, bandwidth) for discriminator in self.discriminators]
        return [score for score, _ in results], [layers for _, layers in results]
