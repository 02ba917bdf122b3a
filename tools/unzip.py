"""Zips from strangers: opened, checked and unpacked with care."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

MOST_RATIO = 200  # unpacked / packed bytes; recordings and weights hardly shrink at all
FREE_RATIO_BYTES = 2**20  # below this size the ratio says nothing
BLOCK = 2**20
ENCRYPTED = 1  # bit of an entry's flags
ZIP_FAULTS = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError, NotImplementedError, EOFError,
    OSError,  # without a number: bzip2's
)  # fmt: skip


class ZipError(ValueError):
    """A zip is refused or cannot be unpacked; the message names it and says why."""


@contextmanager
def opened_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip; what is wrong with it, also while it is read, becomes a ZipError."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except ZIP_FAULTS as error:
        if getattr(error, "errno", None) is not None:
            raise  # of the disk, not of the zip
        raise ZipError(f"{path.name} is no zip that can be opened: {error}") from error


def check_entries(
    path: Path, items: Sequence[zipfile.ZipInfo], most_files: int, most_bytes: int
) -> None:
    """Refuse too much, bombs and passwords."""
    if len(items) > most_files:
        raise ZipError(f"{path.name} holds {len(items)} files; at most {most_files} are taken")
    if sum(item.file_size for item in items) > most_bytes:
        raise ZipError(f"{path.name} is larger than {most_bytes >> 30} GiB unpacked")
    for item in items:
        if item.flag_bits & ENCRYPTED:
            raise ZipError(f"{path.name} asks for a password; unpack it yourself first")
        if item.file_size > max(FREE_RATIO_BYTES, MOST_RATIO * item.compress_size):
            raise ZipError(
                f"{path.name} is refused: {item.filename!r} unpacks to far more than it holds"
            )


def unpack_entry(archive: zipfile.ZipFile, item: zipfile.ZipInfo, target: Path) -> None:
    """Write one entry to a file that is not there yet; what it says of its size is not trusted."""
    written = 0
    with archive.open(item) as source, target.open("xb") as file:
        while block := source.read(BLOCK):
            written += len(block)
            if written > item.file_size:
                raise ZipError(f"{item.filename!r} is larger than the zip says")
            file.write(block)
