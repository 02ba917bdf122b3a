"""Worker 4: train a voice. Stops at any time with its state saved, and goes on from there.

Several GPUs or machines share the work when torchrun starts this module (see docs/standard.md).
"""

from __future__ import annotations

import logging
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
import torch

import config
from errors import UserError
from infer.memory import is_out_of_memory
from infer.voice.checkpoint import save_voice_model
from options import printable
from train import processes
from train.experiment import Experiment
from train.filelist import complete_clips, silent_clip, write_filelist
from train.metrics import append_metrics, save_cost, write_sample
from train.options import TrainOptions, parse_options, train_command
from train.recipes import Training, recipe
from train.state import TrainState, report_left_out, save_state
from train.tensorboard import Curves
from train.worker import SECONDS, Progress, WorkerError, run_worker, uninterrupted

METRICS_SECONDS = 10.0  # between two entries of the losses
MEAN_STEPS = 50  # whose losses are shown as one
READERS = 2  # threads that read batches ahead

logger = logging.getLogger(__name__)


def train(options: TrainOptions) -> Path:
    """Train until the steps, the epochs or the minutes are over; returns the voice file.

    Where the recipe holds clips out, the voice is the one that came nearest to them; otherwise the
    newest. Stopped (KeyboardInterrupt) saves first.
    """
    if not (options.steps or options.epochs or options.limit_minutes):
        raise WorkerError("no_end")
    if options.threads:
        torch.set_num_threads(options.threads)
    with processes.together(options.device) as device:
        return _train(replace(options, device=device))


def _train(options: TrainOptions) -> Path:
    experiment = Experiment(options.experiment)
    run = _open(experiment, options)
    voice = options.voice or config.WEIGHTS / f"{experiment.name}.pth"
    if processes.rank() > 0:
        _loop(run, options, voice, lambda losses: None, lambda: None)
        return voice
    with closing(Curves(experiment, run.state.step)) as curves:

        def note(losses: dict[str, float]) -> None:
            append_metrics(experiment, step=run.state.step, seconds=run.state.seconds, **losses)
            curves.losses(run.state.step, losses)

        def keep() -> None:
            if run.state.in_step:
                return  # an error, and a stop that came after it: one network is a step ahead
            if run.state.step != run.state.saved_step or not voice.exists():
                _keep(run, experiment, voice, curves)

        try:
            _loop(run, options, voice, note, keep)
        except KeyboardInterrupt:  # it stops between steps; an error is not saved
            keep()
            raise
        keep()
    return voice


def _open(experiment: Experiment, options: TrainOptions) -> Training:
    """Open the run of an experiment, after its list of clips is written."""
    size = options.total_batch or options.batch_size * processes.count()
    if size < processes.count():
        raise WorkerError("few_clips", size=size, processes=processes.count())
    options = replace(options, batch_size=size)
    groups = experiment.read_config()
    way, model = recipe(groups["version"]), groups["model"]
    if processes.count() > 1 and not way.averages_gradients:
        raise WorkerError("one_process", version=groups["version"])
    use_f0 = model.get("use_f0", True)
    clips = complete_clips(experiment, model["content_dim"], use_f0)
    silence = silent_clip(experiment, model["content_dim"], clips[0].speaker)
    if way.mute_rows and silence is None:
        logger.warning("no clip of silence is trained on; train.extract_features makes one")
    elif way.mute_rows:
        clips += way.mute_rows * [silence]
    if processes.rank() == 0:
        write_filelist(experiment, clips, use_f0)
    device = config.pick_device(options.device)
    if device.type == "cuda" and (gpus := torch.cuda.device_count()) > processes.count() == 1:
        line = printable(train_command(replace(options, device="auto"), gpus))
        logger.info("%d GPUs are here; this uses all of them: %s", gpus, line)
    torch.manual_seed(options.seed)
    run = way.open(experiment, groups, clips, options, device)
    if processes.count() > 1 and not processes.agree(_check_number(run.state)):
        raise WorkerError("states_differ", folder=experiment.root)
    return run


def _check_number(state: TrainState) -> int:
    """A number that two processes have in common when they go on from the same state."""
    number = state.step
    for network in (state.synthesizer, state.discriminators):
        for weights in network.parameters():
            number = zlib.crc32(weights.detach().cpu().contiguous().numpy(), number)
    return number


def _keep(run: Training, experiment: Experiment, voice: Path, curves: Curves) -> None:
    """Save the state; write the voice if it is the best so far."""
    state = run.state
    loss, words = run.held_out_loss(), run.words_kept()
    cost = save_cost(loss, words)
    if not cost >= state.best_cost:  # also when there is nothing held out (nan)
        state.best_cost, state.best_step, state.worse_saves = cost, state.step, 0
        save_voice_model(voice, run.voice(loss))
    else:
        state.worse_saves += 1
    save_state(state, experiment)
    append_metrics(experiment, step=state.step, seconds=state.seconds, held_out=loss, words=words)
    made, original, rate = run.sample()
    write_sample(experiment, state.step, made, rate)
    write_sample(experiment, None, original, rate)
    curves.sample(state.step, made, original, rate)
    logger.info("step %d saved", state.step)
    if not np.isnan(loss):
        kept = "" if np.isnan(words) else f", words kept {words:.3f}"
        logger.info("held-out loss %.4f%s; best at step %d", loss, kept, state.best_step)


