"""A small causal network that hears what Whisper's encoder hears, as the sound comes in.

ConvNeXt blocks (Liu et al. 2022, arXiv:2201.03545) that look back only; the content of a frame is
read LOOKAHEAD frames later, so they know a little of what follows. tools.research.distill_encoder
teaches them: altered sound in, the clean content out, already normalised for its speaker.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor, nn

from infer.audio.mel import mel_filters
from infer.content import FRAME
from infer.content.statistics import RunningStatistics, Statistics
from infer.content.whisper import HOP_LENGTH, N_FFT, N_MELS, SAMPLE_RATE

LOOKAHEAD = 3  # frames: with half an STFT window, 72.5 ms from the middle of a frame
DIM = 512  # values of content; the log energy comes on top
WIDTH, INNER, KERNEL = 256, 1024, 7
DILATIONS = (1, 1, 2, 2, 4, 4, 8, 8)  # frames; together they look 3.6 s back
QUIETEST = 1e-10  # of a mel value
QUIETEST_ENERGY = 1e-7
BEFORE = HOP_LENGTH + N_FFT // 2  # samples before the middle of a frame that it is made of
AFTER = N_FFT // 2  # and after it


class Block(nn.Module):
    """Depthwise convolution over the past, layer norm, MLP. (B, T, C) -> (B, T, C)."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv1d(WIDTH, WIDTH, KERNEL, dilation=dilation, groups=WIDTH)
        self.past = (KERNEL - 1) * dilation  # frames
        self.norm = nn.LayerNorm(WIDTH)
        self.inner = nn.Linear(WIDTH, INNER)
        self.outer = nn.Linear(INNER, WIDTH)
        self.gamma = nn.Parameter(torch.full((WIDTH,), 1 / len(DILATIONS)))

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """past: (B, self.past, C), the frames before x. Also returns those before what follows."""
        known = torch.cat([past, x], 1)
        y = self.dwconv(known.transpose(1, 2)).transpose(1, 2)
        x = x + self.gamma * self.outer(F.gelu(self.inner(self.norm(y))))
        return x, known[:, known.shape[1] - self.past :]


class CausalEncoder(nn.Module):
    """What describe() gives -> content and how much of the log energy is not speech."""

    def __init__(self) -> None:
        super().__init__()
        self.listen = nn.Linear(2 * N_MELS + 1, WIDTH)
        self.blocks = nn.ModuleList(Block(dilation) for dilation in DILATIONS)
        self.norm = nn.LayerNorm(WIDTH)
        self.content = nn.Linear(WIDTH, DIM)
        self.noise = nn.Linear(WIDTH, 1)

    def silence(self, batch: int) -> list[Tensor]:
        """What the blocks remember before the first frame."""
        weight = self.listen.weight
        return [weight.new_zeros(batch, block.past, WIDTH) for block in self.blocks]

    def forward(self, x: Tensor, memory: list[Tensor]) -> tuple[Tensor, Tensor, list[Tensor]]:
        """x: (B, T, 2 * N_MELS + 1), memory: silence() or what the call before returned.

        Returns content (B, T, DIM), what noise adds to the log10 energy (B, T), and the memory;
        at step i, of the frame i - LOOKAHEAD.
        """
        x = self.listen(x)
        following = []
        for block, past in zip(self.blocks, memory, strict=True):
            x, known = block(x, past)
            following.append(known)
        x = self.norm(x)
        return self.content(x), F.softplus(self.noise(x)[..., 0]), following


def describe(frames: Tensor, filters: Tensor) -> Tensor:
    """Two neighbouring log mel spectra of each content frame, apart from their mean, and the mean.

    frames: (..., 2 T, N_FFT // 2 + 1) power. filters: (..., N_MELS, N_FFT // 2 + 1).
    Returns (..., T, 2 * N_MELS + 1).
    """
    mel = (frames @ filters.transpose(-1, -2)).clamp(min=QUIETEST).log10()
    mel = mel.unflatten(-2, (-1, 2)).flatten(-2)
    mean = mel.mean(-1, keepdim=True)
    return torch.cat([mel - mean, (mean + 4) / 2], -1)


class CausalStream:
    """Content of sound that is still coming; what it gives in all is what a whole recording has."""

    def __init__(self, content: CausalContent) -> None:
        self.content = content
        self.memory = content.encoder.silence(1)
        self.audio = torch.zeros(BEFORE, device=content.device)  # not yet used, with its past
        self.energy = torch.zeros(0, device=content.device)  # of frames whose content is to come
        self.skipped = 0  # steps taken before the content of the first frame

    @torch.inference_mode()
    def push(self, audio: np.ndarray) -> np.ndarray:
        """audio: (n,) float32 at 16 kHz -> content of the frames that are known now, (m, dim)."""
        new = torch.from_numpy(np.ascontiguousarray(audio, np.float32)).to(self.content.device)
        self.audio = torch.cat([self.audio, new])
        steps = (len(self.audio) - BEFORE - AFTER) // FRAME + 1
        if steps <= 0:
            return np.zeros((0, self.content.dim), np.float32)
        used = self.audio[: (steps - 1) * FRAME + BEFORE + AFTER]
        self.audio = self.audio[steps * FRAME :]
        spectra = torch.fft.rfft(used.unfold(0, N_FFT, HOP_LENGTH) * self.content.hann)
        power = spectra.real.square() + spectra.imag.square()
        x = describe(power, self.content.filters)[None]
        content, noise, self.memory = self.content.encoder(x, self.memory)
        around = used[BEFORE - FRAME // 2 :].unfold(0, FRAME, FRAME)[:steps]
        energy = (around.square().mean(1) + QUIETEST_ENERGY).log10()
        self.energy = torch.cat([self.energy, energy])
        skip = min(steps, LOOKAHEAD - self.skipped)
        self.skipped += skip
        content, noise = content[0, skip:], noise[0, skip:]
        clean = (self.energy[: len(noise)] - noise).clamp(min=np.log10(QUIETEST_ENERGY))
        self.energy = self.energy[len(noise) :]
        return torch.cat([content, clean[:, None]], 1).cpu().numpy()


class CausalContent:
    """16 kHz audio -> content as Whisper's, in float32, and the log energy of the speech in it."""

    perturbations = 3  # as for Whisper, whose content it gives

    def __init__(self, path: Path, device: torch.device) -> None:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        self.prior = Statistics(*(tensors.pop(f"prior_{n}").numpy() for n in ("mean", "std")))
        self.encoder = CausalEncoder()
        self.encoder.load_state_dict(tensors)
        self.encoder.eval().requires_grad_(False).to(device)
        self.filters = torch.from_numpy(mel_filters(N_MELS, N_FFT, SAMPLE_RATE)).to(device)
        self.hann = torch.hann_window(N_FFT, device=device)
        self.device = device
        self.dim = DIM + 1

    def new_statistics(self) -> RunningStatistics:
        """Statistics that start from the average voice, so that a short clip has some too."""
        return RunningStatistics(self.prior)

    def __call__(self, audio: np.ndarray, offset: int = 0) -> np.ndarray:
        """audio: (N,) float32 at 16 kHz -> (N // 320, dim) float32; no place is like another."""
        frames = len(audio) // FRAME
        silence = np.zeros(LOOKAHEAD * FRAME + AFTER, np.float32)
        return CausalStream(self).push(np.concatenate([audio, silence]))[:frames]
