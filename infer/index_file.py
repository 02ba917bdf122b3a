"""What is in a feature index file, checked without faiss, which believes every number in it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from errors import NoFile, UserError
from infer.voice.outline import HEAD, recognise

LARGEST_DIM = 4096  # values of a vector
MOST_LISTS = 1_000_000
METRICS = (0, 1)  # inner product, L2
FLAT, WITH_LISTS, WITH_IDS = (b"IxFI", b"IxF2"), (b"IwFl", b"IwSq"), (b"IxMp", b"IxM2")
CODE_BITS = dict(enumerate((8, 4, 8, 4, 16, 8, 6, 16, 8)))  # by kind of a scalar quantiser


@dataclass(frozen=True)
class IndexHeader:
    """Values of a vector, and how many vectors there are."""

    dim: int
    count: int


def check_index_file(path: Path) -> IndexHeader:
    """Compare what an index claims with what its file holds. NoFile, UserError.

    Flat and IVF indexes of floats or of 8 or 16 bits are used, with numbers of their own or
    without; every other kind (of graphs, of products, of lists in other files) is refused by name.
    """
    if not path.is_file():
        raise NoFile("index_gone", path=path)
    with path.open("rb") as file:
        head = file.read(HEAD)
        other = recognise(head)
        if other is not None and other.name != "is_index":
            raise UserError("is_other", file=path, what=other)
        file.seek(0)
        walk = _Walk(path, file, path.stat().st_size)
        try:
            return walk.index()
        except struct.error as error:  # the file ends
            raise walk.damaged() from error


class _Walk:
    """Goes through a file as faiss does, and skips what it holds."""

    def __init__(self, path: Path, file: IO[bytes], size: int) -> None:
        self.path, self._file, self._size = path, file, size

    def damaged(self) -> UserError:
        return UserError("index_damaged", path=self.path)

    def index(self, depth: int = 0) -> IndexHeader:
        kind = self._file.read(4)
        if kind not in (*FLAT, *WITH_LISTS, *WITH_IDS):
            raise self._kind_error(kind)
        header = self._header()
        if kind in FLAT:
            self._expect(self._skip_vector(4) == header.count * header.dim)
            return header
        self._expect(depth == 0 or kind in WITH_LISTS and depth == 1)
        if kind in WITH_IDS:
            inner = self.index(depth + 1)
            self._expect(self._skip_vector(8) == header.count == inner.count)
            self._expect(inner.dim == header.dim)
            return header
        num_lists, _ = self._numbers("<QQ")
        self._expect(0 < num_lists <= MOST_LISTS)
        quantizer = self.index(depth + 2)
        self._expect((quantizer.dim, quantizer.count) == (header.dim, num_lists))
        direct, mapped = self._numbers("<b")[0], self._skip_vector(8)
        self._expect((direct, mapped) in ((0, 0), (1, header.count)))
        code_size = 4 * header.dim
        if kind == b"IwSq":
            code_size = self._scalar_quantizer(header.dim)
        self._lists(num_lists, code_size, header.count)
        return header

    def _header(self) -> IndexHeader:
        dim, count, _, _, _, metric = self._numbers("<iqqq?i")
        self._expect(0 < dim <= LARGEST_DIM and count >= 0 and metric in METRICS)
        return IndexHeader(dim, count)

    def _scalar_quantizer(self, dim: int) -> int:
        kind, _, _, width, code_size = self._numbers("<iifQQ")
        self._expect(kind in CODE_BITS and width == dim)
        self._expect(code_size == (CODE_BITS[kind] * dim + 7) // 8)
        self._expect(self._skip_vector(4) in (0, 2, 2 * dim))
        again, _ = self._numbers("<Q?")
        self._expect(again == code_size)
        return code_size

    def _lists(self, num_lists: int, code_size: int, count: int) -> None:
        if (kind := self._file.read(4)) != b"ilar":  # lists in another file, or none
            raise self._kind_error(kind)
        lists, size = self._numbers("<QQ")
        self._expect((lists, size) == (num_lists, code_size))
        shape = self._file.read(4)
        length = self._numbers("<Q")[0]
        self._expect(length <= 2 * num_lists)
        numbers = self._numbers(f"<{length}Q")
        if shape == b"sprs":
            self._expect(length % 2 == 0)
            self._expect(all(place < num_lists for place in numbers[::2]))
            self._expect(len(set(numbers[::2])) == length // 2)
            numbers = numbers[1::2]
        else:
            self._expect(shape == b"full" and length == num_lists)
        self._expect(sum(numbers) == count)
        self._skip(count * (code_size + 8))

    def _numbers(self, layout: str) -> tuple[Any, ...]:
        return struct.unpack(layout, self._file.read(struct.calcsize(layout)))

    def _skip_vector(self, item_size: int) -> int:
        """Skip a vector behind its length; returns the length."""
        length: int = self._numbers("<Q")[0]
        self._skip(length * item_size)
        return length

    def _skip(self, size: int) -> None:
        self._expect(size <= self._size - self._file.tell())
        self._file.seek(size, 1)

    def _expect(self, is_true: bool) -> None:
        if not is_true:
            raise self.damaged()

    def _kind_error(self, kind: bytes) -> UserError:
        if len(kind) == 4 and kind.isalnum() and kind[:1] in (b"I", b"i"):
            return UserError("index_kind", path=self.path, kind=kind.decode("ascii"))
        return self.damaged()
