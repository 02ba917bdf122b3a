"""Multi-period and scale discriminators (HiFi-GAN: Kong et al. 2020, arXiv:2010.05646)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infer.models.ops import Kernel

SLOPE = 0.1  # of the leaky ReLU
PERIODS = {"v1": (2, 3, 5, 7, 11, 17), "v2": (2, 3, 5, 7, 11, 17, 23, 37)}
# out channels, kernel, stride, groups
SCALE_LAYERS = (
    (16, 15, 1, 1), (64, 41, 4, 4), (256, 41, 4, 16), (1024, 41, 4, 64), (1024, 41, 4, 256),
    (1024, 5, 1, 1),
)  # fmt: skip
PERIOD_LAYERS = ((32, 3), (128, 3), (512, 3), (1024, 3), (1024, 1))  # out channels, stride


class NormedConv(nn.Module):
    """Convolution with its weight as direction and length (arXiv:1602.07868), under RVC's names."""

    def __init__(self, conv: nn.Conv1d | nn.Conv2d) -> None:
        super().__init__()
        self.settings = {
            "stride": conv.stride, "padding": conv.padding, "groups": conv.groups,
        }  # fmt: skip
        self.bias = nn.Parameter(conv.bias.detach().clone())
        dims = tuple(range(1, conv.weight.dim()))
        magnitude = torch.linalg.vector_norm(conv.weight.detach(), dim=dims, keepdim=True)
        self.weight_g = nn.Parameter(magnitude)
        self.weight_v = nn.Parameter(conv.weight.detach().clone())
        self.prepared: Kernel | None = None

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.prepared or (
            torch._weight_norm(self.weight_v, self.weight_g, 0),
            self.bias,
        )
        convolve = F.conv1d if weight.dim() == 3 else F.conv2d
        return convolve(x, weight, bias, **self.settings)


class ScaleDiscriminator(nn.Module):
    """1-D convolutions on the waveform; width scales the number of channels."""

    def __init__(self, width: float) -> None:
        super().__init__()
        convs, last = [], 1
        for out, kernel, stride, groups in SCALE_LAYERS:
            # groups divide the channels at every width: both are powers of two times width
            channels = max(1, round(out * width))
            groups = math.gcd(groups, math.gcd(last, channels))
            conv = nn.Conv1d(last, channels, kernel, stride, kernel // 2, groups=groups)
            convs.append(NormedConv(conv))
            last = channels
        self.convs = nn.ModuleList(convs)
        self.conv_post = NormedConv(nn.Conv1d(last, 1, 3, padding=1))

    def forward(self, wav: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(B, 1, N) -> scores (B, n) and every layer's output."""
        return _score(self, wav)


class PeriodDiscriminator(nn.Module):
    """2-D convolutions on the waveform folded into rows of one period."""

    def __init__(self, period: int, width: float) -> None:
        super().__init__()
        self.period = period
        convs, last = [], 1
        for out, stride in PERIOD_LAYERS:
            channels = max(1, round(out * width))
            convs.append(NormedConv(nn.Conv2d(last, channels, (5, 1), (stride, 1), (2, 0))))
            last = channels
        self.convs = nn.ModuleList(convs)
        self.conv_post = NormedConv(nn.Conv2d(last, 1, (3, 1), 1, (1, 0)))

    def forward(self, wav: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(B, 1, N) -> scores (B, n) and every layer's output."""
        padded = F.pad(wav, (0, -wav.shape[-1] % self.period), "reflect")
        return _score(self, padded.unflatten(-1, (-1, self.period)))


def _score(network: nn.Module, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    layers = []
    for conv in network.convs:
        x = F.leaky_relu(conv(x), SLOPE)
        layers.append(x)
    x = network.conv_post(x)
    return x.flatten(1), [*layers, x]


class MultiPeriodDiscriminator(nn.Module):
    """One scale discriminator, then one per period; the names are checkpoint keys."""

    def __init__(self, version: str, width: float = 1.0) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(
            [
                ScaleDiscriminator(width),
                *(PeriodDiscriminator(period, width) for period in PERIODS[version]),
            ]
        )

    def forward(self, wav: Tensor) -> tuple[list[Tensor], list[list[Tensor]]]:
        """(B, 1, N) -> scores and layers, one item per discriminator."""
        results = [discriminator(wav) for discriminator in self.discriminators]
        return [scores for scores, _ in results], [layers for _, layers in results]
