"""Losses on disk: what is read back after stops and kills."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from train.experiment import Experiment
from train.metrics import SAMPLES_KEPT, append_metrics, read_metrics, sampled_steps, write_sample


def test_what_was_noted_is_read_back_without_what_is_not_finite(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path)
    assert read_metrics(experiment) == []
    append_metrics(experiment, step=5, held_out=float("nan"), seconds=1.234567)
    append_metrics(experiment, step=5, **{"loss/mel": 0.5}, seconds=1.234567)
    assert read_metrics(experiment) == [
        {"step": 5, "seconds": 1.23457},
        {"step": 5, "loss/mel": 0.5, "seconds": 1.23457},
    ]


def test_a_run_from_an_earlier_state_replaces_what_followed_it(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path)
    for step in (10, 20, 30, 15, 25):
        append_metrics(experiment, step=step)
    assert [entry["step"] for entry in read_metrics(experiment)] == [10, 15, 25]


def test_a_run_that_repeats_a_step_after_a_kill_replaces_it(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path)
    append_metrics(experiment, step=10, seconds=8, loss=2)
    append_metrics(experiment, step=20, seconds=19, loss=1)
    append_metrics(experiment, step=20, seconds=17, loss=1)
    append_metrics(experiment, step=20, seconds=17, held_out=3)
    assert [entry["seconds"] for entry in read_metrics(experiment)] == [8, 17, 17]


@pytest.mark.parametrize("damage", ['{"step": 2', "[]", "null", '{"loss": 1}', ""])
def test_a_damaged_line_is_left_out(tmp_path: Path, damage: str) -> None:
    experiment = Experiment(tmp_path)
    append_metrics(experiment, step=1)
    with experiment.metrics_file.open("a") as file:
        file.write(damage + "\n")
    append_metrics(experiment, step=3)
    assert [entry["step"] for entry in read_metrics(experiment)] == [1, 3]


def test_only_the_newest_samples_stay(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path)
    for step in range(SAMPLES_KEPT + 2):
        write_sample(experiment, step, np.zeros(10, np.float32), 24000)
    write_sample(experiment, None, np.zeros(10, np.float32), 24000)
    assert sampled_steps(experiment) == list(range(2, SAMPLES_KEPT + 2))
    assert experiment.sample_file("original").is_file()