def _loop(
    run: Training,
    options: TrainOptions,
    voice: Path,
    note: Callable[[dict[str, float]], None],
    keep: Callable[[], None],
) -> None:
    """Step until the end; note is given mean losses now and then, keep saves."""
    state = run.state
    started = saved = measured = time.monotonic()
    before = state.seconds
    recent = _Recent()
    total, unit = options.steps or options.epochs * run.steps_per_epoch, "steps"
    if not total:
        total, unit = round(60 * options.limit_minutes), SECONDS

    def done() -> int:
        if unit == SECONDS:
            return min(total, int(state.seconds))
        if options.steps:
            return min(total, state.step)
        return min(total, state.epoch * run.steps_per_epoch + state.epoch_step)

    if _is_over(run, options):
        logger.info(
            "trained for that long already; a larger --minutes, --steps or --epochs goes on"
        )
    with (
        Progress(total, unit, "train", done=done()) as progress,
        closing(_batches(run)) as batches,
        uninterrupted() as stops,  # a state is saved between steps, never in the middle of one
    ):
        while not processes.any_of(bool(stops) or _is_over(run, options)):
            losses = _step(run, next(batches), options)
            state.seconds = before + time.monotonic() - started
            recent.add(losses)
            progress.advance(done() - progress.done, partial(_note, state, recent))
            if _ends_epochs(run, options.voice_epochs) and processes.rank() == 0:
                name = f"{voice.stem}_e{state.epoch}_s{state.step}.pth"
                save_voice_model(voice.with_name(name), run.voice(float("nan")))
            if time.monotonic() - measured > METRICS_SECONDS:
                note(recent.means())
                report_left_out(state)
                measured = time.monotonic()
            if time.monotonic() - saved >= 60 * options.save_minutes:
                logger.info(
                    "%s", "  ".join(f"{k} {mean:.4g}" for k, mean in recent.means().items())
                )
                keep()
                saved = time.monotonic()
        if remaining := done() - progress.done:
            progress.advance(remaining)
    if 0 < options.limit_saves <= state.worse_saves:
        logger.info("no better voice for %d saves, so training ends; --patience 0 goes on",
                    state.worse_saves)  # fmt: skip


class _Recent:
    """The losses of the last steps; on a GPU they are read when somebody asks for their means."""

    def __init__(self) -> None:
        self._values: dict[str, deque[torch.Tensor | float]] = {}

    def add(self, losses: dict[str, torch.Tensor | float]) -> None:
        """Keep the losses of a step by name."""
        for name, value in losses.items():
            self._values.setdefault(name, deque(maxlen=MEAN_STEPS)).append(value)

    def mean(self, name: str) -> float:
        """Return the mean of a loss."""
        values = self._values[name]
        if isinstance(values[0], torch.Tensor):
            return float(torch.stack(list(values)).double().mean())
        return float(np.mean(values))

    def means(self) -> dict[str, float]:
        """Return the mean of every loss by name."""
        return {name: self.mean(name) for name in self._values}


def _note(state: TrainState, recent: _Recent) -> str:
    """Describe how far a training is, for its progress line."""
    return f"step {state.step}, epoch {state.epoch}, mel loss {recent.mean('loss/mel'):.3f}"


def _batches(run: Training) -> Iterator[Any]:
    """Yield the batch of every step from now on, read ahead while others are computed."""
    with ThreadPoolExecutor(READERS) as readers:
        step = run.state.step
        ahead = deque(readers.submit(run.batch, step + i) for i in range(READERS))
        try:
            while True:
                step += 1
                batch = ahead.popleft().result()
                ahead.append(readers.submit(run.batch, step + READERS - 1))
                yield batch
        finally:
            for future in ahead:
                future.cancel()


def _step(run: Training, batch: Any, options: TrainOptions) -> dict[str, torch.Tensor | float]:
    """Update both networks; WorkerError where the memory does not suffice for it."""
    try:
        run.state.in_step = True
        losses = run.train_step(batch)
        run.state.in_step = False
        return losses
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        size = options.batch_size
        way_out = UserError("way_halve", size=size // 2) if size > 1 else UserError("way_close")
        detail = shorten(str(error) or type(error).__name__, 160)
        values = {"size": size, "device": options.device, "way_out": way_out, "detail": detail}
        raise WorkerError("batch", **values) from error


def _ends_epochs(run: Training, number: int) -> bool:
    """Whether an epoch ends here that is a multiple of number."""
    state = run.state
    return bool(number) and state.epoch_step == 0 and state.epoch % number == 0


def _is_over(run: Training, options: TrainOptions) -> bool:
    state = run.state
    return (
        bool(options.steps and state.step >= options.steps)
        or bool(options.epochs and state.epoch >= options.epochs)
        or bool(options.limit_minutes and state.seconds >= 60 * options.limit_minutes)
        or 0 < options.limit_saves <= state.worse_saves
    )


if __name__ == "__main__":
    run_worker(train, parse_options(TrainOptions))
