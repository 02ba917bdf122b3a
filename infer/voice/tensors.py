"""Tensors and plain values in files: written whole, read without running anything of them."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor, nn

from config import replacing
from errors import CheckpointError, UserError, os_reason
from infer.voice.outline import read_outline

SCALE = ".scale"  # of a matrix in 8 bits, behind its name
# what torch's restricted reader raises on bytes that are no torch file
UNREADABLE = (
    RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError, AssertionError,
    OverflowError, struct.error, zipfile.BadZipFile,
)  # fmt: skip


def save_tensors(path: Path, content: Any) -> None:
    """Write tensors and plain values: complete, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, temporary.open("wb") as file:
        sink = _Sink(file)
        try:
            torch.save(content, sink)  # type: ignore[arg-type]  # it only writes
        except RuntimeError as error:  # torch's own words for it name a line of its source
            if sink.fault is None:
                raise
            reason = os_reason(sink.fault)
            raise UserError("written", file=path, reason=reason) from error
        file.flush()
        os.fsync(file.fileno())
    if os.name == "posix":  # the new name must survive a power loss too
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class _Sink:
    """A file for torch to write to, which remembers why that failed."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.fault: OSError | None = None

    def write(self, data: Any) -> int:
        """Write bytes."""
        try:
            return self.file.write(data)
        except OSError as error:
            self.fault = error
            raise

    def flush(self) -> None:
        """Do nothing; the file is flushed when all is written."""


def read_tensors(path: Path, shells: tuple[str, ...] = (), mmap: bool = False) -> Any:
    """Tensors and plain values of a torch file; nothing in the file is ever executed.

    shells: beginnings of full class names, e.g. "fairseq."; objects of such classes come back as
    empty shells that hold what was stored of them. Every other class is refused.
    mmap: leave the tensors on the disk until they are used, where the file's format allows it.
    """
    outline = read_outline(path, shells)  # what it claims is checked before torch believes it
    allowed: list[Any] = [_shell(name) for name in outline.foreign]
    try:
        mmap = mmap and zipfile.is_zipfile(path)
        with torch.serialization.safe_globals(allowed):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except (pickle.UnpicklingError, *UNREADABLE) as error:
        raise CheckpointError("not_torch", file=path, reason=_first_line(error)) from error


def pack(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Matrices in 8 bits with a scale for each row, which halves the file; the rest in float16."""
    packed = {}
    for name, value in tensors.items():
        if value.dim() > 1 and name.endswith(".weight"):
            scale = value.flatten(1).abs().amax(1).clamp(min=1e-12) / 127
            packed[name + SCALE] = scale.float()
            rows = scale.view(-1, *[1] * (value.dim() - 1))
            packed[name] = (value / rows).round().to(torch.int8)
        else:
            packed[name] = value.half().contiguous()
    return packed


def unpack(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """All in float32, of what `pack` made or of plain numbers."""
    scales = {
        name: scale
        for name, value in tensors.items()
        if value.dtype == torch.int8
        and (scale := tensors.get(name + SCALE)) is not None
        and scale.shape == value.shape[:1]
    }
    behind = {name + SCALE for name in scales}
    plain = {name: value.float() for name, value in tensors.items() if name not in behind}
    for name, scale in scales.items():
        plain[name] *= scale.view(-1, *[1] * (plain[name].dim() - 1))
    return plain


def load_weights(module: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Load every tensor of a module; CheckpointError names what is missing or misshapen.

    A module without storage (made on torch's meta device) takes the tensors themselves.
    """
    check_weights(module, weights, path)
    on_meta = any(value.is_meta for value in module.state_dict().values())
    module.load_state_dict(dict(weights), assign=on_meta)


def check_weights(module: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Compare names and shapes; CheckpointError names what is missing or misshapen."""
    wanted = module.state_dict()
    problems = [UserError("tensor_missing", name=name) for name in wanted if name not in weights]
    problems += [UserError("tensor_unknown", name=name) for name in weights if name not in wanted]
    problems += [
        UserError("tensor_shape", name=name, found=_sizes(weights[name]), wanted=_sizes(value))
        for name, value in wanted.items()
        if name in weights and weights[name].shape != value.shape
    ]
    if problems:
        shown = problems[:3]
        if len(problems) > len(shown):
            shown.append(UserError("and_more", count=len(problems) - len(shown)))
        raise CheckpointError("misfit", file=path, reason=shown)


def check_sums(path: Path) -> None:
    """Compare the check sums of a zip file, which torch ignores. CheckpointError."""
    if path.is_file() and zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()
        except UNREADABLE as error:
            raise CheckpointError("damaged", file=path, reason=_first_line(error)) from error
        if damaged is not None:
            reason = UserError("check_sum", name=damaged)
            raise CheckpointError("damaged", file=path, reason=reason)


def _sizes(value: Tensor) -> str:
    return str(tuple(value.shape))


def _first_line(error: Exception) -> str:
    """Return the first line of a library's message."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def _shell(name: str) -> type:
    """An empty class that stands for a foreign one and keeps what was stored of its objects."""
    module, _, short = name.rpartition(".")
    body = {"__module__": module, "__init__": lambda self, *values: None}
    return type(short, (), body)
