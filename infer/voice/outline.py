"""The outline of a torch file, read without torch: its tables, and of tensors only their sizes.

A torch file is a zip with one small pickle, or, before 2020, a chain of pickles. This reader
allows the few names that tensors need and refuses every other, so nothing of a file is ever run.
What the file claims is compared with what it holds, before torch believes it.
"""

from __future__ import annotations

import io
import math
import pickle
import re
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, ClassVar

from errors import CheckpointError, NoFile, UserError

LARGEST_PICKLE = 4 * 2**20  # bytes; a training state with its optimizer has 2 MB
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # begins a torch file that is no zip
SHARED = 4  # tensors may share what a file holds so many times
HEAD = 512  # bytes by which files that are none of torch's are recognised

ITEM_SIZES = {
    "Double": 8, "Float": 4, "Half": 2, "BFloat16": 2,
    "Long": 8, "Int": 4, "Short": 2, "Char": 1, "Byte": 1, "Bool": 1,
}  # fmt: skip
ARCHIVES = {
    b"Rar!": "rar", b"7z\xbc\xaf\x27\x1c": "7z", b"\x1f\x8b": "gz", b"BZh": "bz2",
    b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zst",
}  # fmt: skip  # by their first bytes
# what torch reads without running anything, and an outline does not need
INERT = re.compile(
    r"collections\.Counter|_codecs\.encode|builtins\.(bytearray|set|complex)|torch\.device"
    r"|torch\.(b?float\w*|u?int\d+|half|double|bool|complex\d+|strided|long|short|char|uint8)"
    r"|torch\.serialization\._get_layout|torch\.(nn\.parameter\.Parameter|Tensor)"
)
DAMAGE = (
    EOFError, ValueError, LookupError, TypeError, AttributeError, OverflowError, MemoryError,
    RecursionError, AssertionError, pickle.UnpicklingError, struct.error,
)  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """What stands for a tensor."""

    sizes: tuple[int, ...]


@dataclass
class Outline:
    """What a file holds, and the classes of other programs that it asks for (as shells)."""

    content: Any
    foreign: list[str] = field(default_factory=list)


def read_outline(path: Path, shells: tuple[str, ...] = ()) -> Outline:
    """Read the tables of a torch file, Shape in place of tensors. NoFile, CheckpointError.

    shells: beginnings of full class names whose objects are allowed, and left empty.
    """
    if not path.is_file():
        raise NoFile("no_such", file=path)
    try:
        with path.open("rb") as file:
            if (other := recognise(file.read(HEAD))) is not None:
                raise CheckpointError("is_other", file=path, what=other)
            size = file.seek(0, io.SEEK_END)
            if zipfile.is_zipfile(file):
                reader = _read_zip(path, file, size, shells)
            else:
                file.seek(0)
                reader = _read_legacy(path, file, size, shells)
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as error:
        raise CheckpointError("not_torch", file=path, reason=_reason(error)) from error
    except CheckpointError:
        raise
    except UserError as error:
        name = "unsafe" if error.name == "asks_for" else "damaged"
        raise CheckpointError(name, file=path, reason=error) from error
    except DAMAGE as error:
        raise CheckpointError("damaged", file=path, reason=type(error).__name__) from error
    return Outline(reader.content, sorted(reader.foreign))


