"""f0 by RMVPE, a U-Net with a recurrent layer on the mel spectrogram (Wei et al. 2023,
arXiv:2306.15412)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

import config
from errors import CheckpointError
from infer.audio.mel import mel_filters
from infer.f0 import HOP_LENGTH, SAMPLE_RATE, rmvpe_file
from infer.f0.bins import PITCH_BINS, bin_cents, cents_to_hz, mean_around
from infer.f0.onnx import OnnxNetwork
from infer.f0.windows import WINDOW, track_many
from infer.voice.tensors import load_weights, read_tensors

N_FFT = 1024
N_MELS = 128
MEL_RANGE = (30.0, 8000.0)  # Hz
MEL_FLOOR = 1e-5
CHANNELS = (16, 32, 64, 128, 256)  # of the U-Net's levels; each halves time and frequency
BOTTOM = 512
BLOCKS = 4
GRID = 2 ** len(CHANNELS)  # the number of frames must be a multiple
VOICING_THRESHOLD = 0.03
CONTEXT = 512 * HOP_LENGTH  # samples before and after a window, 5.12 s
GPU_BATCH = 4  # whole windows at once, or as much sound in shorter ones


class Block(nn.Module):
    """Two convolutions with a residual, projected where the channels change."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels in (before, after):
            conv = nn.Conv2d(channels, after, 3, padding=1, bias=False)
            layers += [conv, nn.BatchNorm2d(after), nn.ReLU()]
        self.conv = nn.Sequential(*layers)
        if before != after:
            self.shortcut = nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + (self.shortcut(x) if hasattr(self, "shortcut") else x)


def blocks(before: int, after: int) -> nn.Sequential:
    """The blocks of one level, (B, before, T, F) -> (B, after, T, F)."""
    return nn.Sequential(*(Block(after if i else before, after) for i in range(BLOCKS)))


def up(before: int, after: int) -> nn.Sequential:
    """Twice the time and frequency."""
    conv = nn.ConvTranspose2d(before, after, 3, 2, padding=1, output_padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(after), nn.ReLU())


