"""Rehearsal: a voice says what other people said, so that it forgets no word while it learns.

It learns from one person's recordings and would in time say only what that person says often. So,
with every other step, it also says a few seconds of other people's speech; the encoder listens, and
what it hears has to be what was said. That needs no recording of the voice saying it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import config
from infer.audio.reader import load
from infer.content import CONTENT_ENCODERS, FRAME, load_encoder
from infer.content.whisper import WhisperContent
from infer.content.whisper_encoder import WINDOW
from infer.f0 import QUICK_METHOD, SAMPLE_RATE, load_f0_method
from infer.f0.contour import median_f0

EVERY = 2  # steps
SHARE = 0.5  # of a step's gradient, beside the losses of the voice's own clips
CROPS = 2
CROP_FRAMES = 100  # of content: 2 s
HELD_OUT_FRAMES = 250  # the end of each recording, which is only measured
QUIET = -1.0  # normalised log energy below which nothing is said
LEAST_SPREAD = 0.1  # of a content value within a crop

logger = logging.getLogger(__name__)


class RehearsalBatch(NamedTuple):
    """What a voice is to say, and the random numbers with which it does."""

    content: Tensor  # (B, T, dim) at 50 frames/s
    f0: Tensor  # (B, 2 T) Hz
    speaker: Tensor  # (B,) of the voice
    noise: Tensor  # (B, N) normal
    offset: int  # position at which the encoder hears the first frame


@dataclass(frozen=True)
class Rehearsal:
    """Other people's speech, the encoder that hears a voice say it, and the voice's pitch."""

    encoder: WhisperContent
    speech: list[tuple[np.ndarray, np.ndarray]]  # content (T, dim), f0 (2 T,) for each person
    f0_median: Mapping[int, float]  # Hz, of the voice's speakers
    sample_rate: int  # of the voice

    def draw(self, step: int, seed: int) -> RehearsalBatch | None:
        """What is said with a step, a function of seed and step alone; None = nothing."""
        if step % EVERY:
            return None
        random = np.random.default_rng([seed, 3, step])
        people = random.integers(len(self.speech), size=CROPS)
        speakers = random.choice(list(self.f0_median), CROPS)
        rows = [
            (person, int(random.integers(self._trained(person) - CROP_FRAMES + 1)), speaker)
            for person, speaker in zip(people, speakers, strict=True)
        ]
        offset = int(random.integers(WINDOW - CROP_FRAMES))
        return self._batch(rows, CROP_FRAMES, offset, [seed, 4, step])

    def _trained(self, person: int) -> int:
        """Content frames of a person's speech that are rehearsed."""
        return len(self.speech[person][0]) - HELD_OUT_FRAMES

    def _batch(
        self, rows: list[tuple[int, int, int]], frames: int, offset: int, seed: list[int]
    ) -> RehearsalBatch:
        """Content and melody of (person, first frame, speaker), at the speaker's pitch."""
        content, melodies = [], []
        for person, start, speaker in rows:
            own, f0 = self.speech[person]
            content.append(own[start : start + frames])
            melodies.append(
                f0[2 * start : 2 * (start + frames)] * (self.f0_median[speaker] / median_f0(f0))
            )
        samples = frames * FRAME * self.sample_rate // SAMPLE_RATE
        noise = np.random.default_rng(seed).standard_normal((len(rows), samples), np.float32)
        return RehearsalBatch(
            torch.from_numpy(np.stack(content)),
            torch.from_numpy(np.stack(melodies).astype(np.float32)),
            torch.tensor([speaker for _, _, speaker in rows]),
            torch.from_numpy(noise),
            offset,
        )

    def synthesize(self, synthesizer: nn.Module, batch: RehearsalBatch) -> Tensor:
        """The waveform (B, N) in which the voice says it."""
        content = batch.content.repeat_interleave(2, 1)
        return synthesizer(content, batch.f0, batch.speaker, noise=batch.noise)

    def loss(self, wav: Tensor, batch: RehearsalBatch) -> Tensor:
        """How much of what was said is not heard in the waveform: 1 - cosine, 0..2."""
        content, _ = self.encoder.listen(_to_16k(wav, self.sample_rate), batch.offset)
        lost = 1 - F.cosine_similarity(
            _over_time(batch.content[..., :-1]), _over_time(content), dim=2
        )
        weight = (batch.content[..., -1] > QUIET).to(lost)
        return (lost * weight).sum() / weight.sum().clamp(min=1)

    @torch.inference_mode()
    def words_kept(self, synthesizer: nn.Module) -> float:
        """Mean cosine of what was said and what is heard, on speech that is never rehearsed."""
        kept = []
        for person in range(len(self.speech)):
            for speaker in self.f0_median:
                row = (person, self._trained(person), speaker)
                *tensors, offset = self._batch([row], HELD_OUT_FRAMES, 0, [0])
                batch = RehearsalBatch(*(x.to(self.encoder.device) for x in tensors), offset)
                kept.append(1 - float(self.loss(self.synthesize(synthesizer, batch), batch)))
        return sum(kept) / len(kept)


def open_rehearsal(
    encoder_name: str, f0_median: Mapping[int, float], sample_rate: int, device: torch.device
) -> Rehearsal | None:
    """Read what ships; None where the encoder is not ours, or no pitch of the voice is known."""
    if encoder_name not in CONTENT_ENCODERS or not f0_median:
        logger.info("other people's speech is not rehearsed: it needs the shipped encoder and f0")
        return None
    encoder, speech = _read_speech(encoder_name, device)
    return Rehearsal(encoder, speech, f0_median, sample_rate)


@cache  # seconds
def _read_speech(
    encoder_name: str, device: torch.device
) -> tuple[WhisperContent, list[tuple[np.ndarray, np.ndarray]]]:
    """The encoder, and normalised content and f0 of each person's speech."""
    encoder, f0_method = load_encoder(encoder_name, device), load_f0_method(QUICK_METHOD)
    speech = []
    for path in sorted((config.ASSETS / "lite/rehearsal").glob("*.ogg")):
        audio, _ = load(path, SAMPLE_RATE)
        content, f0 = encoder(audio), f0_method(audio)
        statistics = encoder.new_statistics()
        statistics.update(content)
        frames = min(len(content), len(f0) // 2)
        normalized = statistics.result().normalize(content[:frames])
        speech.append((normalized.astype(np.float32), f0[: 2 * frames]))
    return encoder, speech


def _over_time(x: Tensor) -> Tensor:
    """Each value of (B, T, dim) with zero mean and unit variance over time."""
    return (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True).clamp(min=LEAST_SPREAD)


def _to_16k(wav: Tensor, rate: int) -> Tensor:
    """(B, N) at a higher rate -> at 16 kHz, by leaving out the top of its spectrum."""
    samples = wav.shape[1] * SAMPLE_RATE // rate
    spec = torch.fft.rfft(wav)[:, : samples // 2 + 1]
    return torch.fft.irfft(spec, samples) * (samples / wav.shape[1])
