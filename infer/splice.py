"""A part of an earlier result made again: put into its place, all around it as it was."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile

from errors import UserError
from infer.audio.reader import AudioReader
from infer.audio.resampling import Resampler
from infer.audio.sources import sound_name

FADE_SECONDS = 0.02  # at both ends, inside the part
TOLERANCE_SECONDS = 0.1  # by which the earlier result may be shorter or longer than its recording


class Earlier:
    """An earlier result of the same recording, and the part of it that is made again."""

    def __init__(self, path: Path, part: tuple[float, float]) -> None:
        """part: its first and its last second. UserError, AudioError."""
        with AudioReader(path) as reader:
            self.sample_rate = reader.sample_rate
        try:
            info = soundfile.info(sound_name(path))
        except soundfile.SoundFileError:
            info = None
        if info is None or (info.channels, info.subtype) != (1, "PCM_16"):
            raise UserError("not_exact", file=path)
        self._path, self._part, self._seconds = path, part, info.duration
        if part[0] >= info.duration:
            raise UserError("part_outside", file=path, first=part[0], seconds=info.duration)

    def splice(self, made: Iterable[np.ndarray], sample_rate: int) -> Iterator[np.ndarray]:
        """Yield the earlier result, its part from `made`: all of it (n,) at sample_rate.

        UserError: the two are not of one length.
        """
        ready = _at_rate(made, sample_rate, self.sample_rate)
        held, position = np.zeros(0, np.float32), 0
        with AudioReader(self._path) as reader:
            for block in reader.blocks():
                while len(held) < len(block) and (more := next(ready, None)) is not None:
                    held = np.concatenate([held, more])
                missing = len(block) - len(held)
                self._check(missing)
                held = np.pad(held, (0, max(0, missing)))
                yield self._mix(block, held[: len(block)], position)
                held, position = held[len(block) :], position + len(block)
        self._check(len(held) + sum(map(len, ready)))

    def _check(self, excess: int) -> None:
        if excess > TOLERANCE_SECONDS * self.sample_rate:
            raise UserError("part_length", file=self._path, seconds=self._seconds)

    def _mix(self, before: np.ndarray, made: np.ndarray, position: int) -> np.ndarray:
        first, last = (round(second * self.sample_rate) for second in self._part)
        start, stop = max(first, position), min(last, position + len(before))
        if start >= stop:
            return before
        places = np.arange(start, stop)
        fade = min(FADE_SECONDS * self.sample_rate, (last - first) / 2)
        share = np.clip(np.minimum(places - first, last - places) / fade, 0, 1).astype(np.float32)
        inside = slice(start - position, stop - position)
        mixed = before.copy()
        # Not before + share * (made - before), which rounds: the part must be `made`, bit by bit.
        mixed[inside] = (1 - share) * before[inside] + share * made[inside]
        return mixed


def _at_rate(made: Iterable[np.ndarray], rate: int, wanted: int) -> Iterator[np.ndarray]:
    resampler = Resampler(rate, wanted)
    for audio in made:
        yield resampler.push(audio)
    yield resampler.flush()
