"""What a .pth is, read without torch and without its tensors: the labels and the shapes.

A torch file is a zip with one small pickle. This reader allows the few names that tensors need and
refuses every other, so nothing of a file is ever run.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from errors import CheckpointError, NoFile, UserError
from infer.voice.hparams import HIFIGAN, OWN_KEYS, VERSION_BY_CONTENT_DIM
from infer.voice.public import classic_names, read_public
from infer.voice.safe_file import is_safe_file, read_safe_labels
from infer.voice.traits import DEFAULT_VERSION

LARGEST_PICKLE = 64 * 2**20  # bytes; a training state with its optimizer has 2 MB
LONGEST_NOTE = 300  # characters shown of what another program noted
NOTED_TABLES = {"speaker_info"}  # ddPn08's names of speakers
VOICE, STATE, OTHER = "voice", "training state", "other"


@dataclass(frozen=True)
class Shape:
    """What stands for a tensor."""

    sizes: tuple[int, ...]


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
    vocoder: str = HIFIGAN  # of a standard voice
    content_encoder: str = ""  # see infer.content; "" where the file does not tell
    epoch: int = 0  # of a training state
    f0_median: dict[int, float] = field(default_factory=dict)
    noted: dict[str, str] = field(default_factory=dict)
    problem: UserError | None = None


def read_header(path: Path) -> VoiceHeader:
    """Read the labels of a .pth. NoFile, or CheckpointError."""
    if not path.is_file():
        raise NoFile("no_such", file=path)
    if is_safe_file(path):
        labels, sizes = read_safe_labels(path)
        weights = {name: Shape(each) for name, each in sizes.items()}
        content: Any = {**labels, "weight": weights}
    else:
        content = _read(path)
    if not isinstance(content, Mapping):
        return VoiceHeader(OTHER, problem=UserError("no_table"))
    if "weight" in content and "config" in content:
        return _voice(content)
    if isinstance(content.get("model"), Mapping):
        return _state(content)
    return VoiceHeader(OTHER, problem=UserError("neither"))


def _voice(content: Mapping[str, Any]) -> VoiceHeader:
    weights, values = content["weight"], content["config"]
    labels: dict[str, Any] = {
        "kind": VOICE,
        "info": str(content.get("info", ""))[:500],
        "noted": _noted(content),
    }
    median = content.get("f0_median")
    if isinstance(median, Mapping):
        labels["f0_median"] = {
            int(key): float(value)
            for key, value in median.items()
            if isinstance(key, int) and isinstance(value, int | float)
        }
    if not isinstance(weights, Mapping):
        return VoiceHeader(**labels, problem=UserError("weight_tensors"))
    labels |= _from_shapes(weights)
    if isinstance(values, Mapping):  # a family of ours: everything has a name
        rate = values.get("sample_rate")
        if not isinstance(rate, int):
            return VoiceHeader(**labels, problem=UserError("no_rate"))
        labels |= {"version": str(content.get("version", DEFAULT_VERSION)), "sample_rate": rate}
        labels["content_dim"] = int(values.get("content_dim") or 0)
        return VoiceHeader(**labels)
    shapes = {name: value.sizes for name, value in weights.items() if isinstance(value, Shape)}
    try:
        labels["version"], params = read_public(content, classic_names(shapes))
    except UserError as error:
        return VoiceHeader(**labels, problem=error)
    for name in ("sample_rate", "vocoder", "content_encoder"):
        labels[name] = params[name]
    return VoiceHeader(**labels)


def _noted(content: Mapping[str, Any]) -> dict[str, str]:
    """What is neither a table of weights nor a fact that has a field of its own."""
    return {
        name: str(value)[:LONGEST_NOTE]
        for name, value in content.items()
        if isinstance(name, str) and name not in OWN_KEYS and value not in (None, "")
        and (isinstance(value, str | int | float) or name in NOTED_TABLES)
    }  # fmt: skip


def _state(content: Mapping[str, Any]) -> VoiceHeader:
    labels = _from_shapes(content["model"])
    labels["info"] = f"{content.get('iteration', '?')}epoch"
    if isinstance(content.get("iteration"), int):
        labels["epoch"] = content["iteration"]
    if isinstance(content.get("version"), str):
        labels["version"] = content["version"]
    if isinstance(content.get("sample_rate"), int):
        labels["sample_rate"] = content["sample_rate"]
    problem = None if labels["num_speakers"] else UserError("no_synthesizer")
    return VoiceHeader(STATE, **labels, problem=problem)


def _from_shapes(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Read version, content_dim, use_f0 and num_speakers off the tensors."""
    phone, speakers = (
        sizes.sizes if isinstance(sizes := weights.get(name), Shape) else ()
        for name in ("enc_p.emb_phone.weight", "emb_g.weight")
    )
    dim = phone[1] if len(phone) == 2 else 0
    return {
        "version": VERSION_BY_CONTENT_DIM.get(dim, "v1") if dim else "lite",
        "content_dim": dim,
        "use_f0": not dim or "enc_p.emb_pitch.weight" in weights,
        "num_speakers": speakers[0] if len(speakers) == 2 else 0,
    }


def _read(path: Path) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            pickles = [item for item in archive.infolist() if item.filename.endswith("/data.pkl")]
            if len(pickles) != 1:
                raise CheckpointError("pickles", file=path, count=len(pickles))
            if pickles[0].file_size > LARGEST_PICKLE:
                raise CheckpointError("pickle_size", file=path, size=pickles[0].file_size)
            with archive.open(pickles[0]) as file:
                data = file.read(LARGEST_PICKLE + 1)
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as error:
        raise CheckpointError("not_torch", file=path, reason=str(error)) from error
    try:
        return _Reader(io.BytesIO(data)).load()
    except UserError as error:
        raise CheckpointError("unsafe", file=path, reason=error) from error
    except (pickle.UnpicklingError, *_DAMAGE) as error:
        raise CheckpointError("damaged", file=path, reason=type(error).__name__) from error


_DAMAGE = (
    EOFError, ValueError, LookupError, TypeError, AttributeError, OverflowError, MemoryError,
    RecursionError, UnicodeError,
)  # fmt: skip


def _tensor(storage: Any, offset: Any, sizes: Any, *others: Any) -> Shape:
    return Shape(tuple(int(size) for size in sizes))


def _parameter(data: Any, *others: Any) -> Any:
    return data


class _Reader(pickle.Unpickler):
    """Knows tables, numbers, texts and the outlines of tensors."""

    def find_class(self, module: str, name: str) -> Any:
        known = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch._utils", "_rebuild_parameter"): _parameter,
            ("torch", "Size"): tuple,
        }
        if (module, name) in known:
            return known[module, name]
        if module in ("torch", "torch.storage") and (name.endswith("Storage") or name in DTYPES):
            return name
        raise UserError("asks_for", name=f"{module}.{name}")

    def persistent_load(self, pid: Any) -> None:
        return None


DTYPES = frozenset(
    "float16 float32 float64 bfloat16 int8 int16 int32 int64 uint8 bool half float".split()
)
