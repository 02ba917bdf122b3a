"""Flow between prior and posterior: mean-only affine couplings (Dinh et al., arXiv:1605.08803)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from infer.models.ops import Conv
from infer.models.standard.layers import WaveNet
from infer.voice.hparams import StandardParams

NUM_COUPLINGS = 4
COUPLING_LAYERS = 3


class Coupling(nn.Module):
    """Shifts the second half of the channels by a function of the first half."""

    def __init__(self, params: StandardParams, normed: bool) -> None:
        super().__init__()
        half = params.inter_dim // 2
        self.pre = Conv(half, params.hidden_dim, 1)
        self.enc = WaveNet(params.hidden_dim, COUPLING_LAYERS, params.speaker_dim, normed)
        self.post = Conv(params.hidden_dim, half, 1)
        nn.init.zeros_(self.post.weight)  # a fresh coupling changes nothing
        nn.init.zeros_(self.post.bias)

    def forward(self, x: Tensor, mask: Tensor, speaker: Tensor, reverse: bool) -> Tensor:
        first, second = x.chunk(2, 1)
        shift = self.post(self.enc(self.pre(first) * mask, mask, speaker)) * mask
        second = (second - shift) * mask if reverse else shift + second * mask
        return torch.cat([first, second], 1)


class Flip(nn.Module):
    """Reverses the channels, so that the next coupling shifts the other half."""

    def forward(self, x: Tensor, mask: Tensor, speaker: Tensor, reverse: bool) -> Tensor:
        return x.flip(1)


class Flow(nn.Module):
    """(B, inter_dim, T) posterior sample -> prior sample; reverse goes back."""

    def __init__(self, params: StandardParams, normed: bool) -> None:
        super().__init__()
        self.flows = nn.ModuleList()
        for _ in range(NUM_COUPLINGS):
            self.flows.append(Coupling(params, normed))
            self.flows.append(Flip())

    def forward(self, x: Tensor, mask: Tensor, speaker: Tensor, reverse: bool = False) -> Tensor:
        for step in reversed(self.flows) if reverse else self.flows:
            x = step(x, mask, speaker, reverse)
        return x
