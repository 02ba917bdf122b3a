"""Several processes train one voice: sums during the backward pass, deaths, machines."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from options import printable
from tests.train.tiny_standard import DIM, make_experiment, tiny_options
from train import processes
from train.experiment import Experiment
from train.filelist import complete_clips
from train.options import TrainOptions, train_command
from train.processes import GradientSums, parts_of
from train.standard.trainer import StandardTrainer
from train.standard.training import open_training
from train.train import train
from train.worker import Stopped

SECONDS = (1.0, 1.2, 0.6, 0.9)  # three batches are an epoch

needs_kill = pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    return make_experiment(tmp_path / "small", SECONDS)


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[None]:
    """A group of this process alone."""
    dist.init_process_group("gloo", f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


class Branches(torch.nn.Module):
    """Three parts, of which the first one made is the last one to get its gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = torch.nn.Linear(3, 3), torch.nn.Linear(3, 1)
        self.table = torch.nn.ModuleList([torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)])
        self.unused = torch.nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.table[1](self.table[0](self.first(x)))).sum()


def test_sums_are_on_their_way_before_the_backward_pass_is_over(alone: None) -> None:
    network = Branches()
    assert len(parts_of(network)) == 5
    sums, early = GradientSums(network), []
    for is_whole in (True, True, False, True):
        network.zero_grad(set_to_none=True)
        sums.begin(is_whole)
        network(torch.ones(2, 3)).backward()
        wanted = [None if p.grad is None else p.grad.clone() for p in network.parameters()]
        early.append(sums.finish())
        for parameter, gradient in zip(network.parameters(), wanted, strict=True):
            found = torch.zeros_like(parameter) if gradient is None else gradient
            assert torch.equal(parameter.grad, found)
    assert early == [0, 4, 0, 4]  # the first pass shows the order; of parts nothing is sent


def test_the_gradients_of_a_part_are_sent_while_other_parts_are_computed(
    alone: None, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "count", lambda: 2)
    arguments = (complete_clips(experiment, DIM), tiny_options(experiment), torch.device("cpu"))
    run = open_training(experiment, experiment.read_config(), *arguments)
    missing: dict[int, list[int]] = {}

    def send(sums: GradientSums, number: int, whole: Any = GradientSums._send) -> None:
        parameters = [parameter for bucket in sums._buckets for parameter in bucket]
        missing.setdefault(id(sums), []).append(sum(p.grad is None for p in parameters))
        whole(sums, number)

    run.train_step(run.batch(0))  # shows the order
    monkeypatch.setattr(GradientSums, "_send", send)
    run.train_step(run.batch(1))
    assert [len(found) for found in missing.values()] == [9, 5]  # discriminators, synthesizer
    for found in missing.values():
        assert found == sorted(found, reverse=True) and found[0] > 100 and found[-1] == 0
    sums = run.trainer.sums["synthesizer"]
    first = sums._buckets[sums._order[0]]  # what made the sound is behind all else
    assert {id(p) for p in first} == {id(p) for p in run.state.synthesizer.dec.parameters()}


def test_what_a_pass_sent_before_it_failed_is_not_sent_again(alone: None) -> None:
    network = Branches()
    sums = GradientSums(network)
    for is_first in (True, False):
        network.zero_grad(set_to_none=True)
        sums.begin(is_whole=True)
        network(torch.ones(2, 3)).backward()
        if is_first:
            sums.finish()
    network.zero_grad(set_to_none=True)
    sums.begin(is_whole=False)  # the same once more, in two parts
    for row in torch.ones(2, 1, 3):
        network(row).backward()
    wanted = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    assert sums.finish() == 4
    for parameter, gradient in zip(network.parameters(), wanted, strict=False):
        assert torch.allclose(parameter.grad, gradient)


def contents(experiment: Experiment, step: int) -> list[dict[str, Any]]:
    paths = experiment.generator_state(step), experiment.discriminator_state(step)
    return [torch.load(path, weights_only=True) for path in paths]


