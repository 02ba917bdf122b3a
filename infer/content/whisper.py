"""Content by Whisper's encoder, cut after a few blocks."""

from __future__ import annotations

import copy
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor

import config
from infer.audio.mel import mel_filters
from infer.content import FRAME
from infer.content.eight_bits import is_fast, use_eight_bits
from infer.content.statistics import RunningStatistics, Statistics
from infer.content.whisper_encoder import (
    N_MELS,
    QUIETEST_ENERGY,
    WINDOW,
    WhisperEncoder,
    is_noisy,
    seen,
)
from infer.content.whisper_stream import WhisperStream
from infer.content.windows import encode_windows
from infer.f0 import SAMPLE_RATE
from infer.voice.tensors import SCALE, unpack

if TYPE_CHECKING:
    from infer.content import ContentStream

N_FFT = 400
HOP_LENGTH = 160
CONTEXT = 40  # frames on each side of a window that are computed and thrown away (0.8 s)
NO_NOISE = -20.0  # before the softplus


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

    @cached_property
    def ears(self) -> list[WhisperEncoder]:
        """The encoders of streams, for clean sound and for noise; in 8 bits where it is fast."""
        encoders = [self.encoder]
        if self.hears_in_noise:
            encoders.append(self.encoder_in_noise)
        if is_fast(self.device):
            encoders = copy.deepcopy(encoders)
            for encoder in encoders:
                use_eight_bits(encoder)
        return encoders

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
        mel, energy = self.mel(torch.from_numpy(audio).to(self.device), frames)
        mel = seen(mel, mel.max())
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
        heard = [self.mel(each, frames) for each in wav]
        mel = torch.stack([seen(each, each.max()) for each, _ in heard])
        energy = torch.stack([each for _, each in heard])
        with config.autocast(wav.device):
            hidden = self.encoder(mel, offset).float()
        speech = self.encoder.energy_of_speech(hidden, energy)
        return hidden - self.position_mean[offset : offset + frames], speech

    def stream(self, block: int, look_ahead: int, context: int) -> ContentStream:
        """Content of sound that is still coming; the lengths are frames."""
        return WhisperStream(self, block, look_ahead, context)

    def mel(self, wav: Tensor, frames: int) -> tuple[Tensor, Tensor]:
        """(N,) at 16 kHz -> log10 mel (80, 2 * frames) and log10 energy of 20 ms (frames,)."""
        pad = N_FFT // 2
        spec = torch.stft(
            F.pad(wav, (pad, pad)), N_FFT, HOP_LENGTH, window=self.hann, center=False,
            return_complex=True,
        )[:, : 2 * frames]  # fmt: skip
        mel = (self.filters @ spec.abs().square()).clamp(min=1e-10).log10()
        squared = F.pad(wav, (FRAME // 2, FRAME))[: (frames + 1) * FRAME].square()
        power = F.avg_pool1d(squared[None, None], FRAME)[0, 0, :frames]
        return mel, (power + 10**QUIETEST_ENERGY).log10()
