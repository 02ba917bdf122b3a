"""Cut long audio into chunks at quiet places, and join what was rendered from them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from config import ChunkSizes
from infer.audio.filters import high_pass
from infer.f0 import SAMPLE_RATE

GRID_RATE = 50  # every core begins on a content frame
CUT_RATE = 100  # where RVC cuts, on a frame of f0
RENDER_TOLERANCE_SECONDS = 0.1


@dataclass(frozen=True, eq=False)
class Chunk:
    """A piece of the stream: a core, and real audio before and after it where there is any.

    audio (N,) float32; start = index of the core's first sample in the stream; left and
    right = samples of context around the core. Only the last chunk of a stream has right == 0.
    start, left and the length of every core but the last are multiples of 1/50 s, or of 1/100 s
    where RVC cuts.
    """

    audio: np.ndarray
    start: int
    left: int
    right: int

    @property
    def core(self) -> np.ndarray:
        """The samples that belong to this chunk alone; all cores together are the stream."""
        return self.audio[self.left : len(self.audio) - self.right]

    @property
    def place(self) -> tuple[int, int]:
        """Where in the stream it lies, with its contexts: no other chunk is there."""
        return self.start - self.left, len(self.audio)


class Cutter(ABC):
    """Iterates over the chunks of a stream of (n,) float32 blocks; holds one chunk and one block.

    The chunks do not depend on the lengths of the blocks; an empty stream has none. The last ones
    can be taken back, and cut shorter.
    """

    def __init__(self, blocks: Iterable[np.ndarray], sample_rate: int, sizes: ChunkSizes) -> None:
        self.sizes = sizes
        self.sample_rate = sample_rate
        self._blocks = iter(blocks)
        self._has_ended = False
        self._held = np.zeros(0, np.float32)  # from `left` samples before the next core on
        self._start = self._left = 0

    def __iter__(self) -> Iterator[Chunk]:
        return self

    def __next__(self) -> Chunk:
        self._read()
        context = self._samples(self.sizes.x_pad)
        end = None if self._is_whole() else self._cut()
        if end is None:
            if len(self._held) == self._left:
                raise StopIteration
            end, kept = self._known, 0
        else:
            kept = min(context, end - self._origin)
        index = end - self._origin
        right = min(context, len(self._held) - index)
        chunk = Chunk(self._held[: index + right].copy(), self._start, self._left, right)
        self._held = self._held[index - kept :].copy()
        self._start, self._left = end, kept
        return chunk

    def take_back(self, chunk: Chunk) -> None:
        """Have the last chunk come again; it must be the last one that is out."""
        gone = self._origin - (chunk.start - chunk.left)
        self._held = np.concatenate([chunk.audio[:gone], self._held])
        self._start, self._left = chunk.start, chunk.left

    def halve(self, chunk: Chunk) -> None:
        """Take the last chunk back; it and all others are cut shorter from now on.

        ValueError: they would be too short to make sense.
        """
        sizes = self.sizes.halved()
        while self._samples(sizes.x_center) >= len(chunk.core):
            sizes = sizes.halved()
        self.take_back(chunk)
        self.sizes = sizes

    @property
    def _origin(self) -> int:
        """Where in the stream what is held begins."""
        return self._start - self._left

    @property
    def _known(self) -> int:
        """How much of the stream is known."""
        return self._origin + len(self._held)

    def _samples(self, seconds: float) -> int:
        return round(seconds * self.sample_rate)

    def _is_whole(self) -> bool:
        """Whether the stream is so short that it is left in one piece."""
        limit = self._samples(self.sizes.x_max)
        return self._has_ended and self._known + self.sample_rate // CUT_RATE <= limit

    def _read(self) -> None:
        """Hold what the next cut is chosen from, or all that there is."""
        wanted = max(self._wanted(), self._samples(self.sizes.x_max))
        parts, known = [self._held], self._known
        while known < wanted and not self._has_ended:
            block = next(self._blocks, None)
            if block is None:
                self._has_ended = True
            else:
                parts.append(block)
                known += len(block)
        self._held = np.concatenate(parts)

    @abstractmethod
    def _wanted(self) -> int:
        """How much of the stream must be known to choose where the next core ends."""

    @abstractmethod
    def _cut(self) -> int | None:
        """Where in the stream the next core ends; None: it is the last one."""


class QuietestCutter(Cutter):
    """Cores last at most x_center and end at the quietest 20 ms among their last x_query."""

    def _samples(self, seconds: float) -> int:
        return round(seconds * GRID_RATE) * (self.sample_rate // GRID_RATE)

    def _wanted(self) -> int:
        return (
            self._start + self._samples(self.sizes.x_center) + self._samples(self.sizes.x_pad) + 1
        )

    def _cut(self) -> int | None:
        limit = self._left + self._samples(self.sizes.x_center)
        if len(self._held) <= limit:
            return None
        first = limit - self._samples(self.sizes.x_query)
        return self._origin + _quietest(self._held, first, limit, self.sample_rate // GRID_RATE)


class CenterCutter(Cutter):
    """Cuts where RVC cuts: near every multiple of x_center, within x_query on both sides.

    The cut is at the first minimum of 10 ms of loudness, rounded down to 10 ms. What is below
    speech does not count as loudness.
    """

    def _center(self) -> int:
        """The next multiple of x_center after the one near which the core begins."""
        center = self._samples(self.sizes.x_center)
        return ((self._start + center // 2) // center + 1) * center

    def _ahead(self) -> int:
        undisturbed = self.sample_rate  # so far from its ends, a high-pass is as in the whole
        return max(self._samples(self.sizes.x_pad), undisturbed)

    def _wanted(self) -> int:
        return self._center() + self._samples(self.sizes.x_query) + self._ahead()

    def _cut(self) -> int | None:
        center, search = self._center(), self._samples(self.sizes.x_query)
        if self._known <= center:
            return None
        window, ahead, origin = self.sample_rate // CUT_RATE, self._ahead(), self._origin
        low, high = center - search, min(center + search, self._known)
        first = max(origin, low - ahead)
        filtered = high_pass(self._held[first - origin : high + ahead - origin], self.sample_rate)
        cut = low + _first_quietest(filtered, low - first, high - first, window)
        return cut // window * window


# how the chunks of a family are cut (infer.models.families)
CUTTERS: dict[str, Callable[..., Cutter]] = {"quietest": QuietestCutter, "centers": CenterCutter}


def _quietest(audio: np.ndarray, low: int, high: int, grid: int) -> int:
    """Choose the last of the cuts low, low + grid .. high with the least energy around it."""
    half = grid // 2
    around = audio[low - half : high + half].astype(np.float64)
    around -= around.mean()
    energies = np.square(around[: len(around) // grid * grid]).reshape(-1, grid).sum(axis=1)
    return low + grid * (len(energies) - 1 - int(np.argmin(energies[::-1])))


def _first_quietest(audio: np.ndarray, low: int, high: int, window: int) -> int:
    """Where in low .. high the sum of |audio| over the window around is least, from low on."""
    half = window // 2
    around = np.abs(audio[low - half : high + half].astype(np.float64))
    missing = high - low + window - len(around)  # the end of the stream is mirrored
    if missing > 0:
        around = np.append(around, around[-2 : -2 - missing : -1])
    sums = np.zeros(high - low)
    for shift in range(window):
        sums += around[shift : shift + high - low]
    return int(np.argmin(sums))


class Joiner:
    """Join rendered chunks into one stream, with a short crossfade where two cores meet.

    A stream of N samples gives exactly N * sample_rate / source_rate samples, halves rounded up.
    The crossfade uses what both neighbours have rendered of their contexts.
    """

    def __init__(
        self, sample_rate: int, source_rate: int = SAMPLE_RATE, fade_seconds: float = 0.01
    ) -> None:
        self.sample_rate = sample_rate
        self.source_rate = source_rate
        self._half = round(fade_seconds * sample_rate / 2)
        self._tail = np.zeros(0, np.float32)  # of the last chunk, centred on the end of its core

    def push(self, chunk: Chunk, rendered: np.ndarray) -> np.ndarray:
        """Take what was rendered from chunk.audio, return the samples that are ready.

        rendered: (M,) at sample_rate, beginning where chunk.audio begins. It may lack or exceed a
        few frames at its end: it is cut, or filled with silence. ValueError if 0.1 s are missing.
        """
        origin = self._position(chunk.start - chunk.left)
        begin = self._position(chunk.start) - origin
        core_stop = chunk.start - chunk.left + len(chunk.audio) - chunk.right
        end = self._position(core_stop) - origin
        stop = self._position(core_stop + chunk.right) - origin
        if len(rendered) < stop - RENDER_TOLERANCE_SECONDS * self.sample_rate:
            raise ValueError(f"{len(rendered)} samples rendered where {stop} were expected")
        rendered = np.asarray(rendered[:stop], np.float32)
        rendered = np.pad(rendered, (0, stop - len(rendered)))

        fade = len(self._tail)
        begin -= fade // 2
        ramp = (np.arange(fade, dtype=np.float32) + 0.5) / max(1, fade)
        rendered[begin : begin + fade] *= ramp
        rendered[begin : begin + fade] += self._tail * (1 - ramp)
        half = min(self._half, stop - end)
        self._tail = rendered[end - half : end + half].copy()
        return rendered[begin : end - half]

    def flush(self) -> np.ndarray:
        """Return what is held back; nothing after the last chunk of a stream."""
        rest, self._tail = self._tail[: len(self._tail) // 2], np.zeros(0, np.float32)
        return rest

    def _position(self, samples: int) -> int:
        return (2 * samples * self.sample_rate + self.source_rate) // (2 * self.source_rate)
