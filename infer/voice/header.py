"""What a .pth is, read without torch and without its tensors: the labels and the shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from errors import UserError, shown
from infer.voice.contents import read_info, read_medians, read_params, read_ranges
from infer.voice.hparams import HIFIGAN, OWN_KEYS, VERSION_BY_CONTENT_DIM
from infer.voice.outline import Shape, read_outline
from infer.voice.public import classic_names, find_vocoder
from infer.voice.safe_file import is_safe_file, read_safe_labels
from infer.voice.traits import DEFAULT_VERSION

LONGEST_NOTE = 300  # characters shown of what another program noted
NOTED_TABLES = {"speaker_info"}  # ddPn08's names of speakers
VOICE, STATE, OTHER = "voice", "training state", "other"


@dataclass(frozen=True)
class VoiceHeader:
    """The labels of a .pth. kind: VOICE, STATE (G_*.pth, a base model) or OTHER.

    Rates in Hz; sample_rate and content_dim are 0 where the file does not tell. noted: what other
    programs wrote beside it, e.g. author. problem: why this program cannot use it, None if it can.
    """

    kind: str
    version: str = ""
    sample_rate: int = 0
    content_dim: int = 0
    use_f0: bool = True
    num_speakers: int = 0
    info: str = ""
    vocoder: str = ""  # of a standard voice
    content_encoder: str = ""  # see infer.content; "" where the file does not tell
    epoch: int = 0  # of a training state
    f0_median: dict[int, float] = field(default_factory=dict)
    f0_range: dict[int, tuple[float, float]] = field(default_factory=dict)
    noted: dict[str, str] = field(default_factory=dict)
    problem: UserError | None = None


def read_header(path: Path) -> VoiceHeader:
    """Read the labels of a .pth. NoFile, or CheckpointError."""
    if path.is_file() and is_safe_file(path):
        labels, sizes = read_safe_labels(path)
        weights = {name: Shape(each) for name, each in sizes.items()}
        content: Any = {**labels, "weight": weights}
    else:
        content = read_outline(path).content
    if not isinstance(content, Mapping):
        return VoiceHeader(OTHER, problem=UserError("no_table"))
    if "weight" in content and "config" in content:
        return _voice(content)
    if isinstance(content.get("model"), Mapping):
        return _state(content)
    return VoiceHeader(OTHER, problem=UserError("neither"))


def _voice(content: Mapping[str, Any]) -> VoiceHeader:
    labels: dict[str, Any] = {"kind": VOICE, "info": read_info(content), "noted": _noted(content)}
    labels |= {"f0_median": read_medians(content), "f0_range": read_ranges(content)}
    shapes = _shapes(content["weight"])
    if shapes is None:
        return VoiceHeader(**labels, problem=UserError("weight_tensors"))
    shapes = classic_names(shapes)
    try:
        version, params = read_params(content, shapes)
    except UserError as error:
        return VoiceHeader(**labels, **_from_shapes(shapes), problem=error)
    names = ("sample_rate", "content_dim", "num_speakers", "vocoder", "content_encoder", "use_f0")
    labels |= {name: params[name] for name in names if name in params}
    if "upsample_rates" in params:  # the synthesizer ends in a vocoder
        labels.setdefault("vocoder", HIFIGAN)
    return VoiceHeader(**labels, version=version)


def _noted(content: Mapping[str, Any]) -> dict[str, str]:
    """What is neither a table of weights nor a fact that has a field of its own."""
    return {
        shown(name): shown(str(value)[:LONGEST_NOTE])
        for name, value in content.items()
        if isinstance(name, str) and name not in OWN_KEYS and value not in (None, "")
        and (isinstance(value, str | int | float) or name in NOTED_TABLES)
    }  # fmt: skip


def _state(content: Mapping[str, Any]) -> VoiceHeader:
    shapes = _shapes(content["model"])
    if shapes is None:
        return VoiceHeader(STATE, problem=UserError("model_tensors"))
    labels = _from_shapes(classic_names(shapes))
    iteration = content.get("iteration")
    labels["info"] = f"{iteration if isinstance(iteration, int) else '?'}epoch"
    if isinstance(iteration, int):
        labels["epoch"] = iteration
    for name, kind in (("version", str), ("sample_rate", int)):
        if isinstance(content.get(name), kind):
            labels[name] = content[name]
    problem = None if labels["num_speakers"] else UserError("no_synthesizer")
    if labels["content_dim"] and problem is None:
        try:
            labels["vocoder"] = find_vocoder(None, shapes)
        except UserError as error:
            problem = error
    return VoiceHeader(STATE, **labels, problem=problem)


def _shapes(weights: Any) -> dict[str, tuple[int, ...]] | None:
    """Return the sizes of tensors by name, None for what is no table of tensors."""
    if not isinstance(weights, Mapping):
        return None
    shapes = {
        name: value.sizes
        for name, value in weights.items()
        if isinstance(name, str) and isinstance(value, Shape)
    }
    return shapes if len(shapes) == len(weights) else None


def _from_shapes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Read version, content_dim, use_f0 and num_speakers off the tensors."""
    phone, speakers = (shapes.get(name, ()) for name in ("enc_p.emb_phone.weight", "emb_g.weight"))
    dim = phone[1] if len(phone) == 2 else 0
    return {
        "version": VERSION_BY_CONTENT_DIM.get(dim, "v1") if dim else DEFAULT_VERSION,
        "content_dim": dim,
        "use_f0": not dim or "enc_p.emb_pitch.weight" in shapes,
        "num_speakers": speakers[0] if len(speakers) == 2 else 0,
    }
