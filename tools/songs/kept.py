"""What covers keep in results/: how much room it takes, and a limit for it.

These are the stages of songs, and the recordings that the page's covers are made of.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import config

STAGE = re.compile(
    r"(separate|backing|dereverb|denoise|listen|convert|transpose|voice)-[0-9a-f]{12}"
)  # a folder in the folder of a song, see tools.songs.stages
COVERS = ".covers"  # in results/: a folder for each cover of the page, see tools.jobs.covers
RECORDINGS, SUMS = "recordings", "sums"  # in such a folder; sums: of stems, that browsers play
RECENT_SECONDS = 3600.0  # another cover may be at work on it


def stage_folders() -> Iterator[Path]:
    """Yield the folder of every stage that is kept, and those of every cover's recordings."""
    for folder in config.RESULTS.glob("*/*-*/"):
        if STAGE.fullmatch(folder.name):
            yield folder
    for name in (RECORDINGS, SUMS):
        yield from config.RESULTS.glob(f"{COVERS}/**/{name}/")  # in the trash, too


def size_of(folders: Iterable[Path]) -> int:
    """Bytes that folders hold."""
    total = 0
    for folder in folders:
        with suppress(FileNotFoundError):  # it goes at this moment
            total += sum(path.stat().st_size for path in folder.iterdir())
    return total


def forget_oldest(limit_gb: float, needed: Iterable[Path]) -> int:
    """Delete the folders not used for longest until all fit a limit; returns the bytes that remain.

    needed: folders that stay, as do those used within an hour.
    """
    stay = {folder.resolve() for folder in needed}
    sizes = {folder: size_of([folder]) for folder in stage_folders()}
    used = {folder: folder.stat().st_mtime for folder in sizes if folder.exists()}
    total = sum(sizes.values())
    for folder in sorted(used, key=lambda folder: used[folder]):
        if total <= limit_gb * 1e9 or time.time() - used[folder] < RECENT_SECONDS:
            break
        if folder.resolve() not in stay:
            shutil.rmtree(folder, ignore_errors=True)
            total -= sizes[folder]
            with suppress(OSError):  # the last stage of its song
                folder.parent.rmdir()
    return total
