"""Content encoders by name: 16 kHz audio -> what is said, 50 frames/s."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import config
from errors import NoFile, UserError

if TYPE_CHECKING:
    import numpy as np
    import torch

    from infer.content.statistics import NoStatistics, RunningStatistics

FRAME = 320  # samples of one content frame: 50 frames per second

# shipped: name -> (class, file in assets/, arguments of the class)
CONTENT_ENCODERS = {
    "whisper-base-4": (
        "infer.content.whisper:WhisperContent",
        "lite/whisper-base-4.safetensors",
        (8,),
    ),
}
HUBERT = "infer.content.hubert:HubertContent"
# Fetched: any HuBERT base model under the name <embedder>-<values per frame>, with -layer<number>
# behind it where a voice hears another layer than RVC's do. The embedder is a folder in
# assets/downloads/; ContentVec also stands where RVC puts it.
DEFAULT_EMBEDDER = "contentvec"
EMBEDDER_NAME = re.compile(
    r"(?P<embedder>[a-z0-9][\w-]*?)-(?P<dim>\d{1,4})(-layer(?P<layer>[1-9]\d?))?",
    re.ASCII | re.IGNORECASE,
)
PROJECTED_DIM, PROJECTED_LAYER = 256, 9  # of RVC v1; RVC v2 hears the last layer as it is
CONTENTVEC_FILES = ("hubert/hubert_base.pt", "hubert_base/pytorch_model.bin")
EMBEDDER_FILES = ("model.safetensors", "pytorch_model.bin")


class ContentEncoder(Protocol):
    """What a content encoder offers."""

    dim: int
    perturbations: int  # versions of each clip that training is best given, all but one altered

    def __call__(self, audio: np.ndarray, offset: int = 0) -> np.ndarray:
        """audio: (N,) float32 at 16 kHz -> (N // FRAME, dim) float32, not normalised.

        offset: content frames by which training moves the clip, for encoders that have positions.
        """

    def stream(self, block: int, look_ahead: int, context: int) -> ContentStream:
        """Content of sound that is still coming; the lengths are frames."""

    def new_statistics(self) -> RunningStatistics | NoStatistics:
        """Fresh statistics of a speaker, by which this encoder's values are normalised."""


class ContentStream(Protocol):
    """Content block by block."""

    def push(self, audio: np.ndarray) -> np.ndarray:
        """audio: context, the next block and its look-ahead, (N,) float32 at 16 kHz.

        Returns the content (block + look-ahead, dim), not normalised.
        """


def load_encoder(name: str, device: torch.device) -> ContentEncoder:
    """Load the content encoder of that name.

    UserError for an unknown name, NoFile, CheckpointError for a wrong file.
    """
    if name in CONTENT_ENCODERS:
        target, file, arguments = CONTENT_ENCODERS[name]
        path = config.ASSETS / file
        if not path.is_file():
            raise NoFile("encoder_missing", name=name, path=path)
        module, attribute = target.split(":")
        return getattr(import_module(module), attribute)(path, *arguments, device)
    match = EMBEDDER_NAME.fullmatch(name)
    if match is None:
        raise UserError("unknown_encoder", name=name, known=list(CONTENT_ENCODERS))
    module, attribute = HUBERT.split(":")
    encoder = getattr(import_module(module), attribute)
    layer = int(match["layer"]) if match["layer"] else None
    return encoder(embedder_file(match["embedder"]), int(match["dim"]), device, layer)


def content_of_clips(
    encoder: ContentEncoder, audios: Sequence[np.ndarray], offsets: Sequence[int]
) -> list[np.ndarray]:
    """The content of several recordings, at once where the encoder has a way."""
    many = getattr(encoder, "many", None)
    if many and len(audios) > 1:
        return many(audios)
    return [encoder(audio, offset) for audio, offset in zip(audios, offsets, strict=True)]


def default_layer(dim: int) -> int:
    """The layer that RVC's voices hear, by the values per frame; HuBERT base has 12."""
    return PROJECTED_LAYER if dim == PROJECTED_DIM else 12


def installed_embedders() -> list[str]:
    """The HuBERT models that are here, ContentVec first."""
    found = (
        [DEFAULT_EMBEDDER]
        if any((config.DOWNLOADS / f).is_file() for f in CONTENTVEC_FILES)
        else []
    )
    places = {Path(file).parent.name for file in CONTENTVEC_FILES}
    for path in sorted(config.DOWNLOADS.glob("*/*")):
        name = path.parent.name
        if path.name in EMBEDDER_FILES and name not in (*found, *places):
            found.append(name)
    return found


def embedder_file(embedder: str) -> Path:
    """Return the weights of a HuBERT model; NoFile names where they belong."""
    folder = config.DOWNLOADS / embedder
    files = [folder / name for name in EMBEDDER_FILES]
    if embedder == DEFAULT_EMBEDDER:
        files = [config.DOWNLOADS / name for name in CONTENTVEC_FILES] + files
    for path in files:
        if path.is_file():
            return path
    if embedder == DEFAULT_EMBEDDER:
        raise NoFile("encoder_run", name=embedder, command=config.DOWNLOAD_COMMAND, path=files[0])
    wanted = "config.json, pytorch_model.bin"
    raise NoFile("encoder_put", name=embedder, files=wanted, folder=folder)
