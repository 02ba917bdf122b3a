"""The network of Whisper's encoder (Radford et al. 2022, arXiv:2212.04356), and what it sees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infer.audio.noise import signal_to_noise

N_MELS = 80
WINDOW = 500  # content frames encoded at once (10 s), as many positions as are shipped
DYNAMIC_RANGE = 8.0  # log10 units below the loudest mel value that Whisper sees
QUIETEST_PEAK = -1.5  # log10 mel: below this, a recording is treated as background, not amplified
QUIETEST_ENERGY = -7.0  # log10
NOISY_DB = 20.0  # speech over noise below which the encoder hears as it was taught in noise, ...
LEAST_FRAMES = 100  # ... in sound that is long enough to tell


class Memory:
    """Keys and values of the frames that a block of one stream has heard: (1, heads, T, C) each."""

    def __init__(self) -> None:
        self.length = 0  # frames that stay as they are
        self._kept = torch.empty(0)

    def put(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Write frames behind those that stay; returns all keys and values up to there."""
        if not self._kept.numel():
            heads, dim = key.shape[1], key.shape[3]
            self._kept = key.new_empty(2, 1, heads, WINDOW, dim)
        end = self.length + key.shape[2]
        self._kept[0, :, :, self.length : end], self._kept[1, :, :, self.length : end] = key, value
        return self._kept[0, :, :, :end], self._kept[1, :, :, :end]


class Block(nn.Module):
    """Transformer block: attention and MLP, each after a layer norm. (B, T, C) -> (B, T, C)."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.attn_ln = nn.LayerNorm(dim)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(dim, 3 * dim), "out": nn.Linear(dim, dim)})
        self.mlp_ln = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor, memory: Memory | None = None) -> Tensor:
        batch, frames, dim = x.shape
        qkv = self.attn["qkv"](self.attn_ln(x)).view(batch, frames, 3, self.num_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        if memory is not None:
            key, value = memory.put(key, value)
        mixed = F.scaled_dot_product_attention(query, key, value)
        x = x + self.attn["out"](mixed.transpose(1, 2).reshape(batch, frames, dim))
        return x + self.mlp(self.mlp_ln(x))


class WhisperEncoder(nn.Module):
    """log-mel (B, 80, 2 T) -> hidden state after the last block kept (B, T, C)."""

    def __init__(self, dim: int, num_heads: int, num_blocks: int, num_positions: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(N_MELS, dim, 3, padding=1)
        self.conv2 = nn.Conv1d(dim, dim, 3, stride=2, padding=1)
        self.positional_embedding = nn.Parameter(torch.empty(num_positions, dim))
        self.blocks = nn.ModuleList(Block(dim, num_heads) for _ in range(num_blocks))
        self.noise = nn.Linear(dim, 1)  # how much of the log energy is not speech

    def forward(self, mel: Tensor, offset: int = 0) -> Tensor:
        return self.attend(self.embed(mel), offset)

    def embed(self, mel: Tensor) -> Tensor:
        """(B, 80, 2 T) -> (B, T, C); each frame knows those beside it."""
        return F.gelu(self.conv2(F.gelu(self.conv1(mel)))).transpose(1, 2)

    def attend(self, x: Tensor, offset: int, memories: Sequence[Memory | None] = ()) -> Tensor:
        """(B, T, C) at positions from offset on -> hidden state (B, T, C).

        memories: of each block, what it knows of the frames before.
        """
        x = x + self.positional_embedding[offset : offset + x.shape[1]]
        for block, memory in zip(self.blocks, memories or [None] * len(self.blocks), strict=True):
            x = block(x, memory)
        return x

    def energy_of_speech(self, hidden: Tensor, energy: Tensor) -> Tensor:
        """Log10 energy (B, T) without that of the noise; hidden: (B, T, C)."""
        noise = F.softplus(self.noise(hidden)[..., 0])
        return (energy - noise).clamp(min=QUIETEST_ENERGY)


def seen(mel: Tensor, peak: Tensor) -> Tensor:
    """Log10 mel as the encoder sees it; peak: the loudest value of the recording."""
    return (torch.maximum(mel, peak.clamp(min=QUIETEST_PEAK) - DYNAMIC_RANGE) + 4) / 4


def is_noisy(mel: np.ndarray) -> bool:
    """Whether noise is near the speech in (80, 2 T) log mel as the encoder sees it."""
    if mel.shape[1] < 2 * LEAST_FRAMES:
        return False
    power = 10 ** (4 * mel.T - 4)
    silence = 2 * N_MELS * float(power.min())  # what DYNAMIC_RANGE leaves of digital silence
    return signal_to_noise(power, silence) < NOISY_DB
