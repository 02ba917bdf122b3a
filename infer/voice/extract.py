"""A training state (G_*.pth, ours or RVC's) becomes a voice; its tensors decide of which kind."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import config
from errors import CheckpointError, UserError
from infer.models.families import FAMILIES, plain
from infer.models.standard.generator import generator_names
from infer.voice.checkpoint import VoiceModel, load_training_state
from infer.voice.contents import read_medians, read_ranges
from infer.voice.hparams import read_config
from infer.voice.public import classic_names, find_encoder, find_vocoder
from infer.voice.tensors import unpack
from infer.voice.traits import TRAITS

NOTES = {  # in Applio's model_info.json -> in its voices
    "author": "author",
    "model_name": "model_name",
    "model_hash": "model_hash",
    "embedder_model": "embedder_model",
    "speakers_id": "speakers_id",
    "total_dataset_duration": "dataset_length",
}
# Applio trains at this rate too; all else is as at 32 kHz
APPLIO_RATE = {
    "sample_rate": 24000,
    "hop_length": 240,
    "upsample_rates": [10, 6, 2, 2],
    "upsample_kernel_sizes": [20, 12, 4, 4],
}


def extract_voice(path: Path, info: str = "") -> VoiceModel:
    """The voice inside a training state; CheckpointError where no known network fits its tensors.

    Version, sample rate, f0 and speakers come from the shapes, with the help of the config.json
    beside the file where there is one.
    """
    state = load_training_state(path)
    weights = state.get("average", state["model"])
    if not isinstance(weights, Mapping) or not all(map(torch.is_tensor, weights.values())):
        raise CheckpointError("damaged", file=path, reason=UserError("model_tensors"))
    weights = classic_names(unpack(weights))
    speakers = weights.get("emb_g.weight")
    if speakers is None or speakers.dim() != 2:
        raise CheckpointError("extract_d", file=path)
    version, params = _find_params(path, weights, len(speakers))
    values, extra = plain(params), _read_notes(path, state)
    if extra and not TRAITS[version].own_table:
        values["content_encoder"] = find_encoder(extra, params.content_dim)
    return VoiceModel(
        weights={name: value for name, value in weights.items() if not name.startswith("enc_q.")},
        params=values,
        extra=extra,
        sample_rate=params.sample_rate,
        version=version,
        use_f0=params.use_f0,
        f0_median=read_medians(state),
        f0_range=read_ranges(state),
        info=info or f"extracted from {path.name}, epoch {state.get('iteration', '?')}",
    )


def _find_params(path: Path, weights: Mapping[str, Tensor], num_speakers: int) -> tuple[str, Any]:
    """Version and params of the one network whose tensors have these shapes."""
    shapes = {name: tuple(value.shape) for name, value in weights.items()}
    has_posterior = any(name.startswith("enc_q.") for name in shapes)
    changes: dict[str, Any] = {"num_speakers": num_speakers}
    if any(name.startswith("enc_p.") for name in shapes):
        changes["use_f0"] = "enc_p.emb_pitch.weight" in shapes
        try:
            changes["vocoder"] = find_vocoder(None, shapes)
        except UserError as error:
            raise CheckpointError("unusable", file=path, reason=error) from error
    shapes = generator_names(shapes)
    beside, phone = _read_beside(path), shapes.get("enc_p.emb_phone.weight")
    found = []
    for version, groups in _candidates(beside):
        try:
            params = FAMILIES[version].params.from_groups(groups, **changes)
        except (KeyError, TypeError, ValueError):
            continue  # no pitch to leave out, or a config.json that other hands changed
        first = None if TRAITS[version].own_table else (params.hidden_dim, params.content_dim)
        if phone != first:
            continue  # seen without building the network
        if (version, params) not in found and _shapes(version, params, has_posterior) == shapes:
            found.append((version, params))
            if groups is beside:
                break
    data = beside.get("data", {})
    rate = data.get("sampling_rate", data.get("sample_rate"))  # as RVC and Applio write it
    if len(found) > 1:  # without enc_q, and with RefineGAN, rates look alike
        found = [each for each in found if each[1].sample_rate == rate]
    if len(found) != 1:
        raise CheckpointError("extract_unsure", file=path)
    return found[0]


def _read_notes(path: Path, state: Mapping[str, Any]) -> dict[str, Any]:
    """What Applio wrote of a training beside its states, by the names that its voices have."""
    try:
        info = json.loads(path.with_name("model_info.json").read_text(encoding="utf-8"))
        notes = {NOTES[name]: value for name, value in info.items() if name in NOTES}
    except (OSError, ValueError, AttributeError, RecursionError):
        return {}
    notes = {"epoch": state.get("iteration"), "model_name": path.absolute().parent.name, **notes}
    return {name: value for name, value in notes.items() if isinstance(value, str | int)}


def _read_beside(path: Path) -> dict[str, Any]:
    """Read the experiment's config.json; {} where there is none of use."""
    try:
        groups = json.loads(path.with_name("config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    is_usable = isinstance(groups, dict) and isinstance(groups.get("data", {}), dict)
    return groups if is_usable else {}


def _candidates(beside: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Networks to compare with: the one beside the file, then every one in configs/."""
    if beside.get("version") in FAMILIES:
        yield beside["version"], beside
    rates = {int(file.stem[:-1]) * 1000 for file in config.CONFIGS.glob("*/*k.json")}
    for version in FAMILIES:
        for rate in sorted(rates):
            try:
                groups = read_config(version, rate)
            except ValueError:
                continue  # this family has no such rate
            yield version, groups
            if rate == 32000:
                yield version, {"data": groups["data"], "model": groups["model"] | APPLIO_RATE}


def _shapes(version: str, params: Any, has_posterior: bool) -> dict[str, tuple[int, ...]]:
    """What the network of these params would hold, made without storage."""
    with torch.device("meta"):
        network = FAMILIES[version].build(params)
    return {
        name: tuple(value.shape)
        for name, value in network.state_dict().items()
        if has_posterior or not name.startswith("enc_q.")
    }
