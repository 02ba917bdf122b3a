"""Training state -> base model: what new voices of a family start from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from infer.checkpoint import load_training_state, save_training_state
from infer.options import Options, option, parse_options
from train.experiment import Experiment
from train.options import EXPERIMENT_HELP
from train.state import base_files
from train.worker import WorkerError, run_worker


@dataclass(frozen=True, kw_only=True)
class ExportBaseOptions(Options):
    """Write base_G.pth and base_D.pth from an experiment's newest training state."""

    MODULE = "train.export_base"

    experiment: Path = option(EXPERIMENT_HELP)
    folder: Path = option("folder to write to, e.g. assets/lite")


def export_base(options: ExportBaseOptions) -> None:
    """Write the averaged synthesizer with one blended speaker, and the discriminators, as float16.

    The base keeps no speaker of its training data: their vectors are replaced by their mean.
    """
    experiment = Experiment(options.experiment)
    steps = experiment.saved_steps()
    if not steps:
        raise WorkerError(f"{experiment.root} holds no training state; run train.train first")
    synthesizer = dict(load_training_state(experiment.generator_state(steps[-1]))["average"])
    synthesizer["emb_g.weight"] = synthesizer["emb_g.weight"].mean(0, keepdim=True)
    discriminators = load_training_state(experiment.discriminator_state(steps[-1]))["model"]
    for path, weights in zip(
        base_files(options.folder), (synthesizer, discriminators), strict=True
    ):
        save_training_state(path, _state(weights, steps[-1]))


def _state(weights: dict[str, Tensor], step: int) -> dict[str, Any]:
    half = {name: value.to(torch.float16) for name, value in weights.items()}
    return {"model": half, "iteration": step, "step": step}


if __name__ == "__main__":
    run_worker(export_base, parse_options(ExportBaseOptions))
