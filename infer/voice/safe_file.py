"""Voices as .safetensors: the weights behind a table of their names, the labels as texts in it.

The layout is that of voice changers which convert public voices to it: labels that are lists or
tables as JSON, others as they print. Imports no torch until tensors are asked for.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from config import replacing
from errors import CheckpointError, UserError, as_user_error
from infer.voice.outline import HEAD, recognise

SAFE_SUFFIX = ".safetensors"
VOICE_SUFFIXES = (".pth", SAFE_SUFFIX)
LARGEST_TABLE = 64 * 2**20  # bytes
SIZES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1,
    "BOOL": 1,
}  # fmt: skip  # bytes of a value
NUMBERS = {"epoch", "step", "speakers_id", "embedder_output_layer"}
TABLES = {"config", "params", "speaker_info", "f0_median", "f0_range"}
BY_SPEAKER = {"f0_median", "f0_range"}  # tables whose names are numbers


def is_safe_file(path: Path) -> bool:
    """Whether a file is called so, or begins as such files do."""
    if path.suffix.lower() == SAFE_SUFFIX:
        return True
    with path.open("rb") as file:
        head = file.read(9)
    return len(head) == 9 and head[8:] == b"{" and _table_size(head) <= path.stat().st_size - 8


def read_safe_labels(path: Path) -> tuple[dict[str, Any], dict[str, tuple[int, ...]]]:
    """The labels and the shapes of the weights. CheckpointError: sizes and offsets do not agree."""
    with path.open("rb") as file:
        head = file.read(HEAD)
        size, what = _table_size(head), recognise(head)
        if what is not None and head[8:9] != b"{":
            raise CheckpointError("is_other", file=path, what=what)
        if size > LARGEST_TABLE:
            raise CheckpointError("pickle_size", file=path, size=size)
        file.seek(8)
        text = file.read(size)
    try:
        table = json.loads(text)
        metadata = table.pop("__metadata__", {})
        metadata.pop("format", None)  # of the library
        spans = sorted(_span(entry) for entry in table.values())
        ends = [0, *(end for _, end in spans)]
        if [start for start, _ in spans] != ends[:-1] or 8 + size + ends[-1] != path.stat().st_size:
            raise UserError("tensors_fill")
        labels = {name: _read_label(name, value) for name, value in metadata.items()}
        shapes = {name: tuple(entry["shape"]) for name, entry in table.items()}
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise CheckpointError("damaged", file=path, reason=as_user_error(error)) from error
    return labels, shapes


def read_safe_voice(path: Path) -> dict[str, Any]:
    """The labels, and the tensors as "weight", as a .pth holds them."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    labels, _ = read_safe_labels(path)  # checks more than the library does
    try:
        return {**labels, "weight": load_file(path)}
    except SafetensorError as error:
        raise CheckpointError("damaged", file=path, reason=str(error)) from error


def write_safe_voice(path: Path, content: Mapping[str, Any]) -> None:
    """Write what a .pth would hold: complete, or not at all."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    labels = {name: value for name, value in content.items() if name != "weight"}
    texts = {name: _write_label(value) for name, value in labels.items() if value is not None}
    with replacing(path) as temporary:
        try:
            save_file(dict(content["weight"]), temporary, {"format": "pt", **texts})
        except SafetensorError as error:
            raise UserError("written", file=path, reason=str(error)) from error


def _table_size(head: bytes) -> int:
    return int.from_bytes(head[:8], "little")


def _span(entry: Mapping[str, Any]) -> tuple[int, int]:
    """Where a tensor's bytes begin and end; UserError where its shape needs another number."""
    start, end = entry["data_offsets"]
    sizes = entry["shape"]
    if not all(type(value) is int and value >= 0 for value in (start, end, *sizes)):
        raise UserError("tensor_sizes")
    if end - start != math.prod(sizes) * SIZES[entry["dtype"]]:
        raise UserError("tensor_bytes")
    return start, end


def _read_label(name: str, text: str) -> Any:
    if name in TABLES:
        value = json.loads(text)
        return {int(key): each for key, each in value.items()} if name in BY_SPEAKER else value
    return int(text) if name in NUMBERS and text.isdecimal() else text


def _write_label(value: Any) -> str:
    if isinstance(value, list | tuple | Mapping):
        return json.dumps(value)
    return str(int(value) if isinstance(value, bool) else value)
