"""What takes a song apart, by name; each class is imported when it is first asked for."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import config
from errors import NoFile, UserError
from infer.audio.denoise import REQUIREMENTS
from tools.machine.assets import DEMUCS

if TYPE_CHECKING:
    import numpy as np

SEPARATORS = {
    "demucs": "tools.songs.separation.demucs:Demucs",
    "roformer": "tools.songs.separation.roformer:Roformer",
}
DEFAULT_SEPARATOR, PACKAGE = "demucs", "demucs_infer"


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
        raise no_package(name, error.name or "") from error


def missing_separator() -> list[UserError]:
    """What the default separator lacks here, each with the command that fetches it."""
    missing = []
    if find_spec(PACKAGE) is None:
        missing.append(no_package(DEFAULT_SEPARATOR, PACKAGE))
    if not DEMUCS.path.is_file():
        missing.append(no_weights(DEMUCS.path))
    return missing


def no_package(separator: str, package: str) -> UserError:
    """A separator lacks a package."""
    return UserError("songs_package", what=separator, package=package, requirements=REQUIREMENTS)


def no_weights(path: Path) -> NoFile:
    """The default separator lacks its weights."""
    command = f"{config.DOWNLOAD_COMMAND} --what songs"
    return NoFile("separation_weights", path=path, command=command)
