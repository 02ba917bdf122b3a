"""A base model keeps the average and no speaker."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from infer.voice.checkpoint import load_training_state, save_training_state
from tools.research.export_base import ExportBaseOptions, export_base
from train.experiment import Experiment
from train.state import base_files
from train.worker import WorkerError


def test_the_newest_average_is_exported_with_one_blended_speaker(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path / "mi")
    experiment.root.mkdir()
    for step in (5, 20):
        average = {"emb_g.weight": torch.tensor([[1.0, 3.0], [3.0, step]]), "x": torch.ones(2)}
        generator = {"model": {"x": torch.zeros(2)}, "average": average}
        save_training_state(experiment.generator_state(step), generator)
        discriminator = {"model": {"d": torch.full((2,), float(step))}}
        save_training_state(experiment.discriminator_state(step), discriminator)
    export_base(ExportBaseOptions(experiment=experiment.root, folder=tmp_path / "base"))
    generator, discriminator = map(load_training_state, base_files(tmp_path / "base"))
    assert generator["model"]["emb_g.weight"].tolist() == [[2.0, 11.5]]
    assert generator["model"]["x"].tolist() == [1.0, 1.0]
    assert discriminator["model"]["d"].tolist() == [20.0, 20.0]
    values = [*generator["model"].values(), *discriminator["model"].values()]
    assert {value.dtype for value in values} == {torch.float16}
    assert generator["step"] == 20


def test_without_a_training_state_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="holds no pair of G_"):
        export_base(ExportBaseOptions(experiment=tmp_path / "mi", folder=tmp_path / "base"))
    assert not (tmp_path / "base").exists()
