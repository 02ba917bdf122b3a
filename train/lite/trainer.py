"""One training step of the lite recipe, and its evaluation."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

import config
from train.lite.dataset import Batch, Dataset
from train.lite.discriminators import SpectrogramDiscriminators
from train.lite.losses import (
    SpectralLoss,
    adversarial_loss,
    discriminator_loss,
    feature_matching_loss,
)
from train.state import TrainState

logger = logging.getLogger(__name__)


@dataclass
class Trainer:
    """Trains a synthesizer against discriminators; settings is the "train" group of config.json."""

    state: TrainState
    settings: dict[str, Any]
    sample_rate: int
    hop_length: int
    device: torch.device
    seed: int
    spectral: SpectralLoss = field(init=False)

    def __post_init__(self) -> None:
        self.spectral = SpectralLoss(
            self.sample_rate, self.settings["mel_windows"], self.settings["mel_bins"]
        ).to(self.device)

    def train_step(self, batch: Batch) -> dict[str, float]:
        """One update of both networks; returns the losses by name."""
        state, settings = self.state, self.settings
        random = torch.Generator().manual_seed(self.seed * 1_000_003 + state.step)
        phase = torch.rand(len(batch.f0), generator=random).to(self.device)
        content = batch.content + settings["content_noise"] * self._noise(batch.content, random)
        made = state.synthesizer(content, batch.f0, batch.speaker, generator=random, phase=phase)
        margin = settings["margin_frames"] * self.hop_length  # crops lack their surroundings
        made, real = made[:, margin:-margin], batch.wav[:, margin:-margin]
        heard = made.detach().requires_grad_()  # what the losses see; its gradient goes to made
        weight, share = settings["loss_weights"], settings["adversarial_share"]
        mel, stft = self.spectral(heard, real, batch.bandwidth)
        losses: dict[str, Tensor] = {"mel": mel, "stft": stft}
        (likeness,) = torch.autograd.grad(weight["mel"] * mel + weight["stft"] * stft, heard)
        gradients = [(likeness, 1.0)]
        if state.step >= settings["adversarial_from_step"]:
            crop = self._adversarial_crop(heard.shape[1], random)
            played, naturalness = self._play(heard, real, batch.bandwidth, crop)
            losses.update(played)
            gradients = [(likeness, 1 - share), (naturalness, share)]
        self._update(
            state.synthesizer,
            state.synthesizer_optimizer,
            lambda: made.backward(balanced_gradient(gradients)),
            settings["learning_rate"],
        )
        self._average()
        state.step += 1
        return {f"loss/{name}": float(value.detach()) for name, value in losses.items()}

    def _noise(self, content: Tensor, random: torch.Generator) -> Tensor:
        """Noise for content (B, T, dim): what is faint in it, as the throat is, drowns.

        The last value, the log energy, is left alone.
        """
        batch, frames, dim = content.shape
        noise = torch.randn(batch, frames // 2 + 1, dim, generator=random)
        noise[..., -1] = 0
        return noise.repeat_interleave(2, 1)[:, :frames].to(content)

    def _adversarial_crop(self, length: int, random: torch.Generator) -> slice:
        size = min(self.settings["adversarial_frames"] * self.hop_length, length)
        start = int(torch.randint(length - size + 1, (1,), generator=random))
        return slice(start, start + size)

    def _play(
        self, heard: Tensor, real: Tensor, bandwidth: Tensor, crop: slice
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Train the discriminators on a crop of what was made (heard) and of what is real.

        Returns the losses and the gradient that their judgement, before this update, gives heard.
        """
        networks, weight = self.state.discriminators, self.settings["loss_weights"]
        with config.autocast(self.device):  # apart: heard's gradient then costs half of one pass
            real_scores, real_layers = networks(real[:, crop], bandwidth)
            made_scores, made_layers = networks(heard[:, crop], bandwidth)
        real_scores, made_scores = (
            [score.float() for score in scores] for scores in (real_scores, made_scores)
        )
        pairs = [
            list(zip(*layers, strict=True)) for layers in zip(real_layers, made_layers, strict=True)
        ]
        losses = {
            "adversarial": adversarial_loss(made_scores),
            "feature_matching": feature_matching_loss(pairs),
        }
        judged = sum(weight[name] * loss for name, loss in losses.items())
        (naturalness,) = torch.autograd.grad(judged, heard, retain_graph=True)
        losses["discriminator"] = discriminator_loss(real_scores, made_scores)
        self._update(
            networks,
            self.state.discriminator_optimizer,
            lambda: losses["discriminator"].backward(inputs=list(networks.parameters())),
            self.settings["discriminator_learning_rate"],
        )
        return losses, naturalness

    def _update(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        backward: Callable[[], None],
        learning_rate: float,
    ) -> None:
        """One optimiser step; a step whose gradient is not finite is left out and said."""
        optimizer.zero_grad(set_to_none=True)
        backward()
        norm = nn.utils.clip_grad_norm_(network.parameters(), self.settings["gradient_clip"])
        if not torch.isfinite(norm):
            logger.warning("step %d left out: its gradient is not finite", self.state.step)
            return
        warmup = min(1.0, (self.state.step + 1) / self.settings["warmup_steps"])
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * warmup
        optimizer.step()

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.settings["ema_decay"], (1 + self.state.step) / (10 + self.state.step))
        for mean, value in zip(
            self.state.average.parameters(), self.state.synthesizer.parameters(), strict=True
        ):
            mean.lerp_(value, 1 - decay)

    @torch.inference_mode()
    def held_out_loss(self, dataset: Dataset) -> float:
        """Mean mel loss of the average on the held-out clips; nan where there are none."""
        losses = []
        for clip in dataset.held_out:
            batch = dataset.whole(clip).to(self.device)
            losses.append(float(self.spectral(self.speak(batch), batch.wav, batch.bandwidth)[0]))
        return sum(losses) / len(losses) if losses else float("nan")

    @torch.inference_mode()
    def speak(self, batch: Batch) -> Tensor:
        """What the average makes of a whole clip, (B, N); the same every time."""
        random = torch.Generator().manual_seed(0)
        return self.state.average(batch.content, batch.f0, batch.speaker, generator=random)


def balanced_gradient(gradients: list[tuple[Tensor, float]]) -> Tensor:
    """One gradient (B, N) of several, each with its share: pairs of (gradient, share).

    Each is scaled to unit size per clip, so neither a quiet clip nor a loss with steep spots rules
    (after the balancer of EnCodec, arXiv:2210.13438).
    """
    mixed = sum(
        share * gradient / gradient.norm(dim=1, keepdim=True).clamp(min=1e-12)
        for gradient, share in gradients
    )
    return mixed / len(mixed)


def make_discriminators(settings: dict[str, Any], sample_rate: int) -> SpectrogramDiscriminators:
    """The discriminators that the "train" group asks for."""
    return SpectrogramDiscriminators(
        sample_rate, settings["discriminator_windows"], settings["discriminator_channels"]
    )
