"""The file formats: voice model (weights/*.pth) and training state (G_*.pth, D_*.pth)."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

# what torch's restricted reader raises on bytes that are no torch file
UNREADABLE = (
    RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError, AssertionError,
    OverflowError, struct.error, zipfile.BadZipFile,
)  # fmt: skip


class CheckpointError(ValueError):
    """A file is not what it should be; the message names the file and what is wrong with it."""


@dataclass(frozen=True)
class VoiceModel:
    """What is in a voice file. weights are float16 on disk; params are plain values.

    f0_median: Hz of the training voice by speaker number, for a suggestion of semitones.
    """

    weights: dict[str, Tensor]
    params: dict[str, Any]
    sample_rate: int
    version: str
    use_f0: bool = True
    info: str = ""
    f0_median: dict[int, float] = field(default_factory=dict)


def save_voice_model(path: Path, model: VoiceModel) -> None:
    """Write a voice file: complete, or not at all."""
    content = {
        "weight": {name: value.detach().cpu().half() for name, value in model.weights.items()},
        "config": model.params,
        "info": model.info,
        "sr": f"{model.sample_rate // 1000}k",
        "f0": int(model.use_f0),
        "version": model.version,
        "f0_median": dict(model.f0_median),
    }
    _save(path, content)


def load_voice_model(path: Path) -> VoiceModel:
    """Read a voice file; weights come back as float32. CheckpointError says what is wrong."""
    content = read_tensors(path)
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} is not a voice model: it holds no table")
    if "weight" not in content or "config" not in content:
        if "model" in content and "optimizer" in content:
            raise CheckpointError(
                f"{path} is a training state, not a voice model; use the voice that training "
                "wrote to weights/"
            )
        raise CheckpointError(f"{path} is not a voice model: it lacks 'weight' or 'config'")
    version = content.get("version", "v1")
    if version != "lite":
        raise CheckpointError(f"{path} is a {version!r} voice; this version converts 'lite' voices")
    params = content["config"]
    if not isinstance(params, Mapping) or not isinstance(params.get("sample_rate"), int):
        raise CheckpointError(f"{path} is damaged: its 'config' holds no sample_rate")
    return VoiceModel(
        weights={name: value.float() for name, value in content["weight"].items()},
        params=dict(params),
        sample_rate=params["sample_rate"],
        version=version,
        use_f0=bool(content.get("f0", 1)),
        info=str(content.get("info", "")),
        f0_median=dict(content.get("f0_median", {})),
    )


def save_training_state(path: Path, state: dict[str, Any]) -> None:
    """Write a training state: complete, or not at all."""
    _save(path, state)


def load_training_state(path: Path) -> dict[str, Any]:
    """Read G_*.pth or D_*.pth."""
    state = read_tensors(path)
    if not isinstance(state, Mapping) or "model" not in state:
        raise CheckpointError(f"{path} is not a training state: it lacks 'model'")
    return dict(state)


def load_weights(module: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Load every tensor of a module; CheckpointError names what is missing or misshapen."""
    wanted = module.state_dict()
    problems = [f"{name} is missing" for name in wanted if name not in weights]
    problems += [f"{name} is unknown" for name in weights if name not in wanted]
    problems += [
        f"{name} is {tuple(weights[name].shape)}, expected {tuple(value.shape)}"
        for name, value in wanted.items()
        if name in weights and weights[name].shape != value.shape
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise CheckpointError(f"{path} does not fit: {'; '.join(problems[:3])}{more}")
    module.load_state_dict(dict(weights))


def read_tensors(path: Path, shells: tuple[str, ...] = ()) -> Any:
    """Tensors and plain values of a torch file; nothing in the file is ever executed.

    shells: beginnings of full class names, e.g. "fairseq."; objects of such classes come back as
    empty shells that hold what was stored of them. Every other class is refused.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    foreign = _foreign_names(path)
    try:
        allowed = [_shell(name) for name in foreign if name.startswith(shells)]
        with torch.serialization.safe_globals(allowed):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        refused = [name for name in foreign if not name.startswith(shells)]
        reason = f"it asks for {refused[0]}" if refused else "it is no torch file"
        raise CheckpointError(f"{path} cannot be read safely: {reason}") from error
    except UNREADABLE as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path} is not a torch file, or is damaged: {first}") from error


def _foreign_names(path: Path) -> list[str]:
    """Full names of what the file would import beside tensors; [] if that cannot be told."""
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except (*UNREADABLE, pickle.UnpicklingError):
        return []


def _shell(name: str) -> type:
    """An empty class that stands for a foreign one and keeps what was stored of its objects."""
    module, _, short = name.rpartition(".")
    body = {"__module__": module, "__init__": lambda self, *values: None}
    return type(short, (), body)


def _save(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    try:
        with temporary.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
