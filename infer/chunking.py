"""Cut long audio into chunks at quiet places, and join what was rendered from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from infer.filters import high_pass

GRID_RATE = 50  # every core begins on a content frame
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


def split(
    blocks: Iterable[np.ndarray],
    sample_rate: int = 16000,
    max_seconds: float = 24.0,
    search_seconds: float = 8.0,
    context_seconds: float = 1.0,
) -> Iterator[Chunk]:
    """Cut a stream of (n,) float32 blocks into chunks; holds one chunk and one block.

    A core lasts at most max_seconds and ends at the quietest 20 ms among its last search_seconds.
    The chunks do not depend on the lengths of the blocks; an empty stream has none.
    """
    grid = sample_rate // GRID_RATE
    limit, search, context = (
        round(seconds * GRID_RATE) * grid
        for seconds in (max_seconds, search_seconds, context_seconds)
    )
    if not (0 < search < limit and context >= 0):
        raise ValueError(
            f"search_seconds must lie between 0 and max_seconds, context_seconds must not be "
            f"negative: {search_seconds}, {max_seconds}, {context_seconds}"
        )

    def choose(held: np.ndarray, left: int, start: int, ended: bool) -> int | None:
        if len(held) - left <= limit + (0 if ended else context):
            return None
        return _quietest(held, left + limit - search, left + limit, grid)

    yield from _cut(blocks, context, lambda start: limit + context, choose)


def split_at_centers(
    blocks: Iterable[np.ndarray],
    sample_rate: int = 16000,
    max_seconds: float = 41.0,
    center_seconds: float = 38.0,
    search_seconds: float = 6.0,
    context_seconds: float = 1.0,
) -> Iterator[Chunk]:
    """Cut where RVC cuts, its profile for float32; otherwise like split.

    A stream longer than max_seconds is cut near every multiple of center_seconds, at the first
    minimum of 10 ms of loudness within search_seconds on both sides, rounded down to 10 ms. What
    is below speech does not count as loudness.
    """
    limit, center, search, context = (
        round(seconds * sample_rate)
        for seconds in (max_seconds, center_seconds, search_seconds, context_seconds)
    )
    if not (0 < 2 * search < center and context >= 0):
        raise ValueError(
            f"center_seconds must be more than twice search_seconds: {center_seconds}, "
            f"{search_seconds}"
        )
    window = sample_rate // 100
    ahead = max(context, sample_rate)  # the high-pass is undisturbed a second from its edges

    def target(start: int) -> int:
        return ((start + center // 2) // center + 1) * center  # the next centre after this core's

    def choose(held: np.ndarray, left: int, start: int, ended: bool) -> int | None:
        offset = left - start  # of held from positions in the stream
        known = len(held) - offset
        middle = target(start)
        if ended and (known <= middle or known + window <= limit):
            return None
        if not ended and known < middle + search + ahead:
            return None
        low, high = middle - search, min(middle + search, known)
        first = max(0, low + offset - ahead)
        heard = high_pass(held[first : high + offset + ahead], sample_rate)
        cut = low + _first_quietest(heard, low + offset - first, high + offset - first, window)
        return cut // window * window + offset

    def wanted(start: int) -> int:
        return target(start) + search + ahead - start

    yield from _cut(blocks, context, wanted, choose)


def _cut(
    blocks: Iterable[np.ndarray],
    context: int,
    wanted: Callable[[int], int],
    choose: Callable[[np.ndarray, int, int, bool], int | None],
) -> Iterator[Chunk]:
    """Chunks of a stream. wanted: start of a core -> samples from there that a choice needs.

    choose: what is held, where the core begins in it and in the stream, whether the stream has
    ended -> where the core ends in what is held, or None if it does not yet.
    """
    held = np.zeros(0, np.float32)  # from `left` samples before the next core on
    start = left = 0
    parts: list[np.ndarray] = []
    for block in _with_end(blocks):
        if block is not None:
            parts.append(block)
            if sum(map(len, parts)) + len(held) - left < wanted(start):
                continue
        held = np.concatenate([held, *parts])
        parts = []
        while (cut := choose(held, left, start, block is None)) is not None:
            right = min(context, len(held) - cut)
            yield Chunk(held[: cut + right].copy(), start, left, right)
            start += cut - left
            left = min(context, cut)
            held = held[cut - left :].copy()
    if len(held) > left:
        yield Chunk(held, start, left, 0)


def _with_end(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray | None]:
    yield from blocks
    yield None


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


# how the chunks of a family are cut (infer.models.families)
SPLITTERS = {"quietest": split, "centers": split_at_centers}


class Joiner:
    """Join rendered chunks into one stream, with a short crossfade where two cores meet.

    A stream of N samples gives exactly N * sample_rate / source_rate samples, halves rounded up.
    The crossfade uses what both neighbours have rendered of their contexts.
    """

    def __init__(
        self, sample_rate: int, source_rate: int = 16000, fade_seconds: float = 0.01
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
