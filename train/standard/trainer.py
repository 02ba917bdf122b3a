"""One training step of the standard recipe: VITS losses against multi-period discriminators.

A batch may be computed in parts, and shared by processes: every loss is a part's share of the whole
batch's, so the gradients that are added up are the whole batch's gradient.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from infer.memory import is_out_of_memory
from infer.models.ops import crop_frames
from infer.models.standard.synthesizer import TrainingOutput
from train import processes
from train.standard.dataset import Utterances
from train.standard.losses import (
    adversarial_loss,
    discriminator_loss,
    feature_matching_loss,
    kl_sum,
)
from train.standard.spectrogram import SpectrogramParams, linear_spectrogram, log_mel
from train.state import TrainState
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
    gradient_norms: dict[str, float] = field(default_factory=dict)

    def train_step(self, batch: Utterances) -> dict[str, float]:
        """One update of both networks; returns the weighted losses by name."""
        state, batch = self.state, batch.to(self.device)
        items = processes.total(len(batch), self.device)
        frames = processes.total(float(batch.lengths.sum()), self.device)
        rate = self.settings["learning_rate"] * self.settings["lr_decay"] ** state.epoch
        losses: dict[str, float] = defaultdict(float)
        made = self._fitted(lambda: self.judge(batch, items, losses), batch)
        self._update("discriminators", state.discriminators, state.discriminator_optimizer, rate)
        self._fitted(lambda: self.learn(batch, made, items, frames, losses), batch)
        self._update("synthesizer", state.synthesizer, state.synthesizer_optimizer, rate)
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

    def _fitted(self, compute: Callable[[], Result], batch: Utterances) -> Result:
        """What compute returns; while the memory does not suffice, with the batch halved."""
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

    def judge(
        self, batch: Utterances, items: float, losses: dict[str, float]
    ) -> list[TrainingOutput]:
        """Leave the discriminators' gradient; returns what the synthesizer made, if undivided.

        Of a divided batch only one part's graph is kept at a time: it is computed anew.
        """
        networks = self.state.discriminators
        networks.zero_grad(set_to_none=True)
        kept, total, is_whole = [], 0.0, self.parts == 1
        for part in batch.parts(self.parts):
            with torch.set_grad_enabled(is_whole):
                output = self._synthesize(part)
            with self._fast():
                real, _ = networks(self._real(part, output))
                made, _ = networks(output.wav.detach())
            loss = discriminator_loss(real, made) * (len(part) / items)
            self._scaled(loss).backward()
            total += float(loss.detach())
            if is_whole:
                kept.append(output)
        losses["discriminator"] = total
        return kept

    def learn(
        self,
        batch: Utterances,
        made: list[TrainingOutput],
        items: float,
        frames: float,
        losses: dict[str, float],
    ) -> None:
        """Leave the synthesizer's gradient."""
        weights, networks = self.settings["loss_weights"], self.state.discriminators
        self.state.synthesizer.zero_grad(set_to_none=True)
        sums: dict[str, float] = defaultdict(float)
        networks.requires_grad_(False)
        for part in batch.parts(self.parts):
            output = made.pop() if made else self._synthesize(part)
            with self._fast():
                with torch.no_grad():
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
            loss = sum(weights[name] * term for name, term in terms.items())
            self._scaled(loss).backward()
            for name, term in terms.items():
                sums[name] += weights[name] * float(term.detach())
        networks.requires_grad_(True)
        losses.update(sums)

    def _synthesize(self, part: Utterances) -> TrainingOutput:
        with self._fast():
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
        made = linear_spectrogram(output.wav[:, 0].float(), self.spectrogram)
        return (log_mel(spec, self.spectrogram) - log_mel(made, self.spectrogram)).abs().mean()

    def _fast(self) -> torch.autocast:
        return torch.autocast(
            self.device.type, self.dtype, enabled=self.dtype != torch.float32, cache_enabled=False
        )

    def _scaled(self, loss: Tensor) -> Tensor:
        return loss if self.state.scaler is None else self.state.scaler.scale(loss)

    def _update(
        self, name: str, network: nn.Module, optimizer: torch.optim.Optimizer, rate: float
    ) -> None:
        """One optimiser step; a step whose gradient is not finite is left out and said."""
        scaler = self.state.scaler
        processes.sum_gradients(network.parameters())
        if scaler is not None:
            scaler.unscale_(optimizer)
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        norm = float(torch.linalg.vector_norm(torch.stack([g.norm() for g in gradients])))
        self.gradient_norms[name] = norm
        for group in optimizer.param_groups:
            group["lr"], group["initial_lr"] = rate, self.settings["learning_rate"]
        if scaler is not None:
            scaler.step(optimizer)  # leaves it out by itself, and lowers the scale
        elif np.isfinite(norm):
            optimizer.step()
        if not np.isfinite(norm) and (scaler is None or scaler.get_scale() < 1):
            logger.warning("step %d left out: the gradient of the %s is not finite",
                           self.state.step, name)  # fmt: skip
