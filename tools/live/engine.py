"""Keeps a live stream in time: late sound is skipped, never queued, and load is watched."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from infer.audio.resampling import QuickResampler
from infer.f0 import SAMPLE_RATE

BACKLOG_BLOCKS = 2  # blocks that may wait before the oldest sound is skipped
BACKLOG_SECONDS = 0.3  # the same for short blocks: a system's scheduler may pause us as long
LOADS = 50  # blocks over which load is told
OVERLOAD = 0.92  # share of real time; beyond it a longer block is tried
OVERLOAD_BLOCKS = 12  # in a row before that


class Converter(Protocol):
    """What converts a stream, see infer.streaming.StreamConverter."""

    sample_rate: int
    spare: np.ndarray

    def push(self, audio: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class Part:
    """Converted sound; seconds: the moment of the input that its first sample is of.

    spare: what may be played after it while the next part is late.
    """

    seconds: float
    audio: np.ndarray
    spare: np.ndarray


@dataclass(frozen=True)
class Report:
    """load: of the last blocks, median and 95th percentile, as shares of real time.

    skipped: seconds of input that came too late to be converted. overloads: how often a longer
    block would have been better.
    """

    load: float
    load_p95: float
    skipped: float
    is_overloaded: bool


class Engine:
    """Feeds a converter block by block and forgets what has waited too long."""

    def __init__(
        self,
        converter: Converter,
        block: int,
        delay_seconds: float,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """block: samples at 16 kHz converted at once. delay_seconds: the converter's look-ahead."""
        self.converter, self.block = converter, block
        self._delay, self._clock = delay_seconds, clock
        self._waiting: deque[np.ndarray] = deque()
        self._length = 0  # samples that wait
        self._next = 0.0  # time of the first sample that waits
        self._loads: deque[float] = deque(maxlen=LOADS)
        self._slow = 0
        self.skipped = 0.0
        self.is_bypassed = False
        self._bypass = QuickResampler(SAMPLE_RATE, converter.sample_rate)

    def take_over(self, before: Engine) -> None:
        """Go on with the sound that waits in another engine, and with its account."""
        self._waiting, self._length, self._next = before._waiting, before._length, before._next
        self.skipped, self.is_bypassed = before.skipped, before.is_bypassed
        self._bypass = before._bypass

    def feed(self, audio: np.ndarray, seconds: float) -> None:
        """Take (n,) float32 at 16 kHz, spoken at that time of the stream."""
        self._next = seconds - self._length / SAMPLE_RATE  # also where sound was lost on its way
        self._waiting.append(audio)
        self._length += len(audio)
        most = max(BACKLOG_BLOCKS * self.block, round(BACKLOG_SECONDS * SAMPLE_RATE)) + self.block
        if self._length > most:
            self._skip(self._length - self.block)

    @property
    def is_ready(self) -> bool:
        """Whether a whole block waits."""
        return self._length >= self.block

    def convert(self) -> Part:
        """Convert the next block."""
        seconds = self._next
        audio = self._take(self.block)
        started = self._clock()
        converted = self.converter.push(audio)
        share = (self._clock() - started) / (self.block / SAMPLE_RATE)
        self._loads.append(share)
        self._slow = self._slow + 1 if share > OVERLOAD else 0
        if self.is_bypassed:
            return Part(seconds, self._bypass.push(audio), converted[:0])
        return Part(seconds - self._delay, converted, self.converter.spare)

    def report(self) -> Report:
        """Say how the stream keeps up."""
        loads = np.array(self._loads or [0.0])
        return Report(
            float(np.median(loads)),
            float(np.percentile(loads, 95)),
            self.skipped,
            self._slow >= OVERLOAD_BLOCKS,
        )

    def _skip(self, count: int) -> None:
        self._take(count)
        self.skipped += count / SAMPLE_RATE

    def _take(self, count: int) -> np.ndarray:
        parts: list[np.ndarray] = []
        while count:
            first = self._waiting.popleft()
            if len(first) > count:
                self._waiting.appendleft(first[count:])
                first = first[:count]
            parts.append(first)
            count -= len(first)
        taken = np.concatenate(parts)
        self._length -= len(taken)
        self._next += len(taken) / SAMPLE_RATE
        return taken
