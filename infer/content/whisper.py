"""Whisper's encoder, cut after a few blocks (Radford et al. 2022, arXiv:2212.04356)."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor, nn

import config
from infer.audio.mel import mel_filters
from infer.audio.noise import signal_to_noise
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
NO_NOISE = -20.0  # before the softplus
NOISY_DB = 20.0  # speech over noise below which the encoder hears as it was taught in noise, ...
LEAST_FRAMES = 100  # ... in sound that is long enough to tell
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


def pack_steps(steps: dict[str, Tensor]) -> dict[str, Tensor]:
    """Small changes of matrices as -1, 0 or 1 times a scale for each row, four in a byte."""
    packed = {}
    for name, step in steps.items():
        if len(rows := step.flatten(1) if step.dim() > 1 else step[None]) > 1:
            scale = 0.7 * rows.abs().amax(1, keepdim=True).clamp(min=1e-12)
            digits = ((rows / scale).round().clamp(-1, 1) + 1).to(torch.uint8).flatten()
            digits = F.pad(digits, (0, -len(digits) % 4)).view(-1, 4)
            places = torch.tensor([1, 4, 16, 64], dtype=torch.uint8)
            packed[name] = (digits * places).sum(1).to(torch.uint8)
            packed[name + SCALE] = scale[:, 0].float()
        else:
            packed[name] = step.half()
    return packed


def add_steps(tensors: dict[str, Tensor], packed: dict[str, Tensor]) -> dict[str, Tensor]:
    """tensors after the changes that `pack_steps` made small."""
    changed = {}
    for name, value in tensors.items():
        step = packed.get(name)
        if step is not None and name + SCALE in packed:
            digits = torch.stack([step >> shift & 3 for shift in (0, 2, 4, 6)], 1).flatten()
            rows = digits[: value.numel()].float().view(len(value), -1) - 1
            step = (rows * packed[name + SCALE][:, None]).view_as(value)
        changed[name] = value if step is None else value + step.float()
    return changed


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

    def energy_of_speech(self, hidden: Tensor, energy: Tensor) -> Tensor:
        """Log10 energy (B, T) without that of the noise; hidden: (B, T, C)."""
        noise = F.softplus(self.noise(hidden)[..., 0])
        return (energy - noise).clamp(min=QUIETEST_ENERGY)


def is_noisy(mel: np.ndarray) -> bool:
    """Whether noise is near the speech in (80, 2 T) log mel as the encoder sees it."""
    if mel.shape[1] < 2 * LEAST_FRAMES:
        return False
    power = 10 ** (4 * mel.T - 4)
    silence = 2 * N_MELS * float(power.min())  # what DYNAMIC_RANGE leaves of digital silence
    return signal_to_noise(power, silence) < NOISY_DB


def _read(path: Path) -> dict[str, Tensor]:
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _build(tensors: dict[str, Tensor], num_heads: int) -> WhisperEncoder:
    """The encoder with these weights, which are not trained."""
    positions, dim = tensors["positional_embedding"].shape
    num_blocks = len({name.split(".")[1] for name in tensors if name.startswith("blocks.")})
    encoder = WhisperEncoder(dim, num_heads, num_blocks, positions)
    encoder.load_state_dict({name: tensors[name] for name in encoder.state_dict()})
    return encoder.eval().requires_grad_(False)


class WhisperContent:
    """16 kHz audio -> hidden states of Whisper and the log energy, 50 frames/s.

    The hidden state's mean at each position (a trace of Whisper's absolute positions, not of the
    sound) is subtracted. Training clips are encoded at random offsets, recordings in windows. Where
    noise is measured the encoder hears with the steps that lie beside its file as
    <name>-noise.safetensors: tools.research.harden_encoder.
    """

    perturbations = 3  # its output depends on the speaker: altered clips make that useless

    def __init__(
        self, path: Path, num_heads: int, device: torch.device, in_noise: Path | None = None
    ) -> None:
        """in_noise: the steps for noise, if not those beside the file."""
        self._path, self._num_heads = path, num_heads
        self._in_noise = in_noise or path.with_name(f"{path.stem}-noise.safetensors")
        self.hears_in_noise = self._in_noise.is_file()
        tensors = self._tensors()
        self.position_mean = tensors.pop("position_mean").to(device)  # (WINDOW, C)
        mean, deviation = (tensors.pop(f"prior_{name}").numpy() for name in ("mean", "std"))
        self.prior = Statistics(mean, deviation)
        self.encoder = _build(tensors, num_heads).to(device)
        self.filters = torch.from_numpy(mel_filters(N_MELS, N_FFT, SAMPLE_RATE)).to(device)
        self.hann = torch.hann_window(N_FFT, device=device)
        self.device = device
        self.dim = len(mean)

    def _tensors(self) -> dict[str, Tensor]:
        """What the file has, without noise."""
        tensors = unpack(_read(self._path))
        tensors["noise.weight"] = torch.zeros(1, len(tensors["conv1.bias"]))
        tensors["noise.bias"] = torch.full((1,), NO_NOISE)
        return tensors

    @cached_property
    def encoder_in_noise(self) -> WhisperEncoder:
        """The encoder after the steps for noise, read when noise is first heard."""
        tensors = add_steps(self._tensors(), _read(self._in_noise))
        return _build(tensors, self._num_heads).to(self.device)

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
        in_noise = self.hears_in_noise and is_noisy(mel.cpu().numpy())
        encoder = self.encoder_in_noise if in_noise else self.encoder

        def encode(start: int, end: int) -> Tensor:
            place = min(offset, WINDOW - (end - start))
            with config.autocast(mel.device):
                x = encoder(mel[None, :, 2 * start : 2 * end], place)[0].float()
            speech = encoder.energy_of_speech(x, energy[start:end])
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
        speech = self.encoder.energy_of_speech(hidden, energy)
        return hidden - self.position_mean[offset : offset + frames], speech

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
        power = F.avg_pool1d(squared[None, None], FRAME)[0, 0, :frames]
        energy = (power + 10**QUIETEST_ENERGY).log10()
        return (torch.maximum(mel, peak - DYNAMIC_RANGE) + 4) / 4, energy
