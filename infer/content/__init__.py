"""Content encoders by name: 16 kHz audio -> what is said, 50 frames/s."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol

import config

if TYPE_CHECKING:
    import numpy as np
    import torch

    from infer.content.statistics import RunningStatistics

CONTENT_RATE = 50  # frames per second

# name -> (class, file in assets/, arguments of the class)
CONTENT_ENCODERS = {
    "whisper-base-4": (
        "infer.content.whisper:WhisperContent",
        "lite/whisper-base-4.safetensors",
        (8,),
    ),
}


class ContentEncoder(Protocol):
    """What a content encoder offers."""

    dim: int

    def __call__(self, audio: np.ndarray, offset: int = 0) -> np.ndarray:
        """audio: (N,) float32 at 16 kHz -> (N // 320, dim) float32, not normalised.

        offset: content frames by which training moves the clip, for encoders that feel positions.
        """

    def new_statistics(self) -> RunningStatistics:
        """Fresh statistics of a speaker, by which this encoder's values are normalised."""


def load_encoder(name: str, device: torch.device) -> ContentEncoder:
    """The content encoder of that name; says which file is missing where it is not installed."""
    if name not in CONTENT_ENCODERS:
        known = ", ".join(CONTENT_ENCODERS)
        raise ValueError(f"unknown content encoder {name!r}; this version knows {known}")
    target, file, arguments = CONTENT_ENCODERS[name]
    path = config.ASSETS / file
    if not path.is_file():
        raise FileNotFoundError(f"the content encoder {name!r} is missing: put its file at {path}")
    module, attribute = target.split(":")
    return getattr(import_module(module), attribute)(path, *arguments, device)
