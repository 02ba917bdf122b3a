"""Takes recordings and zips of recordings into a dataset folder, with care."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from errors import UserError
from tools.unzip import ZipError, unpack_zip
from train.experiment import plain_name
from train.recordings import AUDIO_SUFFIXES, USUAL_SUFFIX, is_recording

SET_ASIDE = ".set-aside"  # beside the datasets
MOST_FILES = 10_000  # in a zip
MOST_BYTES = 16 * 2**30  # of a zip, unpacked


@dataclass(frozen=True)
class Taken:
    """Recordings where they are now, and what was refused."""

    paths: list[Path]
    problems: list[UserError]


def take_recordings(files: Iterable[Path], folder: Path) -> Taken:
    """Move recordings, and those inside zips, into a folder; nothing there is overwritten.

    What is refused does not stop the rest; UserError where there is nothing else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    taken = Taken([], [])
    with tempfile.TemporaryDirectory(prefix=".incoming-", dir=folder) as name:
        found: list[tuple[str, Path]] = []
        for number, file in enumerate(files):
            place = Path(name) / str(number)
            place.mkdir()
            if file.suffix.lower() == ".zip":
                found += _unpack(file, place, taken.problems)
            elif is_recording(file):
                found.append((file.name, Path(shutil.move(file, place / file.name))))
            else:
                taken.problems.append(UserError("not_recordings", file=file.name))
        if taken.problems and not found:
            raise taken.problems[0]
        for name, path in found:
            taken.paths.append(path.replace(_free_name(folder / _plain(name))))
    return taken


def set_aside(folder: Path, names: Iterable[str]) -> list[Path]:
    """Move recordings of a dataset to where no training finds them; returns where they are."""
    moved = []
    for name in names:
        source = folder / name
        if source.is_file() and source.resolve().is_relative_to(folder.resolve()):
            target = _aside(folder) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            moved.append(source.rename(_free_name(target)))
    return moved


def are_aside(folder: Path) -> list[Path]:
    """The recordings of a dataset that were set aside."""
    return [path for path in sorted(_aside(folder).rglob("*")) if path.is_file()]


def bring_back(folder: Path) -> list[Path]:
    """Move what was set aside back into the dataset; returns where it is."""
    moved = []
    for path in are_aside(folder):
        target = _free_name(folder / path.relative_to(_aside(folder)))
        target.parent.mkdir(parents=True, exist_ok=True)
        moved.append(path.rename(target))
    return moved


def _aside(folder: Path) -> Path:
    return folder.parent / SET_ASIDE / folder.name


def _unpack(file: Path, folder: Path, problems: list[UserError]) -> list[tuple[str, Path]]:
    """Unpack the recordings of a zip; returns each with its bare name."""
    try:
        unpacked = unpack_zip(file, folder, _may_be_recording, MOST_FILES, MOST_BYTES)
    except ZipError as error:
        problems.append(error)
        return []
    problems += unpacked.problems
    found = [(name, path) for name, path in unpacked.files if is_recording(path)]
    if not found and not unpacked.problems:
        problems.append(ZipError("empty_zip", file=file.name))
    return found


def _may_be_recording(name: str) -> bool:
    suffix = Path(name).suffix
    return suffix.lower() in AUDIO_SUFFIXES or not USUAL_SUFFIX.fullmatch(suffix)


def _plain(name: str) -> str:
    """A name as it is, or a plain one where it cannot be one here."""
    try:
        return plain_name(name)
    except UserError:
        return f"recording{Path(name).suffix.lower()}"


def _free_name(path: Path) -> Path:
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_stem(f"{path.stem}_{number}")
    return free
