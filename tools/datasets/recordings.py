"""Takes recordings and zips of recordings into a dataset folder, with care."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from errors import UserError
from tools.unzip import ZipError, check_entries, opened_zip, unpack_entry
from train.experiment import plain_name
from train.recordings import AUDIO_SUFFIXES

MOST_FILES = 10_000  # in a zip
MOST_BYTES = 16 * 2**30  # of a zip, unpacked


def take_recordings(files: Iterable[Path], folder: Path) -> list[Path]:
    """Move recordings, and those inside zips, into a folder; returns where they are now.

    All of them, or none; nothing there is overwritten. UserError names the file that is refused.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".incoming-", dir=folder) as name:
        incoming = Path(name)
        found: list[Path] = []
        for number, file in enumerate(files):
            place = incoming / str(number)
            place.mkdir()
            if file.suffix.lower() == ".zip":
                found += _unpack(file, place)
            elif file.suffix.lower() in AUDIO_SUFFIXES:
                found.append(Path(shutil.move(file, place / file.name)))
            else:
                raise UserError("not_recordings", file=file.name)
        return [path.replace(_free_name(folder / path.name)) for path in found]


def _unpack(file: Path, folder: Path) -> list[Path]:
    """Unpack the recordings of a zip under their bare names, so that no path leads anywhere."""
    with opened_zip(file) as archive:
        items = [item for item in archive.infolist() if _is_recording(item)]
        if not items:
            raise ZipError("empty_zip", file=file.name)
        check_entries(file, items, MOST_FILES, MOST_BYTES)
        return [_unpack_one(archive, item, folder) for item in items]


def _is_recording(item: zipfile.ZipInfo) -> bool:
    path = _path_of(item)
    is_hidden = path.name.startswith(".") or "__MACOSX" in path.parts
    return not item.is_dir() and not is_hidden and path.suffix.lower() in AUDIO_SUFFIXES


def _path_of(item: zipfile.ZipInfo) -> PurePosixPath:
    return PurePosixPath(item.filename.replace("\\", "/"))  # some programs write Windows' own


def _unpack_one(archive: zipfile.ZipFile, item: zipfile.ZipInfo, folder: Path) -> Path:
    """Write one entry under its bare name, or a plain one."""
    path = _path_of(item)
    try:
        name = plain_name(path.name)
    except ValueError:
        name = f"recording{path.suffix.lower()}"
    target = _free_name(folder / name)
    unpack_entry(archive, item, target)
    return target


def _free_name(path: Path) -> Path:
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_stem(f"{path.stem}_{number}")
    return free