def tensors(found: Any) -> Iterator[torch.Tensor]:
    """Every tensor of a state, in order."""
    if isinstance(found, torch.Tensor):
        yield found
    elif isinstance(found, dict):
        for value in found.values():
            yield from tensors(value)


def run_processes(root: Path, options: TrainOptions, number: int, deaths: str = "") -> None:
    """Start so many processes; some of them die, and the line for several machines is pasted."""
    argv = train_command(options, number)
    if deaths:
        line = printable(train_command(options, number, "1", "localhost:0"))
        argv = shlex.split(line.replace("train.train", "tests.train.dying_worker"))
    died = options.experiment.parent / "died"
    died.mkdir(exist_ok=True)
    environment = {**os.environ, "DEATHS": deaths, "DIED": str(died), "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(argv, cwd=root, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert len(list(died.iterdir())) == len(list(filter(None, deaths.split(","))))


def options_of(experiment: Experiment, steps: int) -> TrainOptions:
    """What any number of processes trains with; every step is saved, the last two are kept."""
    return tiny_options(experiment, steps=steps, save_minutes=0.0, total_batch=4)


def assert_same_bits(experiment: Experiment, whole: Experiment, steps: int) -> None:
    for found, wanted in zip(contents(experiment, steps), contents(whole, steps), strict=True):
        assert found["step"] == wanted["step"] == steps
        pairs = list(zip(tensors(found), tensors(wanted), strict=True))
        assert len(pairs) > 100 and all(torch.equal(*pair) for pair in pairs)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Experiment:
    """Two steps of two processes."""
    experiment = make_experiment(tmp_path_factory.mktemp("unbroken") / "small", SECONDS)
    run_processes(root, options_of(experiment, 2), 2)
    return experiment


def test_two_processes_have_the_gradients_of_one(
    experiment: Experiment, unbroken: Experiment
) -> None:
    """torchrun with Gloo: each takes half of every batch; one process takes all of it."""
    train(options_of(experiment, 1))
    # after one step the first moment is a fifth of the gradient
    one, two = (
        [moment["exp_avg"] for saved in contents(each, 1)
         for moment in saved["optimizer"]["state"].values()]
        for each in (experiment, unbroken)
    )  # fmt: skip
    assert len(one) > 300
    for alone, together in zip(one, two, strict=True):
        size = float(alone.abs().max())
        assert torch.allclose(alone, together, rtol=1e-3, atol=1e-6 + 1e-4 * size)
    assert any(float(gradient.abs().max()) > 1e-3 for gradient in one)


@needs_kill
def test_killed_in_the_middle_of_an_epoch_they_all_go_on_and_no_bit_differs(
    experiment: Experiment, unbroken: Experiment, root: Path
) -> None:
    run_processes(root, options_of(experiment, 2), 2, deaths="1:2")
    assert_same_bits(experiment, unbroken, 2)


@needs_kill
@pytest.mark.slow
def test_three_processes_are_killed_six_times(experiment: Experiment, root: Path) -> None:
    whole = Experiment(experiment.root.with_name("whole"))
    shutil.copytree(experiment.root, whole.root)
    run_processes(root, options_of(whole, 12), 3)
    run_processes(root, options_of(experiment, 12), 3, deaths="2:2,0:3,1:5,0:8,2:8,1:12")
    assert_same_bits(experiment, whole, 12)


def test_an_error_in_the_middle_of_a_step_is_never_saved(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process died, and then torchrun's SIGTERM comes while the error is on its way."""
    whole = StandardTrainer.generator_step

    def stops(trainer: StandardTrainer, *arguments: Any) -> None:
        if trainer.state.step == 2:
            raise Stopped(signal.SIGTERM)
        whole(trainer, *arguments)

    monkeypatch.setattr(StandardTrainer, "generator_step", stops)
    with pytest.raises(Stopped):
        train(tiny_options(experiment, steps=4))
    assert experiment.saved_steps() == []
