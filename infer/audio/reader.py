"""Audio files read block by block, in constant memory."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from errors import AudioError
from infer.audio.isolated import open_recording
from infer.audio.resampling import Resampler

logger = logging.getLogger(__name__)

DECIDE_SECONDS = 5.0  # sound by which it is decided how a file's channels become one
CANCELLED = 1e-3  # the mean has less of the louder channel's power: the channels cancel each other
LOUDEST = 1e9  # full scale is 1; beyond this a sample is a number only by name
SILENCE = 1e-4  # what never exceeds this (-80 dB) is no sound
MIN_SECONDS = 0.1  # shorter recordings hold no speech


def load(
    path: Path | str, sample_rate: int | None = None, min_seconds: float = 0.0
) -> tuple[np.ndarray, int]:
    """Read a whole file as mono.

    sample_rate: Hz wanted, None for the file's own. Returns (N,) float32 and the rate in Hz.
    Raises AudioError.
    """
    with AudioReader(path, sample_rate, min_seconds) as reader:
        return np.concatenate(list(reader.blocks())), reader.sample_rate


class AudioReader:
    """Read any audio or video file block by block as float32 at one sample rate.

    channels: 1 mixes a file's channels to one, 2 gives left and right (equal for a mono file).
    Time stamps place the sound: what is missing is silence. seconds is the length that the file
    states (an estimate for raw mp3 and aac streams, None if it states none); peak is the largest
    magnitude among the samples read so far.
    Opening and reading raise AudioError: missing, a folder, empty, not audio, no audio stream,
    NaN or infinite samples, nothing to decode, or shorter than min_seconds in all.
    """

    def __init__(
        self,
        path: Path | str,
        sample_rate: int | None = None,
        min_seconds: float = 0.0,
        channels: int = 1,
    ) -> None:
        self.path = Path(path)
        self.min_seconds = min_seconds
        self.channels = channels
        self.peak = 0.0
        self._source = open_recording(self.path)
        self.sample_rate: int = sample_rate or self._source.sample_rate
        self.seconds: float | None = self._source.seconds

    def __enter__(self) -> AudioReader:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._source.close()

    def blocks(self, seconds: float = 10.0) -> Iterator[np.ndarray]:
        """Yield float32 blocks of one length (the last is shorter): (n,), or (n, 2) in stereo."""
        size = max(1, round(seconds * self.sample_rate))
        parts: list[np.ndarray] = []
        total = held = 0
        for part in self._resampled():
            parts.append(part)
            total += len(part)
            held += len(part)
            if held >= size:
                pending = np.concatenate(parts)
                whole = held - held % size
                for start in range(0, whole, size):
                    yield pending[start : start + size]
                parts, held = [pending[whole:].copy()], held - whole
        if total == 0:
            raise AudioError("no_sound", file=self.path)
        if total < self.min_seconds * self.sample_rate:
            found = total / self.sample_rate
            raise AudioError("short", file=self.path, found=found, needed=self.min_seconds)
        if held:
            yield np.concatenate(parts)

    def _resampled(self) -> Iterator[np.ndarray]:
        resampler: Resampler | None = None
        seconds = 0.0
        for mixed, rate in self._mixed():
            is_number = (np.abs(mixed) < LOUDEST).reshape(len(mixed), -1).all(axis=1)
            if not is_number.all():
                seconds += int(np.argmin(is_number)) / rate
                raise AudioError("not_numbers", file=self.path, seconds=seconds)
            self.peak = max(self.peak, float(np.abs(mixed).max(initial=0.0)))
            seconds += len(mixed) / rate
            if resampler is None or resampler.source_rate != rate:
                if resampler is not None:
                    yield resampler.flush()
                resampler = Resampler(rate, self.sample_rate, self.channels)
            yield resampler.push(mixed)
        if resampler is not None:
            yield resampler.flush()

    def _mixed(self) -> Iterator[tuple[np.ndarray, int]]:
        """Yield (n,) mono or (n, 2) blocks with their rates."""
        if self.channels == 2:
            for stored, rate in self._source.blocks():
                yield _to_stereo(stored), rate
            return
        mixer = _Mixer(self.path)
        for stored, rate in self._source.blocks():
            yield from mixer.push(stored, rate)
        yield from mixer.flush()


class _Mixer:
    """Mixes channels to one: their mean, or the louder one where they cancel each other."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: list[tuple[np.ndarray, int]] = []  # until it is decided
        self._seconds_read = 0.0  # seconds of sound
        self._powers: np.ndarray | None = None  # of the channels
        self._mean_power = 0.0
        self._is_decided = False
        self._channel: int | None = None  # the louder one

    def push(self, stored: np.ndarray, rate: int) -> Iterator[tuple[np.ndarray, int]]:
        """Take (n, C), yield what is ready as (n,)."""
        if self._is_decided or stored.shape[1] == 1:
            yield self._mix(stored), rate
            return
        if not self._held and np.abs(stored).max(initial=0.0) < SILENCE:
            yield self._mix(stored), rate
            return
        powers = np.square(stored, dtype=np.float64).sum(axis=0)
        if self._powers is None or len(self._powers) != len(powers):
            self._powers, self._mean_power = np.zeros(len(powers)), 0.0
        self._powers += powers
        self._mean_power += float(np.square(stored.mean(axis=1), dtype=np.float64).sum())
        self._held.append((stored, rate))
        self._seconds_read += len(stored) / rate
        if self._seconds_read >= DECIDE_SECONDS:
            yield from self.flush()

    def flush(self) -> Iterator[tuple[np.ndarray, int]]:
        """Decide, and yield what was held."""
        powers = self._powers
        if not self._is_decided and powers is not None:
            self._is_decided = True
            if self._mean_power < CANCELLED * powers.max():
                self._channel = int(np.argmax(powers))
                logger.warning(
                    "%s: its channels cancel each other; channel %d, the louder one, is used",
                    self._path, self._channel + 1,
                )  # fmt: skip
        for stored, rate in self._held:
            yield self._mix(stored), rate
        self._held = []

    def _mix(self, stored: np.ndarray) -> np.ndarray:
        if self._channel is not None and self._channel < stored.shape[1]:
            return stored[:, self._channel]
        return stored.mean(axis=1, dtype=np.float32)


def _to_stereo(stored: np.ndarray) -> np.ndarray:
    """(n, C) of a file -> (n, 2); what has not two channels becomes one, twice."""
    if stored.shape[1] == 2:
        return stored
    return np.repeat(stored.mean(axis=1, dtype=np.float32)[:, None], 2, axis=1)
