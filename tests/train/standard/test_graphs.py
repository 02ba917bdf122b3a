"""Recorded steps: the same training, whatever the lengths; and without them where anything fails.

A stand-in records on the processor: it does the work again on the tensors that it was shown, and
what it writes holds nothing before it has.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.train.tiny_standard import DIM, make_experiment, tiny_options
from train.filelist import complete_clips
from train.standard.dataset import BUCKET_FRAMES, Utterances
from train.standard.graphs import Half, largest_difference
from train.standard.trainer import StandardTrainer
from train.standard.training import StandardTraining, open_training

SECONDS = (1.0, 1.2, 1.6, 2.0)  # batches of two lengths: up to 1.5 s and up to 2.25 s
STEPS = 4


class StandIn:
    """Records work on the processor."""

    def __init__(self) -> None:
        self.records = self.starts = 0
        self.is_beside = False
        self.parameters: list[torch.nn.Parameter] = []

    @contextmanager
    def beside(self) -> Iterator[None]:
        self.is_beside = True
        yield
        self.is_beside = False

    def record(self, compute: Half) -> tuple[dict[str, Tensor], Callable[[], None]]:
        assert self.is_beside
        self.records += 1
        made = {name: torch.full_like(loss, torch.nan) for name, loss in compute().items()}

        def start() -> None:
            self.starts += 1
            for name, loss in compute().items():
                made[name].copy_(loss)
            for parameter in self.parameters:  # a GPU writes tensors, and changes nothing here
                parameter.grad = None

        return made, start


class Idle(StandIn):
    """Its recordings do nothing; the losses are there by chance."""

    def record(self, compute: Half) -> tuple[dict[str, Tensor], Callable[[], None]]:
        losses = compute()
        return losses, lambda: None


class Wrong(StandIn):
    """Its recordings leave another loss."""

    def record(self, compute: Half) -> tuple[dict[str, Tensor], Callable[[], None]]:
        made, start = super().record(compute)

        def start_wrongly() -> None:
            start()
            next(iter(made.values())).mul_(1.1)

        return made, start_wrongly


class Full(StandIn):
    """There is no memory for a recording."""

    def record(self, compute: Half) -> tuple[dict[str, Tensor], Callable[[], None]]:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")


def open_run(folder: Path, recorder: StandIn | None = None) -> StandardTraining:
    experiment = make_experiment(folder, SECONDS)
    torch.manual_seed(0)
    clips = complete_clips(experiment, DIM)
    run = open_training(
        experiment, experiment.read_config(), clips, tiny_options(experiment), torch.device("cpu")
    )
    plain = run.trainer
    if recorder is not None:
        for network in (run.state.synthesizer, run.state.discriminators):
            recorder.parameters += network.parameters()
    run.trainer = StandardTrainer(
        plain.state, plain.settings, plain.spectrogram, plain.steps_per_epoch, plain.device,
        plain.dtype, batch_size=2, recorder=recorder,
    )  # fmt: skip
    return run


def padded(batch: Utterances) -> Utterances:
    return batch.padded(-(-batch.frames // BUCKET_FRAMES) * BUCKET_FRAMES)


def train(run: StandardTraining, is_padded: bool = False) -> list[dict[str, float]]:
    """Take some steps; returns the losses of each."""
    told = []
    for step in range(STEPS):
        batch = run.batch(step)
        told.append(run.train_step(padded(batch) if is_padded else batch))
    return [{name: float(value) for name, value in losses.items()} for losses in told]


def assert_same_weights(one: StandardTraining, other: StandardTraining) -> None:
    for name in ("synthesizer", "discriminators"):
        found, wanted = (getattr(run.state, name).state_dict() for run in (one, other))
        assert all(torch.equal(value, wanted[key]) for key, value in found.items())


def test_recorded_steps_do_what_others_do_on_batches_of_those_lengths(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain, run = open_run(tmp_path / "a"), open_run(tmp_path / "b", recorder := StandIn())
    with caplog.at_level(logging.INFO):
        assert train(run) == train(plain, is_padded=True)
    assert_same_weights(run, plain)
    assert recorder.records == 2 * 2  # two halves, two lengths
    assert recorder.starts == 2 * (STEPS + 2)  # each is compared before it is used
    assert caplog.text.count("are CUDA graphs now") == 2
    stay = [p.grad.data_ptr() for p in run.state.synthesizer.parameters()]
    run.train_step(run.batch(STEPS))
    assert [p.grad.data_ptr() for p in run.state.synthesizer.parameters()] == stay


def test_zeros_behind_the_end_change_no_gradient(tmp_path: Path) -> None:
    gradients = []
    for more in (0, 61):
        run = open_run(tmp_path / str(more))
        batch = run.batch(0)
        assert batch.lengths[0] > batch.lengths[1]
        for half in run.trainer.halves(batch.padded(batch.frames + more)).values():
            half()
        for network in (run.state.synthesizer, run.state.discriminators):
            gradients.append([p.grad for p in network.parameters()])
    for short, long in zip(gradients[:2], gradients[2:], strict=True):
        assert largest_difference(long, short) < 1e-4


@pytest.mark.parametrize(
    ("recorder", "reason"),
    [
        (Idle, r"something else .*discriminators \S+ nan, synthesizer \S+ nan"),
        (Wrong, r"something else .*discriminators 1\.0e-01 0\.0e\+00"),
        (Full, "out of memory"),
    ],
)
def test_where_recording_fails_training_goes_on_as_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, recorder: type[StandIn], reason: str
) -> None:
    plain, run = open_run(tmp_path / "a"), open_run(tmp_path / "b", recorder())
    assert train(run) == train(plain)
    assert_same_weights(run, plain)
    (line,) = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert re.search(f"goes on without CUDA graphs: .*{reason}", line)


def test_a_batch_that_does_not_fit_is_halved_without_graphs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = open_run(tmp_path, recorder := StandIn())
    synthesize = run.state.synthesizer.forward

    def limited(content: Tensor, *rest: object, **named: object) -> object:
        if len(content) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return synthesize(content, *rest, **named)

    run.state.synthesizer.forward = limited
    train(run)
    assert run.trainer.parts == 2 and recorder.records == 0
    assert caplog.text.count("without CUDA graphs") == 1


def test_a_gradient_that_is_not_finite_is_compared_with_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = open_run(tmp_path, recorder := StandIn())
    broken = run.batch(0)
    broken.content[0, 0, 0] = torch.nan
    run.train_step(broken)
    assert recorder.records == 0 and "left out" in caplog.text
    run.train_step(run.batch(1))
    assert recorder.records == 2 and "without CUDA graphs" not in caplog.text
