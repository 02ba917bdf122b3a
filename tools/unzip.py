"""Zips from strangers: one reader for those of voices and of recordings."""

from __future__ import annotations

import errno
import lzma
import re
import stat
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from errors import UserError
from infer.voice.outline import HEAD, recognise

MOST_RATIO = 200  # unpacked / packed bytes; recordings and weights hardly shrink at all
FREE_RATIO_BYTES = 2**20  # below this size the ratio says nothing
BLOCK = 2**20
ENCRYPTED, NAMED_IN_UTF8 = 1, 1 << 11  # bits of an entry's flags
KANA = re.compile("[\u3040-\u30ff]")
ZIP_FAULTS = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError, NotImplementedError, EOFError,
    ValueError, OSError,  # without a number: bzip2's
)  # fmt: skip


OF_THE_ZIP = (None, errno.EINVAL)  # numbers of OSErrors: of bzip2, and of a place before the file


class ZipError(UserError):
    """A zip is refused or cannot be unpacked."""


@dataclass(frozen=True)
class Unpacked:
    """The wanted files of a zip, each with its bare name there; and what was refused, and why."""

    files: list[tuple[str, Path]]
    problems: list[ZipError]


def unpack_zip(
    path: Path, folder: Path, is_wanted: Callable[[str], bool], most_files: int, most_bytes: int
) -> Unpacked:
    """Unpack the entries whose bare name is wanted under names of our own.

    What is hidden, or what a Mac adds, does not count. Paths that lead out, links, bombs, passwords
    and damage are problems of their entries. ZipError: it is no zip, or holds too much.
    """
    unpacked = Unpacked([], [])
    try:
        with zipfile.ZipFile(path) as archive:
            items = [(bare_name(item), item) for item in archive.infolist() if not item.is_dir()]
            items = [(name, item) for name, item in items if name and is_wanted(name)]
            if len(items) > most_files:
                raise ZipError("many_files", file=path.name, count=len(items), most=most_files)
            if sum(item.file_size for _, item in items) > most_bytes:
                raise ZipError("zip_size", file=path.name, size=most_bytes >> 30)
            for number, (name, item) in enumerate(items):
                target = folder / f"{number}{PurePosixPath(name).suffix.lower()}"
                try:
                    _check_entry(path, item)
                    _unpack_entry(path, archive, item, target)
                except ZipError as error:
                    target.unlink(missing_ok=True)
                    unpacked.problems.append(error)
                else:
                    unpacked.files.append((name, target))
    except ZIP_FAULTS as error:
        if isinstance(error, ZipError) or getattr(error, "errno", None) not in OF_THE_ZIP:
            raise  # of the disk, not of the zip
        with path.open("rb") as file:
            what = recognise(file.read(HEAD))
        if what is not None:
            raise ZipError("is_other", file=path.name, what=what) from error
        raise ZipError("not_a_zip", file=path.name, reason=str(error)) from error
    return unpacked


def full_name(item: zipfile.ZipInfo) -> str:
    """The name of an entry, which old programs wrote in the letters of their own country.

    A zip does not say which; a wrong guess only makes an odd name.
    """
    name = item.filename
    if item.flag_bits & NAMED_IN_UTF8 or name.isascii():
        return name
    for encoding in ("utf-8", "gb2312", "cp932", "gbk"):
        with suppress(UnicodeError):
            decoded = name.encode("cp437").decode(encoding)  # as zipfile understood it
            if encoding in ("utf-8", "gb2312") or _is_east_asian(decoded):
                return decoded
    return name


def _is_east_asian(name: str) -> bool:
    """Whether a name is words, not single accented letters that happen to be valid bytes."""
    strange = re.findall(r"[^\x00-\x7f]+", name)
    is_words = all(len(run) > 1 and run.isalpha() for run in strange)
    return bool(KANA.search(name)) or is_words


def bare_name(item: zipfile.ZipInfo) -> str:
    """The name of an entry without its folders, "" for what does not count."""
    parts = PurePosixPath(full_name(item).replace("\\", "/")).parts  # some write Windows' own
    hidden = any(part.startswith(".") and part != ".." or part == "__MACOSX" for part in parts)
    return "" if hidden or not parts else parts[-1]


def _check_entry(path: Path, item: zipfile.ZipInfo) -> None:
    name = full_name(item).replace("\\", "/")
    if name.startswith("/") or ".." in name.split("/") or PureWindowsPath(name).drive:
        raise ZipError("leads_out", file=path.name, name=full_name(item))
    if stat.S_IFMT(item.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise ZipError("link", file=path.name, name=full_name(item))
    if item.flag_bits & ENCRYPTED:
        raise ZipError("password", file=path.name)
    if item.file_size > max(FREE_RATIO_BYTES, MOST_RATIO * item.compress_size):
        raise ZipError("bomb", file=path.name, name=full_name(item))


def _unpack_entry(
    path: Path, archive: zipfile.ZipFile, item: zipfile.ZipInfo, target: Path
) -> None:
    """Write one entry to a file; what it says of its size is not trusted."""
    written = 0
    try:
        with archive.open(item) as source, target.open("xb") as file:
            while block := source.read(BLOCK):
                written += len(block)
                if written > item.file_size:
                    raise ZipError("larger", file=full_name(item))
                file.write(block)
    except ZIP_FAULTS as error:
        if isinstance(error, ZipError) or getattr(error, "errno", None) not in OF_THE_ZIP:
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ZipError("entry", file=path.name, name=full_name(item), reason=reason) from error
