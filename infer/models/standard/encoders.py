"""Prior and posterior encoder of the standard synthesizer (Kim et al. 2021, arXiv:2106.06103)."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from infer.models.ops import Conv
from infer.models.standard.layers import LEAK, Transformer, WaveNet
from infer.voice.hparams import StandardParams

PITCH_ROWS = 256  # of the pitch embedding; pitch is 1..255
POSTERIOR_LAYERS = 16


class PriorEncoder(nn.Module):
    """Content and pitch -> mean and log deviation of the latent sequence."""

    def __init__(self, params: StandardParams) -> None:
        super().__init__()
        dim = params.hidden_dim
        self.emb_phone = nn.Linear(params.content_dim, dim)
        if params.use_f0:
            self.emb_pitch = nn.Embedding(PITCH_ROWS, dim)
        self.encoder = Transformer(
            dim, params.filter_dim, params.num_heads, params.num_layers, params.kernel_size,
            params.dropout,
        )  # fmt: skip
        self.proj = Conv(dim, 2 * params.inter_dim, 1)

    def forward(self, content: Tensor, pitch: Tensor | None, mask: Tensor) -> tuple[Tensor, Tensor]:
        """content: (B, T, content_dim); pitch: (B, T) 1..255 or None; two (B, inter_dim, T)."""
        x = self.emb_phone(content)
        if pitch is not None:
            x = x + self.emb_pitch(pitch)
        x = F.leaky_relu(x * math.sqrt(x.shape[-1]), LEAK).transpose(1, 2)
        mean, log_deviation = (self.proj(self.encoder(x * mask, mask)) * mask).chunk(2, 1)
        return mean, log_deviation


class PosteriorEncoder(nn.Module):
    """Linear spectrogram -> mean and log deviation of the latent sequence; only for training."""

    def __init__(self, params: StandardParams) -> None:
        super().__init__()
        dim = params.hidden_dim
        self.pre = Conv(params.spec_bins, dim, 1)
        self.enc = WaveNet(dim, POSTERIOR_LAYERS, params.speaker_dim, normed=True)
        self.proj = Conv(dim, 2 * params.inter_dim, 1)

    def forward(self, spec: Tensor, mask: Tensor, speaker: Tensor) -> tuple[Tensor, Tensor]:
        """spec: (B, spec_bins, T); returns two (B, inter_dim, T)."""
        x = self.enc(self.pre(spec) * mask, mask, speaker)
        mean, log_deviation = (self.proj(x) * mask).chunk(2, 1)
        return mean, log_deviation
