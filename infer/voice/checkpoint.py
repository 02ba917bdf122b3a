"""The file formats: voice model (weights/*.pth) and training state (G_*.pth, D_*.pth)."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from config import replacing
from infer.content import DEFAULT_EMBEDDER
from infer.models.ops import NORM_KEYS, NORM_KEYS_PARAMETRIZED
from infer.voice.hparams import (
    VERSION_BY_CONTENT_DIM,
    StandardParams,
    from_legacy_list,
    from_lite_table,
    to_legacy_list,
)

OWN_KEYS = {"weight", "config", "info", "sr", "f0", "version", "f0_median"}
SUPPORTED_VOCODER = "HiFi-GAN"  # of a public voice that names none, too

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
    extra: what other programs noted in the file; it is written back.
    """

    weights: dict[str, Tensor]
    params: dict[str, Any]
    sample_rate: int
    version: str
    use_f0: bool = True
    info: str = ""
    f0_median: dict[int, float] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)


def save_voice_model(path: Path, model: VoiceModel) -> None:
    """Write a voice file: complete, or not at all. v1 and v2 as RVC writes and reads them."""
    config, noted = _written_params(model)
    content = OrderedDict(
        weight={
            name: value.detach().cpu().half().clone(memory_format=torch.contiguous_format)
            for name, value in model.weights.items()
        },
        config=config,
        info=model.info,
        sr=f"{model.sample_rate // 1000}k",
        f0=int(model.use_f0),
        version=model.version,
    )
    if model.f0_median:
        content["f0_median"] = dict(model.f0_median)
    save_tensors(path, OrderedDict({**content, **model.extra, **noted}))


def load_voice_model(path: Path) -> VoiceModel:
    """Read a voice file; weights come back as float32. CheckpointError says what is wrong."""
    content = read_tensors(path)
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} is not a voice model: it holds no table")
    if "weight" not in content or "config" not in content:
        if "model" in content:
            raise CheckpointError(
                f"{path} is a training state, not a voice model; use the voice that training "
                "wrote to weights/, or extract one from it"
            )
        raise CheckpointError(f"{path} is not a voice model: it lacks 'weight' or 'config'")
    weights = content["weight"]
    if not isinstance(weights, Mapping) or not all(
        isinstance(name, str) and torch.is_tensor(value) for name, value in weights.items()
    ):
        raise CheckpointError(f"{path} is damaged: its 'weight' is no table of tensors")
    broken = [name for name, value in weights.items() if not value.isfinite().all()]
    if broken:
        raise CheckpointError(
            f"{path} is a failed training: {broken[0]} holds values that are not numbers"
        )
    weights = classic_names({name: value.float() for name, value in weights.items()})
    try:
        version, params = _read_params(content, weights)
        f0_median = dict(content.get("f0_median", {}))
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be used: {error}") from error
    return VoiceModel(
        weights={name: value for name, value in weights.items() if not name.startswith("enc_q.")},
        params=params,
        sample_rate=params["sample_rate"],
        version=version,
        use_f0=params.get("use_f0", True),
        info=str(content.get("info", "")),
        f0_median=f0_median,
        extra={name: value for name, value in content.items() if name not in OWN_KEYS},
    )


def classic_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights by the names of public voices: torch's newer weight norm has names of its own."""
    renamed = {}
    for name, value in weights.items():
        for classic, newer in zip(NORM_KEYS, NORM_KEYS_PARAMETRIZED, strict=True):
            name = name.removesuffix(newer) + classic if name.endswith(newer) else name
        renamed[name] = value
    return renamed


