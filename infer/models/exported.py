"""The synthesizers as an ONNX file holds them: from inputs of other programs' names to audio.

Nothing is drawn in them: noise is a table that is repeated, so that two runs are equal and the file
can be compared with the network it was made of. Every operation exists in ONNX, and every length
follows from the inputs.
"""

from __future__ import annotations

import math
from itertools import count

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infer.models.lite.synthesizer import MAX_LOG_GAIN, LiteSynthesizer
from infer.models.ops import sequence_mask
from infer.models.standard.attention import RelativeAttention
from infer.models.standard.synthesizer import TEMPERATURE, Noise, Synthesizer

TABLE_SIZE = 2**16  # values of noise; 1.4 s at 48 kHz
STRIDE, JUMP = 7919, 104729  # primes: where in the table the next channel, the next layer begins
ANY_LENGTH = 2**31 - 1


class NoiseTable(nn.Module):
    """Normal numbers for any shape, always the same."""

    def __init__(self) -> None:
        super().__init__()
        values = torch.randn(TABLE_SIZE, generator=torch.Generator().manual_seed(0))
        self.register_buffer("values", values)

    def forward(self, channels: int, length: int, start: int = 0) -> Tensor:
        """(channels, length)."""
        columns = torch.arange(length, device=self.values.device)
        rows = torch.arange(channels, device=self.values.device)[:, None] * STRIDE + start
        return self.values[(rows + columns) % TABLE_SIZE]


class ExportedStandard(nn.Module):
    """phone, phone_lengths, pitch, pitchf, ds, rnd -> audio; without pitch lack the middle two."""

    def __init__(self, synthesizer: Synthesizer) -> None:
        super().__init__()
        self.synthesizer = synthesizer
        self.table = NoiseTable()
        for part in synthesizer.modules():
            if isinstance(part, RelativeAttention):
                part.block = ANY_LENGTH  # a loop over blocks would be as long as when it was traced

    @property
    def input_names(self) -> list[str]:
        """The names of the inputs, in order."""
        pitch = ["pitch", "pitchf"] if self.synthesizer.params.use_f0 else []
        return ["phone", "phone_lengths", *pitch, "ds", "rnd"]

    def make_inputs(self, frames: int, seed: int) -> tuple[Tensor, ...]:
        """Inputs of so many frames, voiced and unvoiced."""
        params, random = self.synthesizer.params, torch.Generator().manual_seed(seed)
        f0 = _some_f0(frames)
        pitch = (torch.arange(1, frames + 1)[None] % 255 + 1, f0) if params.use_f0 else ()
        return (
            torch.randn(1, frames, params.content_dim, generator=random),
            torch.tensor([frames]),
            *pitch,
            torch.tensor([params.num_speakers - 1]),
            torch.randn(1, params.inter_dim, frames, generator=random),
        )

    def forward(self, phone: Tensor, phone_lengths: Tensor, *others: Tensor) -> Tensor:
        """phone: (1, T, dim); pitch: (1, T) 1..255; pitchf: (1, T) Hz; ds: (1,) speaker.

        rnd: (1, inter_dim, T), used as it is: callers multiply it by TEMPERATURE or less; where it
        is zero there is no noise at all. Returns audio (1, 1, N).
        """
        *pitches, speaker, rnd = others
        pitch, f0 = pitches or (None, None)
        network, noise = self.synthesizer, self.make_noise(rnd)
        vector = network.emb_g(speaker)[:, :, None]
        mask = sequence_mask(phone_lengths, phone.shape[1])
        mean, log_deviation = network.enc_p(phone, pitch, mask)
        flowed = (mean + log_deviation.exp() * rnd) * mask
        latent = network.flow(flowed, mask, vector, reverse=True) * mask
        source = None if f0 is None else network.dec.m_source(f0, noise.source)
        return network.dec(latent, source, vector, noise.draw)

    def run_network(self, *inputs: Tensor) -> Tensor:
        """What conversion makes of the same inputs and the same noise."""
        content, lengths, *pitches, speaker, rnd = inputs
        pitch, f0 = pitches or (None, None)
        noise = self.make_noise(rnd)
        made = self.synthesizer.infer(content, pitch, f0, speaker, lengths=lengths, noise=noise)
        return made.wav

    def make_noise(self, rnd: Tensor) -> Noise:
        """The noise of a pass: rnd for the latent, the table for all else."""
        params, level = self.synthesizer.params, rnd.abs().amax().sign()
        layers = count(1)

        def draw(shape: tuple[int, ...]) -> Tensor:
            return (self.table(shape[1], shape[2], next(layers) * JUMP) * level)[None]

        samples = rnd.shape[2] * params.hop_length
        source = (self.table(params.num_harmonics, samples) * level).transpose(0, 1)[None]
        return Noise(rnd / TEMPERATURE, source, draw=draw)


