"""What is made on the way to a cover, each stage in a folder of its own: kept, heard, made once.

A stage's folder is named after what it does and a hash of what it is made of, so a stage that is
asked for again with the same files and settings is there already. It appears when it is complete.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

import config
from errors import AudioError, os_reason
from infer.audio.reader import AudioReader
from tools.machine.assets import sha256_of
from tools.machine.fetch import read_blocks

FORMAT = 2  # of the stages: raised when one of them gives something else for the same settings
HASH_LETTERS = 12
BLOCK_SECONDS = 10.0

OnStage = Callable[[str, float], None]  # takes a stage's name and its share that is done


@dataclass(frozen=True)
class Sound:
    """A file, and the key of what it holds: the same content or making, the same key."""

    path: Path
    key: str


class Stages:
    """The folder of one song."""

    def __init__(self, folder: Path, on_stage: OnStage | None = None) -> None:
        self.folder = folder
        self._on_stage = on_stage
        self.made: list[str] = []  # names of the stages that had to be made
        self.used: list[Path] = []  # folders of all

    def make(
        self,
        name: str,
        sources: Iterable[Sound],
        settings: dict[str, Any],
        files: Iterable[str],
        work: Callable[[Path, Callable[[float], None]], object],
    ) -> list[Sound]:
        """Return a stage's files, made by work(folder, on_progress) if they are not there."""
        inputs = {"format": FORMAT, "sources": [each.key for each in sources], **settings}
        key = _hash(name, json.dumps(inputs, sort_keys=True, default=str).encode())
        folder = self.folder / f"{name}-{key}"
        if not folder.is_dir():
            self._make(name, folder, work)
        else:
            os.utime(folder)  # those not used for longest are the first to go
            if self._on_stage:
                self._on_stage(name, 1.0)
        self.used.append(folder)
        return [Sound(folder / file, f"{key}/{file}") for file in files]

    def _make(
        self, name: str, folder: Path, work: Callable[[Path, Callable[[float], None]], object]
    ) -> None:
        def on_progress(share: float) -> None:
            if self._on_stage:
                self._on_stage(name, min(1.0, share))

        unfinished = folder.with_name(f".{folder.name}{config.UNFINISHED}")
        shutil.rmtree(unfinished, ignore_errors=True)  # of a process that was killed
        unfinished.mkdir(parents=True)
        try:
            on_progress(0.0)
            work(unfinished, on_progress)
            unfinished.replace(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        on_progress(1.0)
        self.made.append(name)


def song_folder(song: Path, key: str) -> Path:
    """The folder in results/ of a song: by its name, and by what it holds."""
    name = re.sub(r"[^\w .()-]+", "_", song.stem).strip(" .")[:60] or "song"
    return config.RESULTS / f"{name}-{key[:8]}"


def open_sound(path: Path) -> Sound:
    """A file that the user gave. Raises AudioError."""
    try:
        return Sound(path, sha256_of(read_blocks(path))[:HASH_LETTERS])
    except FileNotFoundError as error:
        raise AudioError("no_file", file=path) from error
    except IsADirectoryError as error:
        raise AudioError("folder", file=path) from error
    except OSError as error:
        raise AudioError("opened", file=path, reason=os_reason(error)) from error


def stereo_blocks(path: Path, sample_rate: int) -> Iterator[np.ndarray]:
    """Yield (n, 2) float32 blocks of BLOCK_SECONDS, the last shorter. Raises AudioError."""
    with AudioReader(path, sample_rate, channels=2) as reader:
        yield from reader.blocks(BLOCK_SECONDS)


def together(*streams: Iterator[np.ndarray]) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield blocks of equal length of several streams; those that end early go on with silence."""
    while True:
        blocks = [next(stream, None) for stream in streams]
        longest = max((len(block) for block in blocks if block is not None), default=0)
        if not longest:
            return
        yield tuple(
            np.zeros((longest, 2), np.float32) if block is None
            else np.pad(block, ((0, longest - len(block)), (0, 0)))
            for block in blocks
        )  # fmt: skip


@contextmanager
def float_wav(path: Path, sample_rate: int, channels: int = 2) -> Iterator[soundfile.SoundFile]:
    """Open a wav of floats: stems go beyond -1..1, and nothing may be cut off between stages."""
    try:
        with soundfile.SoundFile(
            str(path), "w", sample_rate, channels, "FLOAT", format="WAV"
        ) as file:
            yield file
    except OSError as error:
        raise AudioError("written", file=path, reason=os_reason(error)) from error


def _hash(name: str, content: bytes) -> str:
    return hashlib.sha256(name.encode() + b"\0" + content).hexdigest()[:HASH_LETTERS]
