"""How each voice family is trained: the registry, and what the training worker asks of a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import torch

    from infer.voice.checkpoint import VoiceModel
    from train.experiment import Experiment
    from train.filelist import Clip
    from train.options import TrainOptions
    from train.state import TrainState


class Training(Protocol):
    """A training run of one family, open at its newest state."""

    state: TrainState
    steps_per_epoch: int

    def batch(self, step: int) -> Any:
        """Return the batch of a step; another thread reads it ahead."""

    def train_step(self, batch: Any) -> dict[str, torch.Tensor | float]:
        """Update both networks; returns losses by name, among them loss/mel.

        Who reads a loss waits for the device.
        """

    def held_out_loss(self) -> float:
        """How far the voice is from clips that training does not see; nan where there are none."""

    def words_kept(self) -> float:
        """How well it says other people's words, 0..1; nan where the recipe rehearses none."""

    def sample(self) -> tuple[np.ndarray, np.ndarray, int]:
        """How one clip sounds and how it was recorded, (N,) float32 each, and their rate in Hz."""

    def voice(self, loss: float) -> VoiceModel:
        """Return the voice as it is now, with its held-out loss."""


@dataclass(frozen=True)
class Recipe:
    """opens: "module:function" that makes a Training from the worker's arguments.

    mute_rows: silent clips in the file list. averages_gradients: whether several processes can
    share the work.
    """

    opens: str
    mute_rows: int = 0
    averages_gradients: bool = False

    def open(
        self,
        experiment: Experiment,
        groups: dict[str, Any],
        clips: list[Clip],
        options: TrainOptions,
        device: torch.device,
    ) -> Training:
        """Open the run of an experiment; groups: its config.json."""
        module, function = self.opens.split(":")
        return getattr(import_module(module), function)(experiment, groups, clips, options, device)


STANDARD = Recipe("train.standard.training:open_training", mute_rows=2, averages_gradients=True)
RECIPES = {
    "lite": Recipe("train.lite.training:open_training"),
    "v1": STANDARD,
    "v2": STANDARD,
}


def recipe(version: str) -> Recipe:
    """Return the recipe of a voice family; UserError lists the known ones."""
    if version not in RECIPES:
        raise UserError("unknown_version", name=version, known=list(RECIPES))
    return RECIPES[version]