class Recurrent(nn.Module):
    """A GRU in both directions, (B, T, C) -> (B, T, 2 hidden)."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.gru = nn.GRU(dim, hidden, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.gru(x)[0]


class Rmvpe(nn.Module):
    """Log mel (B, 128, T), T a multiple of 32 -> salience (B, T, 360) in 0..1.

    The names are the keys of the public weights.
    """

    def __init__(self) -> None:
        super().__init__()
        befores = (1, *CHANNELS[:-1])
        encoder = [
            nn.ModuleDict({"conv": blocks(*pair)}) for pair in zip(befores, CHANNELS, strict=True)
        ]
        middle = [
            nn.ModuleDict({"conv": blocks(BOTTOM if i else CHANNELS[-1], BOTTOM)})
            for i in range(BLOCKS)
        ]
        falling = (BOTTOM, *reversed(CHANNELS))
        decoder = [
            nn.ModuleDict({"conv1": up(before, after), "conv2": blocks(2 * after, after)})
            for before, after in zip(falling, falling[1:], strict=False)
        ]
        self.unet = nn.ModuleDict(
            {
                "encoder": nn.ModuleDict(
                    {"bn": nn.BatchNorm2d(1), "layers": nn.ModuleList(encoder)}
                ),
                "intermediate": nn.ModuleDict({"layers": nn.ModuleList(middle)}),
                "decoder": nn.ModuleDict({"layers": nn.ModuleList(decoder)}),
            }
        )
        self.cnn = nn.Conv2d(CHANNELS[0], 3, 3, padding=1)
        self.fc = nn.Sequential(Recurrent(3 * N_MELS, 256), nn.Linear(512, PITCH_BINS))

    def forward(self, mel: Tensor) -> Tensor:
        x = self.unet["encoder"]["bn"](mel.mT[:, None])
        skips = []
        for level in self.unet["encoder"]["layers"]:
            x = level["conv"](x)
            skips.append(x)
            x = F.avg_pool2d(x, 2)
        for level in self.unet["intermediate"]["layers"]:
            x = level["conv"](x)
        for level in self.unet["decoder"]["layers"]:
            x = level["conv2"](torch.cat([level["conv1"](x), skips.pop()], dim=1))
        x = self.cnn(x).transpose(1, 2).flatten(2)  # (B, T, 3 * 128)
        return torch.sigmoid(self.fc(x))


def fold_norms(network: nn.Module) -> None:
    """Put every batch norm that follows a convolution into that convolution."""
    for module in network.modules():
        for i in range(len(module) - 1 if isinstance(module, nn.Sequential) else 0):
            if isinstance(module[i + 1], nn.BatchNorm2d):
                is_transposed = isinstance(module[i], nn.ConvTranspose2d)
                module[i] = fuse_conv_bn_eval(module[i], module[i + 1], is_transposed)
                module[i + 1] = nn.Identity()


def load_network(path: Path, device: str) -> Callable[[Tensor], Tensor]:
    """The network in the public rmvpe.pt, or in rmvpe.onnx, which runs on the CPU."""
    if path.suffix == ".onnx":
        return OnnxRmvpe(path)
    with torch.device("meta"):
        network = Rmvpe()
    network = network.to_empty(device="cpu")
    weights = read_tensors(path, mmap=True)
    if not isinstance(weights, dict):
        raise CheckpointError("weights_table", file=path)
    load_weights(network, weights, path)
    network.eval().requires_grad_(False)
    fold_norms(network)
    return network.to(device)


class OnnxRmvpe:
    """The same network as an ONNX file."""

    def __init__(self, path: Path) -> None:
        self.network = OnnxNetwork(path)

    def __call__(self, mel: Tensor) -> Tensor:
        """(B, 128, T) -> (B, T, 360)."""
        name = self.network.input
        parts = [self.network(None, {name: one[None].numpy()})[0] for one in mel.cpu()]
        return torch.from_numpy(np.concatenate(parts)).to(mel.device)


def grid_frames(samples: int) -> int:
    """The frames that the network gets of so many samples."""
    return -(-(samples // HOP_LENGTH + 1) // GRID) * GRID


class RmvpeF0:
    """RMVPE with the mean of the bins around the highest one."""

    def __init__(self, device: str = "cpu", voicing_threshold: float = VOICING_THRESHOLD) -> None:
        self.device = device
        self.voicing_threshold = voicing_threshold
        self.network = load_network(rmvpe_file(), device)
        filters = mel_filters(N_MELS, N_FFT, SAMPLE_RATE, "htk", "area", *MEL_RANGE)
        self.filters = torch.from_numpy(filters).to(device)
        self.hann = torch.hann_window(N_FFT, device=device)
        self.cents = bin_cents(device)
        self.at_once = 0 if device == "cpu" else GPU_BATCH * (WINDOW + 2 * CONTEXT)  # samples

    def __call__(self, audio: np.ndarray) -> np.ndarray:
        """(N,) float32 at 16 kHz -> (N // 160,) float32 Hz."""
        return self.many([audio])[0]

    def many(self, audios: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The same of each; on a GPU those that the network sees as equally long go together."""
        return track_many(audios, self._estimate, self.at_once, CONTEXT, size=grid_frames)

    @torch.inference_mode()
    def _estimate(self, windows: list[np.ndarray]) -> np.ndarray:
        mels = [self.mel(torch.from_numpy(window)[None].to(self.device)) for window in windows]
        padded = torch.cat([F.pad(mel, (0, -mel.shape[2] % GRID)) for mel in mels])
        return self.decode(self.salience(padded)).cpu().numpy()

    def mel(self, wav: Tensor) -> Tensor:
        """(B, M) -> natural log of the mel magnitudes (B, 128, M // 160 + 1)."""
        if wav.shape[1] <= N_FFT // 2:  # too short to be mirrored at its ends
            wav = F.pad(wav, (0, N_FFT))
        spectrum = torch.stft(
            wav, N_FFT, HOP_LENGTH, window=self.hann, pad_mode="reflect", return_complex=True
        )
        return (self.filters @ spectrum.abs()).clamp_min(MEL_FLOOR).log()

    def salience(self, mel: Tensor) -> Tensor:
        """(B, 128, T) -> (B, T, 360) in 0..1; padded with zeros for the network as in training."""
        frames = mel.shape[2]
        with config.half(mel.device):
            salience = self.network(F.pad(mel, (0, -frames % GRID)))
        return salience[:, :frames].float()

    def decode(self, salience: Tensor) -> Tensor:
        """(..., 360) -> (...) Hz, 0 where no bin rises above the threshold."""
        mean, height = mean_around(salience.flatten(0, -2), self.cents)
        hz = torch.where(height > self.voicing_threshold, cents_to_hz(mean), 0)
        return hz.view(salience.shape[:-1])
