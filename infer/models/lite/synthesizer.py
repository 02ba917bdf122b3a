"""The lite synthesizer: a harmonic and a noise source, filtered in the STFT domain.

ConvNeXt blocks at frame rate predict, for every 25 Hz bin of every 10 ms frame, how the harmonic
source is scaled and turned and how the noise source is scaled; one inverse STFT makes the waveform
(Vocos: Siuzdak 2023, arXiv:2306.00814; neural source filter: Wang et al. 2019, arXiv:1904.12088).
A frame is always 10 ms and a window always 40 ms, so a bin is 25 Hz wide at every sample rate: the
weights of one rate are the first rows of a higher one.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import config
from infer.voice.hparams import LiteParams

WINDOW_FRAMES = 4  # STFT window in frames
F0_REFERENCE = 200.0  # Hz; the middle of the f0 scale that the network sees
F0_WAVES = 8  # sines and cosines that describe log f0
PIECE = 900  # frames at most that are converted at once, ...
OVERLAP = WINDOW_FRAMES  # ... beside those whose windows reach into them
MAX_LOG_GAIN = 6.0  # natural log; keeps exp() finite


def linear_upsample(x: Tensor, factor: int) -> Tensor:
    """(B, T) at samples i * factor -> (B, T * factor), linear between, held at the end."""
    following = torch.cat([x[:, 1:], x[:, -1:]], 1)
    ramp = torch.arange(factor, device=x.device, dtype=x.dtype) / factor
    return (x[..., None] + (following - x)[..., None] * ramp).flatten(1)


def overlap_add(frames: Tensor) -> Tensor:
    """(B, T, window) windows that begin a quarter of their length apart -> their sum (B, N)."""
    parts = frames.unflatten(-1, (WINDOW_FRAMES, -1)).unbind(2)
    hop = parts[0].shape[-1]
    return sum(
        F.pad(part.flatten(1), (i * hop, (WINDOW_FRAMES - 1 - i) * hop))
        for i, part in enumerate(parts)
    )


def inverse_stft(spec: Tensor, window: Tensor) -> Tensor:
    """Spectrum (B, F, T) of centred windows -> samples (B, (T - 1) * hop).

    torch.istft gives the same, but reads whether a window is 0 somewhere, for which a GPU waits.
    """
    frames = torch.fft.irfft(spec.transpose(1, 2), len(window)) * window
    weight = overlap_add((window.square()).expand(1, spec.shape[2], -1))
    middle = slice(len(window) // 2, -len(window) // 2)
    return overlap_add(frames)[:, middle] / weight[:, middle]


def _fraction(cycles: Tensor) -> Tensor:
    """What is above the whole number, of positive ones; torch's own has no name in ONNX."""
    return cycles - cycles.floor()


