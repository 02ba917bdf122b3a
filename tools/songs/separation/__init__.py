"""What takes a song apart, by name; each class is imported when it is first asked for."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from errors import UserError
from infer.audio.denoise import REQUIREMENTS

if TYPE_CHECKING:
    import numpy as np

SEPARATORS = {
    "demucs": "tools.songs.separation.demucs:Demucs",
    "roformer": "tools.songs.separation.roformer:Roformer",
}
DEFAULT_SEPARATOR = "demucs"


class Separator(Protocol):
    """A network that takes a piece of a song apart.

    sample_rate: Hz it hears. stems: names of what it gives. segment: samples it takes at once;
    least_segment: fewer make no sense.
    """

    sample_rate: int
    stems: tuple[str, ...]
    segment: int
    least_segment: int

    def __call__(self, audio: np.ndarray) -> np.ndarray:
        """(2, n) with n <= segment -> (stems, 2, n). RuntimeError, MemoryError: no memory."""


def load_separator(name: str, weights: Path | None, device: str) -> Separator:
    """The separator of that name on a torch device.

    weights: its file, None for the one that was fetched. UserError: a package is missing, or the
    weights are; CheckpointError: they are damaged.
    """
    module, kind = SEPARATORS[name].split(":")
    try:
        return getattr(import_module(module), kind)(weights, device)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in ("infer", "tools", "train"):
            raise
        raise UserError(
            "songs_package", what=name, package=error.name, requirements=REQUIREMENTS
        ) from error
