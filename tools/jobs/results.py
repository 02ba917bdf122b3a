"""Where converted recordings go: results/, never over an older one."""

from __future__ import annotations

import secrets
import time
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import config
from config import RESULTS
from tools.songs import kept

# hidden folders, each with the jobs of one kind
BATCHES, COVERS, CHECKS = RESULTS / ".batches", RESULTS / kept.COVERS, RESULTS / ".checks"


def new_result(source: Path, voice: Path, format: str) -> Path:
    """Return the path of a new file named after recording, voice and moment."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    return _unused(RESULTS / f"{source.stem[:60]}_{voice.stem}_{_moment()}.{format}")


def new_folder(voice: Path) -> Path:
    """Make a new folder for many results."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    folder = _unused(RESULTS / f"{voice.stem}_{_moment()}")
    folder.mkdir()
    return folder


def unused_name(folder: Path, stem: str, format: str) -> Path:
    """Return the path of a file that the folder does not have yet."""
    return _unused(folder / f"{stem[:100]}.{format}")


def result_paths(
    root: Path, sources: Iterable[Path], output: Path, suffix_of: Callable[[Path], str]
) -> list[tuple[Path, Path]]:
    """Return each source with its result: same folders and names, other suffixes; all different."""
    targets: dict[Path, Path] = {}
    for source in sources:
        suffix = suffix_of(source)
        target = output / source.relative_to(root).with_suffix(suffix)
        if target in targets:  # a.wav beside a.mp3
            target = target.with_name(f"{source.name}{suffix}")
        targets[target] = source
    return [(source, target) for target, source in targets.items()]


def zip_files(files: Iterable[Path], target: Path) -> Path:
    """Put files side by side into one zip, uncompressed: audio hardly gets smaller."""
    with config.replacing(target) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for file in files:
            archive.write(file, file.name)
    return target


def _moment() -> str:
    """Time, and a few letters: in one second several users, or pages, may convert the same."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


def _unused(path: Path) -> Path:
    candidate, number = path, 1
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.stem}_{number}{path.suffix}")
    return candidate