class HarmonicSource(nn.Module):
    """f0 -> band-limited pulses: every harmonic below Nyquist, all with the same level."""

    def __init__(self, sample_rate: int, hop_length: int) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.hop_length = hop_length

    def count_cycles(self, f0: Tensor, phase: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The frequency in Hz at every sample, and the cycles since the start: (B, N) each.

        Cycles are float64, and on the processor where an Apple GPU has the rest: it has none.
        """
        # a voiced edge keeps its pitch while the amplitude ramps, so f0 never glides to zero
        filled = torch.where(f0 > 0, f0, torch.roll(f0, 1, 1))
        filled = torch.where(filled > 0, filled, torch.roll(f0, -1, 1)).clamp(min=20.0)
        hz = linear_upsample(filled, self.hop_length)
        place = torch.device("cpu") if hz.device.type == "mps" else hz.device
        cycles = torch.cumsum(hz.to(place).double() / self.sample_rate, 1)
        if phase is not None:
            cycles = cycles + phase[:, None].to(place).double()
        return hz, cycles

    def forward(self, f0: Tensor, phase: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """f0: (B, T) Hz, 0 where unvoiced; phase: (B,) cycles at the start.

        Returns the source (B, T * hop_length) and the phase (B,) after the last sample.
        """
        amplitude = linear_upsample((f0 > 0).to(f0.dtype), self.hop_length)
        hz, cycles = self.count_cycles(f0, phase)
        angle = (_fraction(cycles) * (2 * math.pi)).to(f0.device, f0.dtype)
        # sum of cos(k * angle), k = 1..K, in closed form; a fractional K fades the top harmonic in
        count = (0.5 * self.sample_rate / hz).clamp(min=1.0)
        whole = count.floor()
        half = angle / 2
        denominator = torch.sin(half)
        near_pulse = denominator.abs() < 1e-4
        denominator = torch.where(near_pulse, torch.ones_like(half), 2 * denominator)
        pulses = torch.where(
            near_pulse, whole, torch.sin((2 * whole + 1) * half) / denominator - 0.5
        )
        pulses = pulses + (count - whole) * torch.cos((whole + 1) * angle)
        return pulses * torch.sqrt(2 / count) * amplitude, _fraction(cycles[:, -1]).to(
            f0.device, f0.dtype
        )


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution over time, speaker-adapted layer norm, MLP. (B, T, C) -> (B, T, C)."""

    def __init__(self, dim: int, inner_dim: int, kernel_size: int, speaker_dim: int, scale: float):
        super().__init__()
        self.dims = (dim,)
        self.dwconv = nn.Conv1d(dim, dim, kernel_size, padding=kernel_size // 2, groups=dim)
        self.adapt = nn.Linear(speaker_dim, 2 * dim)
        self.inner = nn.Linear(dim, inner_dim)
        self.outer = nn.Linear(inner_dim, dim)
        self.gamma = nn.Parameter(torch.full((dim,), scale))
        nn.init.zeros_(self.adapt.weight)
        nn.init.zeros_(self.adapt.bias)

    def forward(self, x: Tensor, speaker: Tensor, first: int = 0) -> Tensor:
        """first: frames at the beginning that are only looked back at."""
        y = self.dwconv(x.transpose(1, 2)).transpose(1, 2)
        if first:
            x, y = x[:, first:], y[:, first:]
        scale, shift = self.adapt(speaker)[:, None].chunk(2, -1)
        y = F.layer_norm(y, self.dims) * (1 + scale) + shift
        return x + self.gamma * self.outer(F.gelu(self.inner(y)))


class LiteSynthesizer(nn.Module):
    """content + f0 + speaker -> waveform."""

    def __init__(self, params: LiteParams) -> None:
        super().__init__()
        dim = params.hidden_dim
        self.params = params
        self.n_fft = WINDOW_FRAMES * params.hop_length
        self.num_bins = self.n_fft // 2 + 1
        self.source = HarmonicSource(params.sample_rate, params.hop_length)
        self.emb_g = nn.Embedding(params.num_speakers, params.speaker_dim)
        self.content = nn.Conv1d(params.content_dim, dim, 3, padding=1)
        self.pitch = nn.Linear(2 * F0_WAVES + 2, dim)
        scale = 1 / params.num_blocks
        self.blocks = nn.ModuleList(
            ConvNeXtBlock(dim, params.inner_dim, params.kernel_size, params.speaker_dim, scale)
            for _ in range(params.num_blocks)
        )
        self.norm = nn.LayerNorm(dim)
        # one head per quantity, so that rows can be cut or added when the sample rate changes
        self.harmonic_gain = nn.Linear(dim, self.num_bins)
        self.harmonic_phase = nn.Linear(dim, self.num_bins)
        self.noise_gain = nn.Linear(dim, self.num_bins)
        nn.init.normal_(self.emb_g.weight, std=0.5)
        for head, level in (
            (self.harmonic_gain, -5.0),
            (self.harmonic_phase, 0.0),
            (self.noise_gain, -7.0),
        ):
            nn.init.normal_(head.weight, std=0.01)
            nn.init.constant_(head.bias, level)
        window = torch.hann_window(self.n_fft, device="cpu")  # no weight: never without storage
        self.register_buffer("window", window, persistent=False)

    def describe_f0(self, f0: Tensor) -> Tensor:
        """(B, T) Hz -> (B, T, 2 * F0_WAVES + 2): voicing, octaves from 200 Hz and waves of them.

        A note above f0_known is filtered like one of that pitch; its source has its own.
        """
        voiced = (f0 > 0).to(f0.dtype)
        octaves = torch.log2(f0.clamp(min=20.0, max=self.params.f0_known) / F0_REFERENCE)
        angle = octaves[..., None] * (
            math.pi / 4 * 2 ** (torch.arange(F0_WAVES, device=f0.device) / 2)
        )
        waves = torch.cat([torch.sin(angle), torch.cos(angle)], -1)
        described = torch.cat([octaves[..., None], waves], -1) * voiced[..., None]
        return torch.cat([voiced[..., None], described], -1)

    def forward(
        self,
        content: Tensor,
        f0: Tensor,
        speaker: Tensor,
        *,
        generator: torch.Generator | None = None,
        phase: Tensor | None = None,
        noise: Tensor | None = None,
        first: int = 0,
    ) -> Tensor:
        """content: (B, T, content_dim) at 100 frames/s; f0: (B, T) Hz, 0 unvoiced; speaker: (B,).

        noise: (B, N) normal, the noise source; without it generator draws it.
        phase: (B,) cycles, where the harmonic source starts.
        first: frames at the beginning that are only looked back at.
        Returns the waveform (B, N), about -1..1, not limited; N = (T - first) * hop_length.
        """
        frames, hop = f0.shape[1], self.params.hop_length
        if noise is None:
            shape = len(f0), (frames - first) * hop
            noise = torch.randn(shape, generator=generator, device="cpu").to(f0)
        pulses, _ = self.source(f0[:, first:], phase)

        def convert(begin: int, end: int) -> Tensor:
            # what its windows overlap with, and what that depends on
            low, high = max(first, begin - OVERLAP), min(frames, end + OVERLAP)
            seen = slice(max(0, low - self.reach), high + self.reach)
            lead = max(0, first - seen.start)
            with config.autocast(content.device):  # not the rest: a phase needs all of float32
                x = self.encode(content[:, seen], f0[:, seen], speaker, lead)
            x = x[:, low - seen.start - lead : high - seen.start - lead]
            heard = slice((low - first) * hop, (high - first) * hop)
            wav = self.filter(x, pulses[:, heard], noise[:, heard])
            return wav[:, (begin - low) * hop : (end - low) * hop]

        # in pieces a conversion needs less memory; a GPU would rather have all at once
        whole = torch.is_grad_enabled() or content.device.type != "cpu"
        edges = [*range(first, frames, frames if whole else PIECE), frames]
        return torch.cat([convert(*piece) for piece in pairwise(edges)], 1)

    def encode(self, content: Tensor, f0: Tensor, speaker: Tensor, first: int = 0) -> Tensor:
        """The last hidden state (B, T - first, C), by which both sources are filtered.

        first: frames at the beginning that are only looked back at.
        """
        vector, pitch = self.emb_g(speaker), self.describe_f0(f0)
        x = self.content(content.transpose(1, 2)).transpose(1, 2) + self.pitch(pitch)
        sees = self.params.kernel_size // 2  # frames that a block looks back
        dropped = 0
        for number, block in enumerate(self.blocks, 1):  # what no later block sees is left out
            drop = max(0, first - sees * (len(self.blocks) - number)) - dropped
            x = block(x, vector, drop)
            dropped += drop
        return self.norm(x.float())

    @property
    def reach(self) -> int:
        """Frames on each side of one that its hidden state depends on."""
        return 1 + len(self.blocks) * (self.params.kernel_size // 2)

    def filter(self, x: Tensor, pulses: Tensor, noise: Tensor) -> Tensor:
        """Filter both sources (B, T * hop_length) by the last hidden state (B, T, C)."""
        x = torch.cat([x, x[:, -1:]], 1)  # the STFT has one frame more than f0
        harmonic = self._spectrum(pulses) * torch.polar(
            torch.exp(self.harmonic_gain(x).transpose(1, 2).clamp(max=MAX_LOG_GAIN)),
            self.harmonic_phase(x).transpose(1, 2),
        )
        noisy = self._spectrum(noise) * torch.exp(
            self.noise_gain(x).transpose(1, 2).clamp(max=MAX_LOG_GAIN)
        )
        return inverse_stft(harmonic + noisy, self.window)[:, : pulses.shape[1]]

    def _spectrum(self, wav: Tensor) -> Tensor:
        return torch.stft(
            wav, self.n_fft, self.params.hop_length, window=self.window, return_complex=True,
            pad_mode="constant",
        )  # fmt: skip