def _read_params(
    content: Mapping[str, Any], weights: Mapping[str, Tensor]
) -> tuple[str, dict[str, Any]]:
    """Version and params of a voice. Public files may lack the labels, so the weights decide."""
    values = content["config"]
    if isinstance(values, Mapping):
        if not isinstance(values.get("sample_rate"), int):
            raise ValueError("its 'config' holds no sample_rate")
        version = str(content.get("version", "lite"))
        return version, from_lite_table(values) if version == "lite" else dict(values)
    vocoder = content.get("vocoder") or SUPPORTED_VOCODER
    if vocoder != SUPPORTED_VOCODER:
        raise ValueError(
            f"it was made with the vocoder {vocoder!r}; only {SUPPORTED_VOCODER} is supported"
        )
    phone, speakers = weights.get("enc_p.emb_phone.weight"), weights.get("emb_g.weight")
    if phone is None or phone.dim() != 2 or speakers is None or speakers.dim() != 2:
        raise ValueError("it lacks enc_p.emb_phone.weight or emb_g.weight")
    dim = phone.shape[1]
    if dim not in VERSION_BY_CONTENT_DIM:
        known = " or ".join(f"{size} ({name})" for size, name in VERSION_BY_CONTENT_DIM.items())
        raise ValueError(f"it hears {dim} content values; supported are {known}")
    embedder = content.get("embedder_model") or DEFAULT_EMBEDDER
    params = from_legacy_list(
        values,
        content_encoder=f"{embedder}-{dim}",
        content_dim=dim,
        use_f0="enc_p.emb_pitch.weight" in weights,
        num_speakers=len(speakers),
    )
    return VERSION_BY_CONTENT_DIM[dim], params


def _written_params(model: VoiceModel) -> tuple[Any, dict[str, Any]]:
    """Params as they stand in a file, and what has to be noted beside them."""
    if model.version not in VERSION_BY_CONTENT_DIM.values():
        return model.params, {}
    params = StandardParams(**model.params)
    embedder = params.content_encoder.removesuffix(f"-{params.content_dim}")
    return to_legacy_list(params), (
        {} if embedder == DEFAULT_EMBEDDER else {"embedder_model": embedder}
    )


def save_training_state(path: Path, state: dict[str, Any]) -> None:
    """Write a training state: complete, or not at all."""
    save_tensors(path, state)


def load_training_state(path: Path, peek: bool = False) -> dict[str, Any]:
    """Read G_*.pth or D_*.pth and check all of it; peek: only what is not a tensor counts."""
    if not peek:
        _check_sums(path)
    state = read_tensors(path, mmap=peek)
    if not isinstance(state, Mapping) or "model" not in state:
        raise CheckpointError(f"{path} is not a training state: it lacks 'model'")
    return dict(state)


def save_tensors(path: Path, content: Any) -> None:
    """Write tensors and plain values: complete, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, temporary.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    if os.name == "posix":  # the new name must survive a power loss too
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def load_weights(module: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Load every tensor of a module; CheckpointError names what is missing or misshapen.

    A module without storage (made on torch's meta device) takes the tensors themselves.
    """
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
    on_meta = any(value.is_meta for value in wanted.values())
    module.load_state_dict(dict(weights), assign=on_meta)


def _check_sums(path: Path) -> None:
    """CheckpointError where the check sums of a zip file tell of damage; torch ignores them."""
    if path.is_file() and zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()
        except UNREADABLE as error:
            raise CheckpointError(f"{path} is damaged: {error}") from error
        if damaged is not None:
            raise CheckpointError(f"{path} is damaged: the check sum of {damaged} is wrong")


def read_tensors(path: Path, shells: tuple[str, ...] = (), mmap: bool = False) -> Any:
    """Tensors and plain values of a torch file; nothing in the file is ever executed.

    shells: beginnings of full class names, e.g. "fairseq."; objects of such classes come back as
    empty shells that hold what was stored of them. Every other class is refused.
    mmap: leave the tensors on the disk until they are used, where the file's format allows it.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    foreign = _foreign_names(path)
    try:
        mmap = mmap and zipfile.is_zipfile(path)
        allowed = [_shell(name) for name in foreign if name.startswith(shells)]
        with torch.serialization.safe_globals(allowed):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
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
