"""One training step of the lite recipe, and its evaluation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

import config
from train.lite.dataset import Batch, Dataset, Draws, Picked
from train.lite.discriminators import SpectrogramDiscriminators
from train.lite.losses import (
    SpectralLoss,
    adversarial_loss,
    discriminator_loss,
    feature_matching_loss,
)
from train.rehearsal import SHARE, Rehearsal
from train.state import TrainState, optimizer_step


@dataclass
class Trainer:
    """Trains a synthesizer against discriminators; settings is the "train" group of config.json."""

    state: TrainState
    settings: dict[str, Any]
    sample_rate: int
    hop_length: int
    device: torch.device
    seed: int
    rehearsal: Rehearsal | None = None
    spectral: SpectralLoss = field(init=False)

    def __post_init__(self) -> None:
        self.spectral = SpectralLoss(
            self.sample_rate, self.settings["mel_windows"], self.settings["mel_bins"]
        ).to(self.device)

    def draw(self, shape: tuple[int, int, int], step: int) -> Draws:
        """Return the random numbers of a step, a function of seed and step alone.

        shape: of content (B, T, dim).
        """
        clips, frames, _ = shape
        random = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        phase = torch.rand(clips, generator=random)
        noise = self._content_noise(shape, random)
        source = torch.randn(clips, frames * self.hop_length, generator=random)
        length, size = self._sizes(frames)
        start = int(torch.randint(length - size + 1, (1,), generator=random))
        return Draws(phase, noise, source, start)

    def _content_noise(self, shape: tuple[int, int, int], random: torch.Generator) -> Tensor:
        """Draw noise for content (B, T, dim): what is faint in it, as the throat is, drowns.

        The last value, the log energy, is left alone.
        """
        batch, frames, dim = shape
        noise = torch.randn(batch, frames // 2 + 1, dim, generator=random)
        noise[..., -1] = 0
        return noise.repeat_interleave(2, 1)[:, :frames]

    def _sizes(self, frames: int) -> tuple[int, int]:
        """Samples of a clip that losses see, and of them those that the discriminators see."""
        length = (frames - 2 * self.settings["margin_frames"]) * self.hop_length
        return length, min(self.settings["adversarial_frames"] * self.hop_length, length)

    def train_step(self, batch: Batch | Picked) -> dict[str, Tensor]:
        """Update both networks; returns the losses by name, of no dimension."""
        state, settings, batch = self.state, self.settings, batch.to(self.device)
        if batch.draws is None:
            draws = self.draw(batch.content.shape, state.step)
            batch = replace(batch, draws=draws).to(self.device)
        draws = batch.draws
        content = batch.content + settings["content_noise"] * draws.content_noise
        fake = state.synthesizer(
            content, batch.f0, batch.speaker, phase=draws.phase, noise=draws.source_noise
        )
        margin = settings["margin_frames"] * self.hop_length  # crops lack their surroundings
        fake, real = fake[:, margin:-margin], batch.wav[:, margin:-margin]
        seen = fake.detach().requires_grad_()  # by the losses; its gradient goes to fake
        weight, share = settings["loss_weights"], settings["adversarial_share"]
        mel, stft = self.spectral(seen, real, batch.bandwidth)
        losses: dict[str, Tensor] = {"mel": mel, "stft": stft}
        (spectral,) = torch.autograd.grad(weight["mel"] * mel + weight["stft"] * stft, seen)
        gradients = [(spectral, 1.0)]
        if state.step >= settings["adversarial_from_step"]:
            crop = slice(draws.crop_start, draws.crop_start + self._sizes(batch.f0.shape[1])[1])
            adversarial, others = self.discriminator_step(seen, real, batch.bandwidth, crop)
            losses.update(others)
            gradients = [(spectral, 1 - share), (adversarial, share)]
        waves = [(fake, balanced_gradient(gradients))]
        if batch.rehearsal is not None:
            wave = self.rehearsal.synthesize(state.synthesizer, batch.rehearsal)
            seen = wave.detach().requires_grad_()
            losses["words"] = self.rehearsal.loss(seen, batch.rehearsal)
            (words,) = torch.autograd.grad(losses["words"], seen)
            waves.append((wave, balanced_gradient([(words, SHARE)])))
        self._update(
            "synthesizer",
            state.synthesizer,
            state.synthesizer_optimizer,
            lambda: torch.autograd.backward(*zip(*waves, strict=True)),
            settings["learning_rate"],
        )
        self._average()
        state.step += 1
        return {f"loss/{name}": value.detach() for name, value in losses.items()}

    def discriminator_step(
        self, fake: Tensor, real: Tensor, bandwidth: Tensor, crop: slice
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Update the discriminators on a crop of fake and real, (B, N) each.

        Returns the gradient that they, before this update, give fake, and the losses.
        """
        networks, weight = self.state.discriminators, self.settings["loss_weights"]
        with config.autocast(self.device), parametrize.cached():  # kernels once for both
            # apart: fake's gradient then costs half of one pass
            real_scores, real_layers = networks(real[:, crop], bandwidth)
            fake_scores, fake_layers = networks(fake[:, crop], bandwidth)
        real_scores, fake_scores = (
            [score.float() for score in scores] for scores in (real_scores, fake_scores)
        )
        pairs = [
            list(zip(*layers, strict=True)) for layers in zip(real_layers, fake_layers, strict=True)
        ]
        losses = {
            "adversarial": adversarial_loss(fake_scores),
            "feature_matching": feature_matching_loss(pairs),
        }
        weighted = sum(weight[name] * loss for name, loss in losses.items())
        (gradient,) = torch.autograd.grad(weighted, fake, retain_graph=True)
        losses["discriminator"] = discriminator_loss(real_scores, fake_scores)
        self._update(
            "discriminators",
            networks,
            self.state.discriminator_optimizer,
            lambda: losses["discriminator"].backward(inputs=list(networks.parameters())),
            self.settings["discriminator_learning_rate"],
        )
        return gradient, losses

    def _update(
        self,
        name: str,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        backward: Callable[[], None],
        learning_rate: float,
    ) -> None:
        """Step an optimiser; a gradient that is not finite is left out."""
        optimizer.zero_grad(set_to_none=True)
        backward()
        norm = nn.utils.clip_grad_norm_(
            network.parameters(), self.settings["gradient_clip"], foreach=True
        )
        warmup = min(1.0, (self.state.step + 1) / self.settings["warmup_steps"])
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * warmup
        optimizer_step(self.state, name, optimizer, norm)

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.settings["ema_decay"], (1 + self.state.step) / (10 + self.state.step))
        means, values = (
            list(network.parameters()) for network in (self.state.average, self.state.synthesizer)
        )
        torch._foreach_lerp_(means, values, 1 - decay)

    @torch.inference_mode()
    def held_out_loss(self, dataset: Dataset) -> float:
        """Return the average's mean mel loss on the held-out clips; nan where there are none."""
        losses = []
        for clip in dataset.held_out:
            batch = dataset.whole(clip).to(self.device)
            losses.append(float(self.spectral(self.render(batch), batch.wav, batch.bandwidth)[0]))
        return sum(losses) / len(losses) if losses else float("nan")

    @torch.inference_mode()
    def render(self, batch: Batch) -> Tensor:
        """Render a whole clip with the average, (B, N); the same every time."""
        random = torch.Generator().manual_seed(0)
        return self.state.average(batch.content, batch.f0, batch.speaker, generator=random)


def balanced_gradient(gradients: list[tuple[Tensor, float]]) -> Tensor:
    """Mix gradients (B, N), each with its share: pairs of (gradient, share).

    Each is scaled to unit size per clip, so neither a quiet clip nor a loss with steep spots rules
    (after the balancer of EnCodec, arXiv:2210.13438).
    """
    mixed = sum(
        share * gradient / gradient.norm(dim=1, keepdim=True).clamp(min=1e-12)
        for gradient, share in gradients
    )
    return mixed / len(mixed)


def make_discriminators(settings: dict[str, Any], sample_rate: int) -> SpectrogramDiscriminators:
    """Make the discriminators that the "train" group asks for."""
    return SpectrogramDiscriminators(
        sample_rate, settings["discriminator_windows"], settings["discriminator_channels"]
    )