class ExportedLite(nn.Module):
    """content, f0, speaker -> audio; the Fourier transforms are convolutions with fixed kernels."""

    input_names = ["content", "f0", "speaker"]

    def __init__(self, synthesizer: LiteSynthesizer) -> None:
        super().__init__()
        self.synthesizer = synthesizer
        self.table = NoiseTable()
        size, bins = synthesizer.n_fft, synthesizer.num_bins
        angles = torch.arange(bins)[:, None] * torch.arange(size) % size * (2 * math.pi / size)
        angles = angles.double()
        basis = torch.cat([angles.cos(), -angles.sin()])[:, None]
        window = torch.hann_window(size, dtype=torch.float64)
        twice = torch.full((bins, 1, 1), 2.0, dtype=torch.float64)  # bins with a mirror image
        twice[0] = twice[-1] = 1
        inverse = basis * torch.cat([twice, twice]) / size
        self.register_buffer("forth", (basis * window).float())
        self.register_buffer("back", (inverse * window).float())
        self.register_buffer("power", window.square().float()[None, None])

    def make_inputs(self, frames: int, seed: int) -> tuple[Tensor, ...]:
        """Inputs of so many frames, voiced and unvoiced."""
        params, random = self.synthesizer.params, torch.Generator().manual_seed(seed)
        content = torch.randn(1, frames, params.content_dim, generator=random)
        return content, _some_f0(frames), torch.tensor([params.num_speakers - 1])

    def run_network(self, *inputs: Tensor) -> Tensor:
        """What conversion makes of the same inputs and the same noise."""
        content, f0, speaker = inputs
        x = self.synthesizer.encode(content, f0, speaker)
        return self.synthesizer.filter(x, self.synthesizer.source(f0)[0], self.make_noise(f0))

    def make_noise(self, f0: Tensor) -> Tensor:
        """The noise source (1, T * hop_length)."""
        return self.table(1, f0.shape[1] * self.synthesizer.params.hop_length)

    def forward(self, content: Tensor, f0: Tensor, speaker: Tensor) -> Tensor:
        """content: (1, T, dim) at 100 frames/s; f0: (1, T) Hz, 0 unvoiced; speaker: (1,).

        Returns audio (1, N).
        """
        network = self.synthesizer
        hop, margin = network.params.hop_length, network.n_fft // 2
        x = network.encode(content, f0, speaker)
        x = torch.cat([x, x[:, -1:]], 1)  # as LiteSynthesizer.filter has it
        real, imaginary = self._spectrum(network.source(f0)[0])
        gain = network.harmonic_gain(x).transpose(1, 2).clamp(max=MAX_LOG_GAIN).exp()
        phase = network.harmonic_phase(x).transpose(1, 2)
        turned = (
            gain * (real * phase.cos() - imaginary * phase.sin()),
            gain * (real * phase.sin() + imaginary * phase.cos()),
        )
        noisy = network.noise_gain(x).transpose(1, 2).clamp(max=MAX_LOG_GAIN).exp()
        parts = zip(turned, self._spectrum(self.make_noise(f0)), strict=True)
        filtered = torch.cat([kept + noisy * noise for kept, noise in parts], 1)
        wav = F.conv_transpose1d(filtered, self.back, stride=hop)
        power = F.conv_transpose1d(torch.ones_like(filtered[:, :1]), self.power, stride=hop)
        return (wav / power.clamp(min=1e-6))[:, 0, margin:-margin]

    def _spectrum(self, wav: Tensor) -> tuple[Tensor, Tensor]:
        """Real and imaginary part of every bin, (1, bins, T + 1) each."""
        network = self.synthesizer
        margin = network.n_fft // 2
        padded = F.pad(wav[:, None], (margin, margin))
        both = F.conv1d(padded, self.forth, stride=network.params.hop_length)
        return both[:, : network.num_bins], both[:, network.num_bins :]


def _some_f0(frames: int) -> Tensor:
    """(1, frames) Hz: a glide with gaps."""
    f0 = torch.linspace(110, 330, frames)
    f0[frames // 3 : frames // 3 + 4] = 0
    f0[-3:] = 0
    return f0[None]
