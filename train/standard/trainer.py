"""One training step of the standard recipe: VITS losses against multi-period discriminators.

A batch may be computed in parts, and shared by processes: every loss is a part's share of the whole
batch's, so the gradients that are added up are the whole batch's gradient. On a CUDA GPU nothing in
a step waits for it: losses stay there until they are reported, and the optimiser itself leaves out
a gradient that is not finite.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from infer.memory import is_out_of_memory
from infer.models.ops import crop_frames
from infer.models.standard.synthesizer import TrainingOutput
from train import processes
from train.standard.dataset import Picked, Utterances
from train.standard.graphs import Graphs, Half, Recorder
from train.standard.kernels import prepared_kernels
from train.standard.losses import (
    adversarial_loss,
    discriminator_loss,
    feature_matching_loss,
    kl_sum,
)
from train.standard.spectrogram import MelSpectrogram, SpectrogramParams
from train.state import TrainState, optimizer_step
from train.worker import WorkerError

Result = TypeVar("Result")

logger = logging.getLogger(__name__)


@dataclass
class StandardTrainer:
    """Steps both networks; settings is the group "train" of config.json."""

    state: TrainState
    settings: dict[str, Any]
    spectrogram: SpectrogramParams
    steps_per_epoch: int
    device: torch.device
    dtype: torch.dtype  # of the networks' products; losses and weights are float32
    parts: int = 1  # that a batch is computed in, to fit the memory
    batch_size: int = 0  # of all processes together, 0 = this is the only one
    recorder: Recorder | None = None  # of CUDA graphs, where steps are to be such
    gradient_norms: dict[str, Tensor] = field(default_factory=dict)
    mel: MelSpectrogram = field(init=False)
    sums: dict[str, processes.GradientSums] = field(init=False)
    graphs: Graphs | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.mel = MelSpectrogram(self.spectrogram, self.device)
        self.sums = {
            name: processes.GradientSums(getattr(self.state, name))
            for name in ("discriminators", "synthesizer")
        }
        if self.recorder is not None:
            networks = {name: getattr(self.state, name) for name in self.sums}
            self.graphs = Graphs(self.recorder, networks, self.halves, self.dtype)

    def train_step(self, batch: Utterances | Picked) -> dict[str, Tensor | float]:
        """Update both networks; returns the weighted losses by name, of no dimension."""
        state, batch = self.state, batch.to(self.device)
        rate = self.settings["learning_rate"] * self.settings["lr_decay"] ** state.epoch
        optimizers = {
            "discriminators": state.discriminator_optimizer,
            "synthesizer": state.synthesizer_optimizer,
        }
        halves = self.graphs and self.graphs.halves(batch)
        halves = halves or self.halves(batch, partial(self._fitted, batch))
        losses: dict[str, Tensor] = {}
        for name, optimizer in optimizers.items():
            losses |= halves[name]()
            self._update(name, getattr(state, name), optimizer, rate)
        if state.scaler is not None:
            state.scaler.update()
        state.step += 1
        state.epoch_step += 1
        if state.epoch_step >= self.steps_per_epoch:
            state.epoch, state.epoch_step = state.epoch + 1, 0
        return {
            **{f"loss/{name}": value for name, value in losses.items()},
            **{f"gradient/{name}": value for name, value in self.gradient_norms.items()},
            "learning_rate": rate,
        }

    def halves(
        self, batch: Utterances, attempt: Callable[[Callable[[], Any]], Any] = lambda f: f()
    ) -> dict[str, Half]:
        """Return what leaves each network's gradient and returns its losses, in order.

        attempt: calls what may not fit the memory.
        """
        items = self.batch_size or len(batch)
        frames: Tensor
        fake: list[TrainingOutput]

        def discriminators() -> dict[str, Tensor]:
            nonlocal frames, fake
            losses: dict[str, Tensor] = {}
            frames = processes.total(batch.lengths.sum())  # once, however often is attempted
            fake = attempt(lambda: self.discriminator_step(batch, items, losses))
            return losses

        def synthesizer() -> dict[str, Tensor]:
            losses: dict[str, Tensor] = {}
            attempt(lambda: self.generator_step(batch, fake, items, frames, losses))
            return losses

        return {"discriminators": discriminators, "synthesizer": synthesizer}

    def _fitted(self, batch: Utterances, compute: Callable[[], Result]) -> Result:
        """Return what compute does; while the memory does not suffice, the batch is halved."""
        while True:
            try:
                return compute()
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if self.parts >= len(batch):
                    detail = str(error)
                    raise WorkerError("one_clip", device=self.device, detail=detail) from error
            self.parts = min(2 * self.parts, len(batch))
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            logger.warning(
                "a batch of %d does not fit the memory of %s: computed in %d parts from here on, "
                "their gradients added up",
                len(batch), self.device, self.parts,
            )  # fmt: skip

    def discriminator_step(
        self, batch: Utterances, items: float, losses: dict[str, Tensor]
    ) -> list[TrainingOutput]:
        """Leave the discriminators' gradient; returns what the synthesizer made, if undivided.

        Of a divided batch only one part's graph is kept at a time: it is computed anew.
        """
        networks = self.state.discriminators
        networks.zero_grad(set_to_none=True)
        kept, terms, is_whole = [], [], self.parts == 1
        self.sums["discriminators"].begin(is_whole)
        for part in batch.parts(self.parts):
            with torch.set_grad_enabled(is_whole):
                output = self._synthesize(part)
            with prepared_kernels(networks, self.dtype), self._autocast():
                both = torch.cat([self._real(part, output), output.wav.detach()])
                scores, _ = networks(both)
            real, fake = zip(*(score.chunk(2) for score in scores), strict=True)
            loss = discriminator_loss(real, fake) * (len(part) / items)
            self._scaled(loss).backward()
            terms.append(loss.detach())
            if is_whole:
                kept.append(output)
        losses["discriminator"] = torch.stack(terms).sum()
        return kept

    def generator_step(
        self,
        batch: Utterances,
        fake: list[TrainingOutput],
        items: float,
        frames: Tensor,
        losses: dict[str, Tensor],
    ) -> None:
        """Leave the synthesizer's gradient; fake: what discriminator_step returned."""
        weights, networks = self.settings["loss_weights"], self.state.discriminators
        self.state.synthesizer.zero_grad(set_to_none=True)
        self.sums["synthesizer"].begin(is_whole=self.parts == 1)
        names = ("mel", "kl", "feature_matching", "adversarial")
        sums = []
        networks.requires_grad_(False)
        for part in batch.parts(self.parts):
            output = fake.pop() if fake else self._synthesize(part)
            with prepared_kernels(networks, self.dtype), self._autocast():
                with torch.no_grad():  # apart: the real ones need no gradient
                    _, real_layers = networks(self._real(part, output))
                scores, layers = networks(output.wav)
            share = len(part) / items
            terms = {
                "mel": self._mel_loss(part, output) * share,
                "kl": kl_sum(
                    output.flowed, output.posterior_log_deviation, output.prior_mean,
                    output.prior_log_deviation, output.mask,
                ) / frames,
                "feature_matching": feature_matching_loss(real_layers, layers) * share,
                "adversarial": adversarial_loss(scores) * share,
            }  # fmt: skip
            weighted = torch.stack([weights[name] * terms[name] for name in names])
            self._scaled(weighted.sum()).backward()
            sums.append(weighted.detach())
        networks.requires_grad_(True)
        losses.update(zip(names, torch.stack(sums).sum(0), strict=True))

    def _synthesize(self, part: Utterances) -> TrainingOutput:
        with prepared_kernels(self.state.synthesizer, self.dtype), self._autocast():
            return self.state.synthesizer(
                part.content, part.pitch, part.f0, part.spec, part.lengths, part.speaker,
                segment_frames=self.settings["segment_frames"], noise=part.noise,
            )  # fmt: skip

    def _real(self, part: Utterances, output: TrainingOutput) -> Tensor:
        hop = self.spectrogram.hop_length
        samples = self.settings["segment_frames"] * hop
        return crop_frames(part.wav, output.starts * hop, samples)

    def _mel_loss(self, part: Utterances, output: TrainingOutput) -> Tensor:
        spec = crop_frames(part.spec, output.starts, self.settings["segment_frames"])
        fake = self.mel.linear(output.wav[:, 0].float())
        return (self.mel.log_mel(spec) - self.mel.log_mel(fake)).abs().mean()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            self.device.type, self.dtype, enabled=self.dtype != torch.float32, cache_enabled=False
        )

    def _scaled(self, loss: Tensor) -> Tensor:
        return loss if self.state.scaler is None else self.state.scaler.scale(loss)

    def _update(
        self, name: str, network: nn.Module, optimizer: torch.optim.Optimizer, rate: float
    ) -> None:
        """Step an optimiser; a gradient that is not finite is left out."""
        scaler = self.state.scaler
        self.sums[name].finish()
        if scaler is not None:
            scaler.unscale_(optimizer)
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        self.gradient_norms[name] = norm
        for group in optimizer.param_groups:
            group["lr"], group["initial_lr"] = rate, self.settings["learning_rate"]
        optimizer_step(self.state, name, optimizer, norm)
