"""The file formats: voice model (.pth, .safetensors) and training state (G_*.pth, D_*.pth)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from errors import CheckpointError, UserError
from infer.voice.contents import read_info, read_medians, read_params, read_ranges
from infer.voice.hparams import (
    HIFIGAN,
    OWN_KEYS,
    VERSION_BY_CONTENT_DIM,
    StandardParams,
    to_legacy_list,
)
from infer.voice.public import classic_names, note_encoder
from infer.voice.safe_file import SAFE_SUFFIX, is_safe_file, read_safe_voice, write_safe_voice
from infer.voice.tensors import check_sums, read_tensors, save_tensors, unpack


@dataclass(frozen=True)
class VoiceModel:
    """What is in a voice file. weights are float16 on disk; params are plain values.

    f0_median, f0_range: Hz of the training voice by speaker number, nine tenths of it between the
    two of a range; older files have no range.
    extra: what other programs noted in the file; it is written back.
    """

    weights: dict[str, Tensor]
    params: dict[str, Any]
    sample_rate: int
    version: str
    use_f0: bool = True
    info: str = ""
    f0_median: dict[int, float] = field(default_factory=dict)
    f0_range: dict[int, tuple[float, float]] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)


def save_voice_model(path: Path, model: VoiceModel) -> None:
    """Write a voice file: complete, or not at all. v1 and v2 as RVC writes and reads them.

    A path that ends in .safetensors gets that format, others are torch files.
    """
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
    if model.f0_range:
        content["f0_range"] = {speaker: list(pair) for speaker, pair in model.f0_range.items()}
    write = write_safe_voice if path.suffix.lower() == SAFE_SUFFIX else save_tensors
    write(path, OrderedDict({**content, **model.extra, **noted}))


def load_voice_model(path: Path) -> VoiceModel:
    """Read a voice file; weights come back as float32. CheckpointError."""
    is_safe = path.is_file() and is_safe_file(path)
    content = read_safe_voice(path) if is_safe else read_tensors(path)
    if not isinstance(content, Mapping):
        raise CheckpointError("not_a_voice", file=path, reason=UserError("no_table"))
    if "weight" not in content or "config" not in content:
        if "model" in content:
            raise CheckpointError("state", file=path)
        raise CheckpointError("not_a_voice", file=path, reason=UserError("lacks_tables"))
    weights = content["weight"]
    if not isinstance(weights, Mapping) or not all(
        isinstance(name, str) and torch.is_tensor(value) for name, value in weights.items()
    ):
        raise CheckpointError("damaged", file=path, reason=UserError("weight_tensors"))
    broken = [name for name, value in weights.items() if not value.isfinite().all()]
    if broken:
        raise CheckpointError("failed_training", file=path, name=broken[0])
    weights = classic_names(unpack(weights))
    shapes = {name: tuple(value.shape) for name, value in weights.items()}
    try:
        version, params = read_params(content, shapes)
    except UserError as error:
        raise CheckpointError("unusable", file=path, reason=error) from error
    return VoiceModel(
        weights={name: value for name, value in weights.items() if not name.startswith("enc_q.")},
        params=params,
        sample_rate=params["sample_rate"],
        version=version,
        use_f0=params.get("use_f0", True),
        info=read_info(content),
        f0_median=read_medians(content),
        f0_range=read_ranges(content),
        extra={name: value for name, value in content.items() if name not in OWN_KEYS},
    )


def _written_params(model: VoiceModel) -> tuple[Any, dict[str, Any]]:
    """Params as they stand in a file, and what has to be noted beside them."""
    if model.version not in VERSION_BY_CONTENT_DIM.values():
        return model.params, {}
    params = StandardParams(**model.params)
    noted = note_encoder(model.extra, params.content_encoder)
    if params.vocoder != model.extra.get("vocoder", HIFIGAN):
        noted["vocoder"] = params.vocoder
    return to_legacy_list(params), noted


def save_training_state(path: Path, state: dict[str, Any]) -> None:
    """Write a training state: complete, or not at all."""
    save_tensors(path, state)


def load_training_state(path: Path, peek: bool = False) -> dict[str, Any]:
    """Read G_*.pth or D_*.pth and check all of it; peek: only what is not a tensor counts."""
    if not peek:
        check_sums(path)
    state = read_tensors(path, mmap=peek)
    if not isinstance(state, Mapping) or "model" not in state:
        raise CheckpointError("no_model", file=path)
    return dict(state)
