"""Whisper's encoder, cut after a few blocks (Radford et al. 2022, arXiv:2212.04356)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor, nn

import config
from infer.audio.mel import mel_filters
from infer.content import FRAME
from infer.content.statistics import RunningStatistics, Statistics
from infer.content.windows import encode_windows
from infer.f0 import SAMPLE_RATE

N_FFT = 400
HOP_LENGTH = 160
N_MELS = 80
WINDOW = 500  # content frames encoded at once (10 s), as many positions as are shipped
CONTEXT = 40  # frames on each side of a window that are computed and thrown away (0.8 s)
DYNAMIC_RANGE = 8.0  # log10 units below the loudest mel value that Whisper sees
SCALE = ".scale"  # of a matrix in 8 bits, behind its name
QUIETEST_ENERGY = -7.0  # log10
NO_NOISE = -6.0  # before the softplus
QUIETEST_PEAK = -1.5  # log10 mel: below this, a recording is treated as background, not amplified


def pack(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Matrices in 8 bits with a scale for each row, which halves the file; the rest in float16."""
    packed = {}
    for name, value in tensors.items():
        if value.dim() > 1 and name.endswith(".weight"):
            scale = value.flatten(1).abs().amax(1).clamp(min=1e-12) / 127
            packed[name + SCALE] = scale.float()
            rows = scale.view(-1, *[1] * (value.dim() - 1))
            packed[name] = (value / rows).round().to(torch.int8)
        else:
            packed[name] = value.half().contiguous()
    return packed


def unpack(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """All in float32, of what `pack` made or of plain numbers."""
    scales = {name: tensors[name + SCALE] for name in tensors if name + SCALE in tensors}
    plain = {name: x.float() for name, x in tensors.items() if not name.endswith(SCALE)}
    for name, scale in scales.items():
        plain[name] *= scale.view(-1, *[1] * (plain[name].dim() - 1))
    return plain


class Block(nn.Module):
    """Transformer block: attention and MLP, each after a layer norm. (B, T, C) -> (B, T, C)."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.attn_ln = nn.LayerNorm(dim)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(dim, 3 * dim), "out": nn.Linear(dim, dim)})
        self.mlp_ln = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        batch, frames, dim = x.shape
        qkv = self.attn["qkv"](self.attn_ln(x)).view(batch, frames, 3, self.num_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
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
        x = F.gelu(self.conv2(F.gelu(self.conv1(mel)))).transpose(1, 2)
        x = x + self.positional_embedding[offset : offset + x.shape[1]]
        for block in self.blocks:
            x = block(x)
        return x


class WhisperContent:
    """16 kHz audio -> hidden states of Whisper and the log energy, 50 frames/s.

    The hidden state's mean at each position (a trace of Whisper's absolute positions, not of the
    sound) is subtracted. Training clips are encoded at random offsets, recordings in windows.
    """

    perturbations = 3  # its output depends on the speaker: altered clips make that useless

    def __init__(self, path: Path, num_heads: int, device: torch.device) -> None:
        with safe_open(path, framework="pt") as file:
            tensors = unpack({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
        self.position_mean = tensors.pop("position_mean").to(device)  # (WINDOW, C)
        mean, deviation = (tensors.pop(f"prior_{name}").numpy() for name in ("mean", "std"))
        self.prior = Statistics(mean, deviation)
        positions, dim = tensors["positional_embedding"].shape
        num_blocks = len({name.split(".")[1] for name in tensors if name.startswith("blocks.")})
        self.encoder = WhisperEncoder(dim, num_heads, num_blocks, positions)
        if "noise.weight" not in tensors:
            tensors["noise.weight"] = torch.zeros(1, dim)
            tensors["noise.bias"] = torch.full((1,), NO_NOISE)
        self.encoder.load_state_dict(tensors)
        self.encoder.eval().requires_grad_(False).to(device)
        self.filters = torch.from_numpy(mel_filters(N_MELS, N_FFT, SAMPLE_RATE)).to(device)
        self.hann = torch.hann_window(N_FFT, device=device)
        self.device = device
        self.dim = dim + 1

    def new_statistics(self) -> RunningStatistics:
        """Statistics that start from the average voice, so that a short clip has some too."""
        return RunningStatistics(self.prior)

    @torch.inference_mode()
    def __call__(self, audio: np.ndarray, offset: int = 0) -> np.ndarray:
        """audio: (N,) float32 at 16 kHz -> (N // 320, dim) float32, not normalised.

        offset: position in a window at which the first frame is put, for clips that fit into one.
        """
        frames = len(audio) // FRAME
        if frames == 0:
            return np.zeros((0, self.dim), np.float32)
        mel, energy = self._mel(torch.from_numpy(audio).to(self.device), frames)

        def encode(start: int, end: int) -> Tensor:
            place = min(offset, WINDOW - (end - start))
            with config.autocast(mel.device):
                x = self.encoder(mel[None, :, 2 * start : 2 * end], place)[0].float()
            speech = self._energy_of_speech(x, energy[start:end])
            return torch.cat(
                [x - self.position_mean[place : place + end - start], speech[:, None]], 1
            )

        return encode_windows(frames, WINDOW, CONTEXT, encode).cpu().numpy()

    def listen(self, wav: Tensor, offset: int = 0) -> tuple[Tensor, Tensor]:
        """(B, N) at 16 kHz -> (B, N // 320, dim - 1) hidden states and (B, N // 320) energy of the
        speech in it, for gradients to go through."""
        frames = wav.shape[1] // FRAME
        heard = [self._mel(each, frames) for each in wav]
        mel, energy = (torch.stack(each) for each in zip(*heard, strict=True))
        with config.autocast(wav.device):
            hidden = self.encoder(mel, offset).float()
        speech = self._energy_of_speech(hidden, energy)
        return hidden - self.position_mean[offset : offset + frames], speech

    def _energy_of_speech(self, hidden: Tensor, energy: Tensor) -> Tensor:
        noise = F.softplus(self.encoder.noise(hidden)[..., 0])
        return (energy - noise).clamp(min=QUIETEST_ENERGY)

    def _mel(self, wav: Tensor, frames: int) -> tuple[Tensor, Tensor]:
        """Whisper's log mel (80, 2 * frames) and the log10 energy (frames,) of 20 ms."""
        pad = N_FFT // 2
        spec = torch.stft(
            F.pad(wav, (pad, pad)), N_FFT, HOP_LENGTH, window=self.hann, center=False,
            return_complex=True,
        )[:, : 2 * frames]  # fmt: skip
        mel = (self.filters @ spec.abs().square()).clamp(min=1e-10).log10()
        peak = mel.max().clamp(min=QUIETEST_PEAK)
        squared = F.pad(wav, (FRAME // 2, FRAME))[: (frames + 1) * FRAME].square()
        energy = F.avg_pool1d(squared[None, None], FRAME)[0, 0, :frames]
        return (torch.maximum(mel, peak - DYNAMIC_RANGE) + 4) / 4, (energy + 1e-7).log10()
