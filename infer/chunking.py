"""Cut long audio into chunks at quiet places, and join what was rendered from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

GRID_RATE = 50  # every core begins on a content frame
RENDER_TOLERANCE_SECONDS = 0.1


@dataclass(frozen=True, eq=False)
class Chunk:
    """A piece of the stream: a core, and real audio before and after it where there is any.

    audio (N,) float32; start = index of the core's first sample in the stream; left and
    right = samples of context around the core. Only the last chunk of a stream has right == 0.
    start, left and the length of every core but the last are multiples of 1/50 s.
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
    held = np.zeros(0, np.float32)  # from `left` samples before the next core on
    start = left = 0
    parts: list[np.ndarray] = []
    for block in _with_end(blocks):
        if block is not None:
            parts.append(block)
            if sum(map(len, parts)) + len(held) - left <= limit + context:
                continue
        held = np.concatenate([held, *parts])
        parts = []
        reserve = 0 if block is None else context
        while len(held) - left > limit + reserve:
            cut = _quietest(held, left + limit - search, left + limit, grid)
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
