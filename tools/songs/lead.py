"""The lead: what the vocals sing in their middle, converted and put back into its place."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from infer.audio.meter import ABSOLUTE_GATE, HOPS_PER_SECOND, Meter, db_to_gain, decibels
from infer.audio.reader import AudioReader
from infer.f0 import SAMPLE_RATE, F0Method

LISTENED_SECONDS = 10.0  # at a time
LISTENED_PARTS = 6  # the loudest ones of the song tell where its melody lies

# phrases
SUNG_BELOW_DB = 25.0  # below the vocals' loudness nobody sings
SHORT_GAP = 4  # tenths of a second that a singer may breathe within a phrase
PHRASE_RANGE_DB = 12.0  # by which a phrase is changed at most


def loudest_f0(vocals: Path, f0_method: F0Method) -> np.ndarray:
    """f0 in Hz, (T,), of the loudest parts of the vocals' middle, 0 where unvoiced."""
    parts: list[tuple[float, int, np.ndarray]] = []
    with AudioReader(vocals, SAMPLE_RATE) as reader:
        for number, block in enumerate(reader.blocks(LISTENED_SECONDS)):
            heapq.heappush(parts, (float(np.square(block).sum()), number, block))
            if len(parts) > LISTENED_PARTS:
                heapq.heappop(parts)
    return np.concatenate([f0_method(block) for _, _, block in parts])


def phrase_gains(wanted: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Gain in dB for each tenth of a second that makes every phrase as loud as it was.

    wanted, found: (T,) weighted powers of the vocals and of what was made of them. Between phrases
    the gain goes from one to the next in a straight line.
    """
    length = min(len(wanted), len(found))
    gains = np.zeros(len(found))
    phrases = list(_phrases(wanted[:length]))
    if not phrases:
        return gains
    places, values = [], []
    for first, last in phrases:
        change = decibels(wanted[first:last].mean()) - decibels(found[first:last].mean())
        values += 2 * [float(np.clip(change, -PHRASE_RANGE_DB, PHRASE_RANGE_DB))]
        places += [first, last - 1]
    return np.interp(np.arange(len(gains)), places, values)


def _phrases(powers: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield (first, last + 1) tenth of a second of each phrase."""
    loud = powers[decibels(powers) > ABSOLUTE_GATE]
    if not len(loud):
        return
    is_sung = decibels(powers) > decibels(loud.mean()) - SUNG_BELOW_DB
    edges = np.flatnonzero(np.diff(np.concatenate([[0], is_sung.astype(np.int8), [0]])))
    starts, ends = edges[::2], edges[1::2]
    first = None
    for index, start in enumerate(starts):
        first = start if first is None else first
        if index + 1 == len(starts) or starts[index + 1] - ends[index] > SHORT_GAP:
            yield int(first), int(ends[index])
            first = None


def measure(path: Path, sample_rate: int, on_progress: Callable[[float], None]) -> np.ndarray:
    """(T,) weighted powers of a file's middle, one for each tenth of a second."""
    meter, done = Meter(sample_rate), 0.0
    with AudioReader(path, sample_rate) as reader:
        for block in reader.blocks():
            meter.push(block)
            done += len(block) / sample_rate
            if reader.seconds:
                on_progress(done / reader.seconds)
    return meter.powers()


class Gains:
    """Apply gains that are known for each tenth of a second to a stream."""

    def __init__(self, sample_rate: int, gains_db: np.ndarray) -> None:
        self._hop = sample_rate // HOPS_PER_SECOND
        self._db = gains_db if len(gains_db) else np.zeros(1)
        self._position = 0

    def push(self, audio: np.ndarray) -> np.ndarray:
        """Take the next block (n,) and return it, changed."""
        samples = np.arange(self._position, self._position + len(audio))
        self._position += len(audio)
        places = samples / self._hop - 0.5  # a gain is that of the middle of its tenth
        db = np.interp(places, np.arange(len(self._db)), self._db)
        return (audio * db_to_gain(db)).astype(np.float32)
