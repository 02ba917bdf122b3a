"""Rendered chunks of a long recording, kept on disk: a conversion that was killed goes on there."""

from __future__ import annotations

import hashlib
import logging
import struct
import time
import zlib
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

import config
from infer.chunking import Chunk
from infer.options import ConvertOptions
from infer.threads import most_threads

FOLDER = config.RESULTS / ".unfinished"
SUFFIX = ".chunks"
FORMAT = 1  # changes with what the same settings give
LEAST_CHUNKS = 4  # a recording of fewer is converted anew
DAYS, FILES = 7, 4  # older ones, and all but the newest, are removed
RECORD = struct.Struct("<IqqqI")  # check sum; number, start and length of the chunk; samples
PLAYS_NO_PART = ("output", "report", "format", "resample_rate", "rms_mix_rate")

logger = logging.getLogger(__name__)


class KeptChunks:
    """What was rendered of a recording, by number and place of the chunk; one file."""

    def __init__(self, path: Path) -> None:
        """Find what is kept in a file; a record that was not finished is cut off."""
        self.path = path
        self._places: dict[tuple[int, int, int], tuple[int, int]] = {}  # offset, samples
        self._is_writable = True
        with suppress(OSError):
            self._read()

    def get(self, chunk: Chunk, number: int) -> np.ndarray | None:
        """Return what was rendered of the chunk, (M,) float32, None if it was not yet."""
        found = self._places.get((number, *chunk.place))
        if found is None:
            return None
        offset, samples = found
        with self.path.open("rb") as file:
            file.seek(offset)
            return np.frombuffer(file.read(4 * samples), np.float32).copy()

    def add(self, chunk: Chunk, number: int, wav: np.ndarray) -> None:
        """Keep what was rendered; where the disk does not take it, no more is kept."""
        if not self._is_writable:
            return
        samples = np.ascontiguousarray(wav, np.float32).tobytes()
        place = struct.pack("<qqqI", number, *chunk.place, len(wav))
        record = struct.pack("<I", zlib.crc32(place + samples)) + place + samples
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.write(record)
        except OSError as error:
            logger.warning("%s: chunks are not kept (%s)", self.path, error.strerror)
            self._is_writable = False

    def remove(self) -> None:
        """Forget all; the recording is converted."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)

    def _read(self) -> None:
        end = 0
        with self.path.open("rb") as file:
            while len(head := file.read(RECORD.size)) == RECORD.size:
                check, number, start, length, samples = RECORD.unpack(head)
                wav = file.read(4 * samples)
                if len(wav) < 4 * samples or zlib.crc32(head[4:] + wav) != check:
                    break
                self._places[number, start, length] = (end + RECORD.size, samples)
                end += RECORD.size + len(wav)
        if self._places:
            logger.info("%s: goes on after %d chunks", self.path, len(self._places))
        with self.path.open("r+b") as file:
            file.truncate(end)


def kept_chunks(options: ConvertOptions, index: Path | None, *others: object) -> KeptChunks:
    """Open what is kept for the same contents of files, the same settings and the same machine.

    others: what else decides the samples. Files of conversions that nobody took up are removed.
    """
    asked = {name: value for name, value in asdict(options).items() if name not in PLAYS_NO_PART}
    files = {"voice": options.voice, "input": options.input, "f0_file": options.f0_file}
    for name, path in {**files, "index": index}.items():
        asked[name] = path and _digest(path)
    key = repr((FORMAT, sorted(asked.items()), torch.__version__, most_threads(), others))
    path = FOLDER / (hashlib.sha256(key.encode()).hexdigest()[:32] + SUFFIX)
    with suppress(OSError):
        _clear(path)
    return KeptChunks(path)


def _clear(wanted: Path) -> None:
    written = {path: path.stat().st_mtime for path in FOLDER.glob("*" + SUFFIX) if path != wanted}
    newest = sorted(written, key=written.__getitem__, reverse=True)
    oldest = time.time() - DAYS * 24 * 3600
    for number, path in enumerate(newest, start=1):
        if number >= FILES or written[path] < oldest:
            path.unlink()


def _digest(path: Path) -> str:
    made = hashlib.blake2b()
    with path.open("rb") as file:
        while block := file.read(2**20):
            made.update(block)
    return made.hexdigest()
