"""Zips from strangers: opened, checked and unpacked with care."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from errors import UserError

MOST_RATIO = 200  # unpacked / packed bytes; recordings and weights hardly shrink at all
FREE_RATIO_BYTES = 2**20  # below this size the ratio says nothing
BLOCK = 2**20
ENCRYPTED = 1  # bit of an entry's flags
ZIP_FAULTS = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError, NotImplementedError, EOFError,
    OSError,  # without a number: bzip2's
)  # fmt: skip


class ZipError(UserError):
    """A zip is refused or cannot be unpacked."""


@contextmanager
def opened_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip; what is wrong with it, also while it is read, becomes a ZipError."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except ZIP_FAULTS as error:
        if getattr(error, "errno", None) is not None:
            raise  # of the disk, not of the zip
        raise ZipError("not_a_zip", file=path.name, reason=str(error)) from error


def check_entries(
    path: Path, items: Sequence[zipfile.ZipInfo], most_files: int, most_bytes: int
) -> None:
    """Refuse too much, bombs and passwords."""
    if len(items) > most_files:
        raise ZipError("many_files", file=path.name, count=len(items), most=most_files)
    if sum(item.file_size for item in items) > most_bytes:
        raise ZipError("zip_size", file=path.name, size=most_bytes >> 30)
    for item in items:
        if item.flag_bits & ENCRYPTED:
            raise ZipError("password", file=path.name)
        if item.file_size > max(FREE_RATIO_BYTES, MOST_RATIO * item.compress_size):
            raise ZipError("bomb", file=path.name, name=item.filename)


def unpack_entry(archive: zipfile.ZipFile, item: zipfile.ZipInfo, target: Path) -> None:
    """Write one entry to a file that is not there yet; what it says of its size is not trusted."""
    written = 0
    with archive.open(item) as source, target.open("xb") as file:
        while block := source.read(BLOCK):
            written += len(block)
            if written > item.file_size:
                raise ZipError("larger", file=item.filename)
            file.write(block)
