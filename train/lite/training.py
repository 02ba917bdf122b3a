"""The lite recipe as the training worker sees it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

import config
from infer.models.families import family, plain
from infer.voice.checkpoint import VoiceModel, load_training_state
from infer.voice.tensors import load_weights, unpack
from train.experiment import Experiment
from train.filelist import Clip, pitch_of
from train.lite.dataset import Batch, Dataset, Picked
from train.lite.trainer import Trainer, make_discriminators
from train.options import TrainOptions
from train.rehearsal import open_rehearsal
from train.state import TrainState, base_files, new_state, resume, saved_files

logger = logging.getLogger(__name__)


@dataclass
class LiteTraining:
    """Trains on random crops; the voice is the moving average."""

    trainer: Trainer
    dataset: Dataset
    params: Any
    version: str

    @property
    def state(self) -> TrainState:
        return self.trainer.state

    @property
    def steps_per_epoch(self) -> int:
        return self.dataset.steps_per_epoch

    def batch(self, step: int) -> Batch | Picked:
        """Return crops of one length, and the random numbers of the step."""
        frames, rehearsal = self.trainer.settings["segment_frames"], self.trainer.rehearsal
        shape = self.dataset.batch_size, frames, self.params.content_dim
        batch = self.dataset.batch(step, frames).with_draws(
            self.trainer.draw(shape, step),
            rehearsal and rehearsal.draw(step, self.trainer.seed),
        )
        return batch.pinned() if self.trainer.device.type == "cuda" else batch

    def train_step(self, batch: Batch | Picked) -> dict[str, Tensor]:
        """Update both networks; returns the losses by name."""
        state = self.state
        if state.step == self.trainer.settings["adversarial_from_step"]:
            state.best_cost = float("inf")  # from here on, sharper beats closer on average
        losses = self.trainer.train_step(batch)
        state.epoch, state.epoch_step = divmod(state.step, self.steps_per_epoch)
        return losses

    def held_out_loss(self) -> float:
        """Mean mel loss of the average on the held-out clips; nan where there are none."""
        return self.trainer.held_out_loss(self.dataset)

    def words_kept(self) -> float:
        """Share of other people's words that the average says; nan where nothing is rehearsed."""
        rehearsal = self.trainer.rehearsal
        return rehearsal.words_kept(self.state.average) if rehearsal else float("nan")

    def sample(self) -> tuple[np.ndarray, np.ndarray, int]:
        """A held-out clip as the average makes it and as it was recorded, (N,) each, and Hz."""
        clip = self.dataset.whole((self.dataset.held_out or self.dataset.training)[0])
        made = self.trainer.render(clip.to(self.trainer.device))[0].cpu().numpy()
        return made, clip.wav[0].numpy(), self.params.sample_rate

    def voice(self, loss: float) -> VoiceModel:
        """Return the moving average as a voice."""
        return VoiceModel(
            weights=self.state.average.state_dict(),
            params=plain(self.params),
            sample_rate=self.params.sample_rate,
            version=self.version,
            info=f"{self.state.step} steps, held-out loss {loss:.4f}",
            **self.state.pitch,
        )


def open_training(
    experiment: Experiment,
    groups: dict[str, Any],
    clips: list[Clip],
    options: TrainOptions,
    device: torch.device,
) -> LiteTraining:
    """Networks and state: continued, else from the base model, else new."""
    kind = family(groups["version"])
    settings = {**groups["train"], "batch_size": options.batch_size}
    params = kind.params.from_groups(groups, num_speakers=1 + max(clip.speaker for clip in clips))
    synthesizer = kind.build(params)
    discriminators = make_discriminators(settings, params.sample_rate)
    if options.use_base:
        settings["adversarial_from_step"] = 0  # the base's discriminators are trained already
    state = new_state(synthesizer.to(device), discriminators.to(device), settings, averaged=True)
    state.origin = {"version": groups["version"], "sample_rate": params.sample_rate}
    state.pitch = pitch_of(clips)
    dataset = Dataset(
        clips, params.sample_rate, params.hop_length, options.batch_size, options.seed
    )
    if device.type == "cuda":  # what a step takes was not measured: half of what is free is its
        dataset.keep(device, torch.cuda.mem_get_info(device)[0] / 2**31)
    if not resume(state, experiment, dataset.steps_per_epoch):
        _start(state, options, kind)
    rehearsal = None
    if options.use_base:  # what it is rehearsed against forgetting
        rehearsal = open_rehearsal(
            params.content_encoder, state.pitch["f0_median"], params.sample_rate, device
        )
    trainer = Trainer(
        state, settings, params.sample_rate, params.hop_length, device, options.seed, rehearsal
    )
    return LiteTraining(trainer, dataset, params, groups["version"])


def _start(state: TrainState, options: TrainOptions, kind: Any) -> None:
    """Take the weights of another experiment, or of the base model, or leave them as they are."""
    if options.from_experiment is not None:
        path, other_path = saved_files(Experiment(options.from_experiment), options.from_step)
    elif options.use_base:
        path, other_path = base_files(options.base or config.ASSETS / kind.base)
    else:
        return
    saved = load_training_state(path)
    weights = kind.adapt(unpack(saved.get("average", saved["model"])), state.synthesizer)
    for network in (state.synthesizer, state.average):
        load_weights(network, weights, path)
    load_weights(state.discriminators, load_training_state(other_path)["model"], other_path)
    logger.info("starting from %s", path)