def recognise(head: bytes) -> UserError | None:
    """Return what a file is by its first bytes, None for no usual mistake."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    is_xml = text.startswith(b"<?xml") and b"<html" in text  # there are other kinds
    if is_xml or text.startswith((b"<!doctype", b"<html", b"<head", b"<!--")):
        return UserError("is_web_page")
    if text.startswith(b"version https://git-lfs.github.com"):
        return UserError("is_lfs")
    for magic, name in ARCHIVES.items():
        if head.startswith(magic):
            return UserError("is_packed", kind=name)
    if head.startswith((b"RIFF", b"fLaC", b"OggS", b"ID3")) or head[4:8] == b"ftyp":
        return UserError("is_recording")
    if head[:4] in (b"IxFI", b"IxF2", b"IwFl", b"IwSq", b"IxMp", b"IxM2", b"IwPQ", b"IHNf"):
        return UserError("is_index")
    return None


def _read_zip(path: Path, file: IO[bytes], size: int, shells: tuple[str, ...]) -> _Reader:
    with zipfile.ZipFile(file) as archive:
        items = {item.filename: item for item in archive.infolist()}
        if len(items) != len(archive.infolist()):
            raise UserError("same_names")
        pickles = [item for name, item in items.items() if name.endswith("/data.pkl")]
        if not pickles:
            raise CheckpointError("is_other", file=path, what=UserError("is_packed", kind="zip"))
        if len(pickles) != 1:
            raise CheckpointError("pickles", file=path, count=len(pickles))
        if pickles[0].file_size > LARGEST_PICKLE:
            raise CheckpointError("pickle_size", file=path, size=pickles[0].file_size)
        held = sum(item.file_size for item in items.values())
        if held > size + LARGEST_PICKLE:  # torch packs nothing
            raise UserError("tensors_claim", claimed=held, size=size)
        with archive.open(pickles[0]) as table:
            data = table.read(LARGEST_PICKLE + 1)
    reader = _Reader(io.BytesIO(data), shells)
    reader.content = reader.load()
    folder = pickles[0].filename.removesuffix("data.pkl")
    for key, needed in reader.storages.items():
        item = items.get(f"{folder}data/{key}")
        if item is None or item.file_size < needed:
            raise UserError("tensors_claim", claimed=needed, size=item.file_size if item else 0)
    reader.check_total(size)
    return reader


def _read_legacy(path: Path, file: IO[bytes], size: int, shells: tuple[str, ...]) -> _Reader:
    limited = _Limited(file, LARGEST_PICKLE)
    try:
        magic = _Reader(limited, ()).load()
    except DAMAGE as error:
        raise CheckpointError("not_torch", file=path, reason=UserError("no_magic")) from error
    if magic != LEGACY_MAGIC:
        raise CheckpointError("not_torch", file=path, reason=UserError("no_magic"))
    for _ in range(2):  # the version, and how the machine stored numbers
        _Reader(limited, ()).load()
    reader = _Reader(limited, shells)
    reader.content = reader.load()
    _Reader(limited, ()).load()  # names of the storages, which follow
    needed = sum(reader.storages.values()) + 8 * len(reader.storages)
    if needed > size - limited.used:
        raise UserError("tensors_claim", claimed=needed, size=size - limited.used)
    reader.check_total(size)
    return reader


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


class _Limited:
    """A file of which only so many bytes are read."""

    def __init__(self, file: IO[bytes], most: int) -> None:
        self._file, self._most = file, most
        self.used = 0

    def read(self, size: int = -1) -> bytes:
        return self._count(self._file.read(self._left(size)))

    def readline(self, size: int = -1) -> bytes:
        return self._count(self._file.readline(self._left(size)))

    def _left(self, size: int) -> int:
        left = self._most - self.used
        return left if size < 0 else min(size, left)

    def _count(self, data: bytes) -> bytes:
        self.used += len(data)
        return data


@dataclass(frozen=True)
class _StorageType:
    item_size: int


@dataclass(frozen=True)
class _Storage:
    item_size: int
    length: int


class _Inert:
    """An object of which nothing is needed."""

    def __init__(self, *values: Any, **named: Any) -> None: ...


class _Reader(pickle._Unpickler):  # in Python: a number in a file reserves no memory
    """Knows tables, numbers, texts and the outlines of tensors."""

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)

    def __init__(self, file: Any, shells: tuple[str, ...]) -> None:
        super().__init__(file)
        self.shells = shells
        self.foreign: set[str] = set()
        self.storages: dict[str, int] = {}  # bytes by name
        self.claimed = 0  # bytes of all tensors
        self.content: Any = None

    def check_total(self, size: int) -> None:
        """UserError where tensors are far larger in all than what they share."""
        if self.claimed > SHARED * size:
            raise UserError("tensors_claim", claimed=self.claimed, size=size)

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        known: dict[str, Callable[..., Any]] = {
            "collections.OrderedDict": OrderedDict,
            "torch.Size": _sizes,
            "torch._utils._rebuild_tensor_v2": self._tensor,
            "torch._utils._rebuild_tensor": self._tensor,
            "torch._utils._rebuild_parameter": self._parameter,
            "torch._utils._rebuild_parameter_with_state": self._parameter,
            "torch._tensor._rebuild_from_type_v2": self._typed,
        }
        if full in known:
            return known[full]
        if module in ("torch", "torch.storage") and name.endswith("Storage"):
            kind = name.removesuffix("Storage").removeprefix("_").removeprefix("Typed")
            if kind in ITEM_SIZES:
                return _StorageType(ITEM_SIZES[kind])
        if INERT.fullmatch(full):
            return _Inert
        if self.shells and full.startswith(self.shells):
            self.foreign.add(full)
            return type("Shell", (_Inert,), {})
        if module.startswith("torch") and ("rebuild" in name or name.endswith("Storage")):
            raise UserError("odd_tensors", name=full)
        raise UserError("asks_for", name=full)

    def persistent_load(self, pid: Any) -> Any:
        kind, storage, key, _, length = pid[:5]
        if kind != "storage" or not isinstance(storage, _StorageType) or type(length) is not int:
            raise UserError("odd_tensors", name=str(kind)[:40])
        if length < 0:
            raise UserError("tensors_claim", claimed=length, size=0)
        needed = storage.item_size * length
        self.storages[str(key)] = max(needed, self.storages.get(str(key), 0))
        return _Storage(storage.item_size, length)

    def _tensor(self, storage: Any, offset: Any, sizes: Any, strides: Any, *others: Any) -> Shape:
        numbers = (offset, *sizes, *strides)
        if (
            not isinstance(storage, _Storage)
            or len(sizes) != len(strides)
            or any(type(number) is not int or number < 0 for number in numbers)
        ):
            raise UserError("odd_tensors", name="a size")
        count = math.prod(sizes)
        reach = sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
        if count and (offset + reach >= storage.length or count > storage.length):
            claimed, held = max(count, offset + reach + 1), storage.length
            raise UserError("tensors_claim", claimed=claimed * storage.item_size, size=held)
        self.claimed += count * storage.item_size
        return Shape(tuple(sizes))

    def _parameter(self, data: Any, *others: Any) -> Any:
        return data

    def _typed(self, function: Any, kind: Any, arguments: Any, state: Any) -> Any:
        allowed = (self._tensor, self._parameter)
        if function not in allowed:
            raise UserError("odd_tensors", name="_rebuild_from_type_v2")
        return function(*arguments)

    def load_build(self) -> None:
        """State of tables and of what is left empty is dropped; nothing else has any."""
        stack: list[Any] = vars(self)["stack"]
        stack.pop()
        if not isinstance(stack[-1], OrderedDict | _Inert | Shape):
            raise pickle.UnpicklingError("a state of its own")

    dispatch[pickle.BUILD[0]] = load_build


def _sizes(values: Any = ()) -> tuple[Any, ...]:
    return tuple(values)
