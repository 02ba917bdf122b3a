"""Training state -> base model: what new voices of a family start from."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import config
from infer.voice.checkpoint import load_training_state, load_voice_model, save_training_state
from options import Options, option, parse_options
from train.experiment import Experiment
from train.options import EXPERIMENT_HELP
from train.state import base_files
from train.worker import WorkerError, run_worker

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ExportBaseOptions(Options):
    """Write base_G.pth and base_D.pth from what training kept."""

    MODULE = "tools.research.export_base"

    experiment: Path = option(EXPERIMENT_HELP)
    folder: Path = option("folder to write to, e.g. assets/lite")
    best: bool = option("take the best save, not the newest", True)
    voice: Path | None = option(
        "voice file that this training wrote: it holds the best save when its state is gone; "
        "without it weights/<experiment>.pth",
        None,
    )


def export_base(options: ExportBaseOptions) -> int:
    """Write the averaged synthesizer with one blended speaker, and the discriminators, as float16.

    The base keeps no speaker of its training data: their vectors are replaced by their mean. The
    discriminators are those of the same save, or the newest where its state is gone. Returns the
    step of the synthesizer; WorkerError where nothing holds the best save any more.
    """
    experiment = Experiment(options.experiment)
    steps = experiment.saved_steps()
    if not steps:
        raise WorkerError("no_states", folder=experiment.root)
    newest = load_training_state(experiment.generator_state(steps[-1]))
    step = newest.get("best_step", 0) if options.best else 0
    step = step or steps[-1]  # 0: nothing was held out
    judged = step if step in steps else steps[-1]
    if step == judged:
        state = load_training_state(experiment.generator_state(step))
        synthesizer = dict(state["average"])
    else:
        synthesizer = _from_voice(options.voice or config.WEIGHTS / f"{experiment.name}.pth", step)
    synthesizer["emb_g.weight"] = synthesizer["emb_g.weight"].mean(0, keepdim=True)
    discriminators = load_training_state(experiment.discriminator_state(judged))["model"]
    for path, weights, number in zip(
        base_files(options.folder), (synthesizer, discriminators), (step, judged), strict=True
    ):
        save_training_state(path, _state(weights, number))
    logger.info("%s: synthesizer of step %d, discriminators of %d", options.folder, step, judged)
    return step


def _from_voice(path: Path, step: int) -> dict[str, Tensor]:
    """The weights of the voice that training wrote at its best save."""
    wanted = f"the best save was at step {step}, whose state is gone"
    if not path.is_file():
        raise ValueError(
            f"{wanted}; name the voice of this training with --voice (there is no {path}), or take "
            "the newest state with --no-best"
        )
    model = load_voice_model(path)
    if not model.info.startswith(f"{step} steps,"):
        raise ValueError(
            f"{wanted}; {path} is another voice ({model.info or 'it does not say which'}): name "
            "the one of this training with --voice, or take the newest state with --no-best"
        )
    return dict(model.weights)


def _state(weights: dict[str, Tensor], step: int) -> dict[str, Any]:
    half = {name: value.to(torch.float16) for name, value in weights.items()}
    return {"model": half, "iteration": step, "step": step}


if __name__ == "__main__":
    run_worker(export_base, parse_options(ExportBaseOptions))
