"""Worker 4: train a voice. Stops at any time with its state saved, and goes on from there."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

import config
from infer.checkpoint import (
    CheckpointError,
    VoiceModel,
    load_training_state,
    load_weights,
    save_voice_model,
)
from infer.models.families import family, plain
from train.dataset import Dataset
from train.experiment import Experiment
from train.filelist import Clip, complete_clips, write_filelist
from train.metrics import append_metrics, write_sample
from train.options import TrainOptions, parse_options
from train.trainer import (
    Trainer,
    TrainState,
    base_files,
    load_state,
    make_discriminators,
    new_state,
    save_state,
)
from train.worker import Progress, WorkerError, run_worker, uninterrupted

METRICS_SECONDS = 10.0  # between two entries of the losses

logger = logging.getLogger(__name__)


def train(options: TrainOptions) -> Path:
    """Train until the steps or the minutes are over; returns the voice file.

    The voice is the averaged synthesizer with the lowest held-out loss since the discriminators
    joined. Stopped (KeyboardInterrupt) saves first.
    """
    if options.steps == 0 and options.minutes == 0:
        raise WorkerError("training without an end: give --steps or --minutes")
    experiment = Experiment(options.experiment)
    groups = experiment.read_config()
    clips = complete_clips(experiment, groups["model"]["content_dim"])
    write_filelist(experiment, clips)
    if options.threads:
        torch.set_num_threads(options.threads)
    device = config.pick_device(options.device)
    settings = {**groups["train"], "batch_size": options.batch_size}
    trainer, params = _make_trainer(experiment, groups, settings, clips, options, device)
    dataset = Dataset(
        clips, trainer.sample_rate, trainer.hop_length, options.batch_size, options.seed
    )
    voice = options.voice or config.WEIGHTS / f"{experiment.name}.pth"
    medians = _f0_medians(clips)

    def keep() -> None:
        """Save the state; write the voice if it is the best so far."""
        state = trainer.state
        if experiment.saved_steps()[-1:] == [state.step] and voice.exists():
            return
        loss = trainer.held_out_loss(dataset)
        if not loss >= state.best_loss:  # also when there is nothing held out (nan)
            state.best_loss, state.best_step = loss, state.step
            model = VoiceModel(
                weights=state.average.state_dict(),
                params=plain(params),
                sample_rate=params.sample_rate,
                version=groups["version"],
                info=f"{state.step} steps, held-out loss {loss:.4f}",
                f0_median=medians,
            )
            save_voice_model(voice, model)
        save_state(state, experiment)
        append_metrics(experiment, step=state.step, seconds=state.seconds, held_out=loss)
        clip = dataset.whole((dataset.held_out or dataset.training)[0])
        made = trainer.speak(clip.to(device))
        write_sample(experiment, state.step, made[0].cpu().numpy(), trainer.sample_rate)
        write_sample(experiment, None, clip.wav[0].numpy(), trainer.sample_rate)
        logger.info("step %d: held-out loss %.4f, best %.4f at step %d",
                    state.step, loss, state.best_loss, state.best_step)  # fmt: skip

    try:
        _loop(trainer, dataset, options, experiment, keep)
    finally:
        keep()  # also when stopped
    return voice


def _loop(
    trainer: Trainer,
    dataset: Dataset,
    options: TrainOptions,
    experiment: Experiment,
    keep: Callable[[], None],
) -> None:
    state, settings = trainer.state, trainer.settings
    started = saved = measured = time.monotonic()
    before = state.seconds
    recent: dict[str, list[float]] = defaultdict(list)
    total, unit = options.steps, "steps"
    if not total:
        total, unit = round(60 * options.minutes), "s"
    done = min(state.step if options.steps else int(state.seconds), total)
    if done == total:
        logger.info("trained for that long already; a larger --minutes or --steps goes on")
    frames = settings["segment_frames"]
    with (
        Progress(total, unit, "train", done=done) as progress,
        ThreadPoolExecutor(1) as reader,  # reads the next batch while this one is computed
    ):
        upcoming = reader.submit(dataset.batch, state.step, frames)
        while not options.steps or state.step < options.steps:
            state.seconds = before + time.monotonic() - started
            if options.minutes and state.seconds >= 60 * options.minutes:
                break
            if state.step == settings["adversarial_from_step"]:
                state.best_loss = float("inf")  # from here on, sharper beats closer on average
            batch = upcoming.result().to(trainer.device)
            upcoming = reader.submit(dataset.batch, state.step + 1, frames)
            with uninterrupted():  # a state is saved between steps, never in the middle of one
                losses = trainer.train_step(batch)
            for name, value in losses.items():
                recent[name] = [*recent[name][-49:], value]
            finished = state.step if options.steps else min(total, int(state.seconds))
            epoch = state.step // dataset.steps_per_epoch
            mel = np.mean(recent["loss/mel"])
            progress.advance(
                finished - progress.done, f"step {state.step}, epoch {epoch}, mel loss {mel:.3f}"
            )
            if time.monotonic() - measured > METRICS_SECONDS:
                means = {name: float(np.mean(values)) for name, values in recent.items()}
                append_metrics(experiment, step=state.step, seconds=state.seconds, **means)
                measured = time.monotonic()
            if time.monotonic() - saved > 60 * options.save_minutes:
                logger.info("%s", "  ".join(f"{k} {np.mean(v):.4f}" for k, v in recent.items()))
                keep()
                saved = time.monotonic()
        if not options.steps:
            progress.advance(total - progress.done)


def _make_trainer(
    experiment: Experiment,
    groups: dict[str, Any],
    settings: dict[str, Any],
    clips: list[Clip],
    options: TrainOptions,
    device: torch.device,
) -> tuple[Trainer, Any]:
    """Networks and state: continued, else from the base model, else new."""
    torch.manual_seed(options.seed)
    kind = family(groups["version"])
    num_speakers = 1 + max(clip.speaker for clip in clips)
    params = kind.params.from_groups(groups, num_speakers=num_speakers)
    synthesizer = kind.build(params)
    discriminators = make_discriminators(settings, params.sample_rate)
    steps = experiment.saved_steps()
    if options.use_base:
        settings["adversarial_from_step"] = 0  # the base's discriminators are trained already
    if options.use_base and not steps:
        path, judges_path = base_files(options.base or config.ASSETS / kind.base)
        weights = load_training_state(path)["model"]
        load_weights(synthesizer, kind.adapt(weights, synthesizer), path)
        load_weights(discriminators, load_training_state(judges_path)["model"], judges_path)
        logger.info("starting from the base model %s", path)
    state = new_state(synthesizer.to(device), discriminators.to(device), settings)
    _continue(state, experiment, steps)
    trainer = Trainer(state, settings, params.sample_rate, params.hop_length, device, options.seed)
    return trainer, params


def _continue(state: TrainState, experiment: Experiment, steps: list[int]) -> None:
    """Load the newest state; a damaged one is named and the one before is taken."""
    for step in reversed(steps):
        try:
            load_state(state, experiment, step)
        except CheckpointError as error:
            if step == steps[0]:
                raise
            logger.warning("%s; going back to the state before", error)
        else:
            logger.info("going on from step %d", state.step)
            return


def _f0_medians(clips: list[Clip]) -> dict[int, float]:
    """Median f0 in Hz of each speaker's voiced frames."""
    voiced = defaultdict(list)
    for clip in clips:
        f0 = np.load(clip.f0_hz)
        voiced[clip.speaker].append(f0[f0 > 0])
    medians = {}
    for speaker, values in voiced.items():
        joined = np.concatenate(values)
        if len(joined):
            medians[speaker] = float(np.median(joined))
    return medians


if __name__ == "__main__":
    run_worker(train, parse_options(TrainOptions))
