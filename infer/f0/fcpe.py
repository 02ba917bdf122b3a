"""f0 by FCPE, a convolutional network on a mel spectrogram (Luo et al. 2025, arXiv:2509.15140)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from infer.audio.mel import mel_filters
from infer.f0 import HOP_LENGTH, SAMPLE_RATE
from infer.f0.bins import PITCH_BINS, cents_to_hz, mean_around
from infer.f0.windows import gain_to_peak, mono, packaged_file, split_windows, track

N_FFT = 1024
N_MELS = 128
DIM = 512
LAYERS = 6
GROUPS = 4  # of channels, normalized together over the whole input
PEAK = 0.3  # louder audio makes the network find voices in noise, quieter audio hides them
VOICING_THRESHOLD = 0.25
MEL_FLOOR = 1e-5


class ConvBlock(nn.Module):
    """A conformer's convolution module with its residual."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(DIM)
        self.expand = nn.Linear(DIM, 4 * DIM)
        self.depthwise = nn.Conv2d(2 * DIM, 2 * DIM, (1, 31), padding=(0, 15), groups=2 * DIM)
        self.project = nn.Linear(2 * DIM, DIM)

    def forward(self, x: Tensor) -> Tensor:  # (B, T, C)
        gated = F.glu(self.expand(self.norm(x)), dim=-1)
        # As an image of height 1 with the channels last it needs no copy, and runs ten times as
        # fast on a CPU as a Conv1d.
        mixed = self.depthwise(gated.mT[:, :, None])[:, :, 0].mT
        return x + self.project(F.silu(mixed))


class Fcpe(nn.Module):
    """Mel spectrogram to salience; the group norm is given the statistics of the whole input."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(N_MELS, DIM, 3, padding=1)
        self.group_norm = nn.GroupNorm(GROUPS, DIM)
        self.second = nn.Conv1d(DIM, DIM, 3, padding=1)
        self.blocks = nn.Sequential(*(ConvBlock() for _ in range(LAYERS)))
        self.norm = nn.LayerNorm(DIM)
        self.output = nn.Linear(DIM, PITCH_BINS)

    def forward(self, mel: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
        """mel: (1, 128, T), mean and deviation: (1, 512, 1) of the first layer's output.

        Returns (1, T, 360) salience in 0..1.
        """
        x = (self.first(mel) - mean) / deviation
        x = x * self.group_norm.weight[:, None] + self.group_norm.bias[:, None]
        x = self.blocks(self.second(F.leaky_relu(x)).mT)
        return torch.sigmoid(self.output(self.norm(x)))


def load_fcpe(device: str) -> tuple[Fcpe, Tensor]:
    """FCPE with the weights in the package torchfcpe, and the cents of its bins (360,)."""
    path = packaged_file("torchfcpe", "assets/fcpe_c_v001.pt", "torchfcpe")
    packaged = torch.load(path, map_location="cpu", weights_only=True)["model"]
    names = {"first": "input_stack.0", "group_norm": "input_stack.1", "second": "input_stack.3"}
    names["norm"] = "norm"
    for i in range(LAYERS):
        parts = {"norm": "0", "expand": "2", "depthwise": "4.conv", "project": "6"}
        for part, index in parts.items():
            names[f"blocks.{i}.{part}"] = f"net.encoder_layers.{i}.conformer.net.{index}"
    weights = {
        f"{name}.{kind}": packaged[f"{source}.{kind}"]
        for name, source in names.items()
        for kind in ("weight", "bias")
    }
    for name in weights:
        if name.endswith(("expand.weight", "project.weight")):
            weights[name] = weights[name].squeeze(-1)
        elif name.endswith("depthwise.weight"):
            weights[name] = weights[name].unsqueeze(2)
    direction = packaged["output_proj.weight_v"]
    length = packaged["output_proj.weight_g"]
    weights["output.weight"] = length * direction / direction.norm(dim=1, keepdim=True)
    weights["output.bias"] = packaged["output_proj.bias"]
    with torch.device("meta"):
        network = Fcpe()
    network.load_state_dict(weights, assign=True)
    return network.to(device).eval(), packaged["cent_table"].to(device)


class FcpeF0:
    """FCPE with the mean of the bins around the highest one."""

    def __init__(self, device: str = "cpu", voicing_threshold: float = VOICING_THRESHOLD) -> None:
        self.device = device
        self.voicing_threshold = voicing_threshold
        self.network, self.cents = load_fcpe(device)
        self.filters = torch.from_numpy(mel_filters(N_MELS, N_FFT, SAMPLE_RATE)).to(device)
        self.hann = torch.hann_window(N_FFT, device=device)

    @torch.inference_mode()
    def __call__(self, audio: np.ndarray) -> np.ndarray:
        """(N,) float32 at 16 kHz -> (N // 160,) float32 Hz."""
        audio = mono(audio)
        gain = gain_to_peak(audio, PEAK)
        mean, deviation = self._statistics(audio, gain)
        return track(audio, lambda window: self._estimate(window * gain, mean, deviation))

    def _estimate(self, window: np.ndarray, mean: Tensor, deviation: Tensor) -> np.ndarray:
        salience = self.network(self.mel(window), mean, deviation)[0]
        cents, confidence = mean_around(salience, self.cents)
        f0 = torch.where(confidence >= self.voicing_threshold, cents_to_hz(cents), 0)
        return f0.cpu().numpy()

    def mel(self, window: np.ndarray) -> Tensor:
        """(M,) -> natural log of the mel magnitudes (1, 128, M // 160)."""
        # Its frames are centred half a hop late, and it has learnt to answer for where they should
        # be: a glide comes out without delay.
        padding = (N_FFT - HOP_LENGTH) // 2
        signal = F.pad(torch.from_numpy(window).to(self.device), (padding, padding))
        spectrum = torch.stft(
            signal, N_FFT, HOP_LENGTH, window=self.hann, center=False, return_complex=True
        )
        magnitude = (spectrum.real**2 + spectrum.imag**2 + 1e-9).sqrt()
        return (self.filters @ magnitude).clamp_min(MEL_FLOOR).log()[None]

    def _statistics(self, audio: np.ndarray, gain: np.float32) -> tuple[Tensor, Tensor]:
        """Mean and deviation of the first layer over all frames, per channel (1, 512, 1)."""
        frames, moments = 0, torch.zeros(2, GROUPS, dtype=torch.float64)
        for samples, before, wanted in split_windows(len(audio)):
            if wanted:
                x = self.network.first(self.mel(audio[samples] * gain))
                x = x[0, :, before : before + wanted].reshape(GROUPS, -1)
                moments += wanted * torch.stack([x.mean(dim=1), (x * x).mean(dim=1)]).cpu()
                frames += wanted
        mean, square = moments / max(1, frames)
        deviation = (square - mean * mean + self.network.group_norm.eps).sqrt()
        return tuple(
            value.float().repeat_interleave(DIM // GROUPS)[None, :, None].to(self.device)
            for value in (mean, deviation)
        )
