"""The standard synthesizer of RVC v1 and v2: VITS with content in place of text.

Kim et al. 2021, arXiv:2106.06103. The names of the parts are keys of public checkpoints, and their
order is the order of public optimiser states.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import config
from infer.models.ops import crop_frames, draw_normal, sequence_mask
from infer.models.standard.encoders import PosteriorEncoder, PriorEncoder
from infer.models.standard.flow import Flow
from infer.models.standard.vocoders import VOCODERS
from infer.voice.hparams import StandardParams

TEMPERATURE = 0.66666  # share of the prior's deviation that inference draws with
FLOW_CONTEXT = 24  # frames before a streamed piece that the flow needs


class Noise(NamedTuple):
    """Random numbers of one pass: latent (B, inter_dim, T), source (B, N, H), crop (B,) in 0..1.

    latent and source are normal; source is None without pitch, crop is only for training. starts:
    (B, H) cycles, where each harmonic but the first begins, None where there is one. draw: makes
    the normal numbers that layers of RefineGAN add, by their shape; None = they add nothing.
    """

    latent: Tensor
    source: Tensor | None = None
    crop: Tensor | None = None
    starts: Tensor | None = None
    draw: Callable[[tuple[int, ...]], Tensor] | None = None


class TrainingOutput(NamedTuple):
    """What the losses need. wav: (B, 1, segment samples); starts: (B,) first frame of each crop.

    prior and posterior: mean and log deviation, (B, inter_dim, T) each; mask: (B, 1, T).
    latent: the posterior's sample; flowed: the same seen from the prior.
    """

    wav: Tensor
    starts: Tensor
    mask: Tensor
    latent: Tensor
    flowed: Tensor
    prior_mean: Tensor
    prior_log_deviation: Tensor
    posterior_mean: Tensor
    posterior_log_deviation: Tensor


class Rendering(NamedTuple):
    """wav: (B, 1, N), and what it was made from: source (B, 1, N), others (B, inter_dim, T)."""

    wav: Tensor
    latent: Tensor
    flowed: Tensor
    prior_mean: Tensor
    prior_log_deviation: Tensor
    source: Tensor | None


class Synthesizer(nn.Module):
    """content + pitch + f0 + speaker -> waveform."""

    def __init__(self, params: StandardParams, for_training: bool = True) -> None:
        """Without for_training: no posterior encoder, and kernels instead of weight norms."""
        super().__init__()
        self.params = params
        parts = {
            "enc_p": lambda: PriorEncoder(params),
            "dec": lambda: VOCODERS[params.vocoder].build(params, for_training),
            "enc_q": lambda: PosteriorEncoder(params),
            "flow": lambda: Flow(params, for_training),
            "emb_g": lambda: nn.Embedding(params.num_speakers, params.speaker_dim),
        }
        if params.prior_stands_last:
            parts["enc_p"] = parts.pop("enc_p")
        for name, make in parts.items():
            if for_training or name != "enc_q":
                self.add_module(name, make())

    def forward(
        self,
        content: Tensor,
        pitch: Tensor | None,
        f0: Tensor | None,
        spec: Tensor,
        lengths: Tensor,
        speaker: Tensor,
        *,
        segment_frames: int,
        generator: torch.Generator | None = None,
        noise: Noise | None = None,
    ) -> TrainingOutput:
        """The training pass: encode the spectrogram, render a random crop of it.

        content: (B, T, content_dim) at 100 frames/s; pitch: (B, T) 1..255 and f0: (B, T) Hz, None
        without pitch; spec: (B, spec_bins, T) linear; lengths: (B,) frames, each at least
        segment_frames; speaker: (B,). noise is drawn from generator where it is not given.
        """
        if noise is None:
            noise = self._draw(spec, spec.shape[-1], segment_frames, generator)
        vector = self.emb_g(speaker)[:, :, None]
        mask = sequence_mask(lengths, spec.shape[-1]).to(spec.dtype)
        prior = self.enc_p(content, pitch, mask)
        mean, log_deviation = self.enc_q(spec, mask, vector)
        latent = (mean + noise.latent * log_deviation.exp()) * mask
        flowed = self.flow(latent, mask, vector)
        starts = (noise.crop * (lengths - segment_frames + 1)).long()
        source = None
        if f0 is not None:
            cropped = crop_frames(f0, starts, segment_frames)
            source = self.dec.m_source(cropped, noise.source, noise.starts)
        wav = self.dec(crop_frames(latent, starts, segment_frames), source, vector, noise.draw)
        return TrainingOutput(wav, starts, mask, latent, flowed, *prior, mean, log_deviation)

    def _draw(
        self, like: Tensor, frames: int, source_frames: int, generator: torch.Generator | None
    ) -> Noise:
        """Numbers for frames of the latent and source_frames of the source, as many items as like.

        The order is latent, crop, starts, source, and then what draw gives, so that inference and
        training differ by the crop alone.
        """
        batch = len(like)
        latent = draw_normal((batch, self.params.inter_dim, frames), generator, like)
        crop = torch.rand(batch, generator=generator).to(like.device)
        starts, source, harmonics = None, None, self.params.num_harmonics
        if harmonics > 1:
            starts = torch.rand(batch, harmonics, generator=generator).to(like.device)
            starts[:, 0] = 0
        if self.params.use_f0:
            samples = source_frames * self.params.hop_length
            source = draw_normal((batch, samples, harmonics), generator, like).float()
        return Noise(
            latent, source, crop, starts, partial(draw_normal, generator=generator, like=like)
        )

    @torch.inference_mode()
    def infer(
        self,
        content: Tensor,
        pitch: Tensor | None,
        f0: Tensor | None,
        speaker: Tensor,
        *,
        lengths: Tensor | None = None,
        skip_head: int = 0,
        return_length: int | None = None,
        return_length2: int | None = None,
        generator: torch.Generator | None = None,
        noise: Noise | None = None,
    ) -> Rendering:
        """Render a whole sequence, or of a stream the frames skip_head .. + return_length.

        Shapes as in forward; lengths: (B,) frames, None = all. return_length2: frames that the
        piece is stretched to, which shifts its formants. noise.latent has T - max(skip_head - 24,
        0) frames, noise.source return_length frames.
        """
        frames = content.shape[1]
        end = frames if return_length is None else min(frames, skip_head + return_length)
        flow_start = max(skip_head - FLOW_CONTEXT, 0)
        if noise is None:
            noise = self._draw(content, frames - flow_start, end - skip_head, generator)
        vector = self.emb_g(speaker)[:, :, None]
        if lengths is None:
            lengths = torch.full((len(content),), frames, device=content.device)
        mask = sequence_mask(lengths, frames).to(content.dtype)
        with config.half(content.device):
            prior = self.enc_p(content, pitch, mask)
        mean, log_deviation = (part.float() for part in prior)
        kept = slice(flow_start, None)
        flowed = mean[..., kept] + log_deviation[..., kept].exp() * noise.latent * TEMPERATURE
        flowed = flowed * mask[..., kept]
        with config.half(content.device):
            latent = self.flow(flowed, mask[..., kept], vector, reverse=True)
        latent = latent.float() * mask[..., kept]
        piece = latent[..., skip_head - flow_start : end - flow_start]
        source = None
        if f0 is not None:
            source = self.dec.m_source(f0[:, skip_head:end], noise.source, noise.starts)
        if return_length2 is not None and return_length2 != piece.shape[-1]:
            piece = F.interpolate(piece, return_length2, mode="linear")
            if source is not None:
                samples = return_length2 * self.params.hop_length
                source = F.interpolate(source, samples, mode="linear")
        wav = VOCODERS[self.params.vocoder].render(self.dec, piece, source, vector, noise.draw)
        return Rendering(wav, latent, flowed, mean, log_deviation, source)
