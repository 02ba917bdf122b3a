"""A network over a song of any length: segments that overlap, faded into each other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from errors import UserError
from tools.songs.separation import Separator

OVERLAP = 0.25  # of a segment, with its neighbour

logger = logging.getLogger(__name__)


def separate(
    separator: Separator,
    blocks: Iterable[np.ndarray],
    give_back: Callable[[], None],
    is_out_of_memory: Callable[[BaseException], bool],
) -> Iterator[np.ndarray]:
    """Take a stream of (n, 2) blocks apart; yields (stems, n, 2), as many samples in all.

    give_back: called before another try where is_out_of_memory tells that memory did not suffice.
    """
    overlap = _Overlap(separator, give_back, is_out_of_memory)
    for block in blocks:
        yield from overlap.push(block)
    yield from overlap.flush()


class _Overlap:
    """Holds at most two segments. Where one does not fit the memory, it is halved, and so are the
    later ones."""

    def __init__(
        self,
        separator: Separator,
        give_back: Callable[[], None],
        is_out_of_memory: Callable[[BaseException], bool],
    ) -> None:
        self._separator = separator
        self._give_back, self._is_out_of_memory = give_back, is_out_of_memory
        self._segment = separator.segment
        self._song = np.zeros((0, 2), np.float32)  # from where the next segment begins
        stems = len(separator.stems)
        self._tail = np.zeros((stems, 0, 2), np.float32)  # what fades out over the next segment
        self._position = 0

    def push(self, audio: np.ndarray) -> Iterator[np.ndarray]:
        """Take the next (n, 2) block; yield what is ready, (stems, n, 2)."""
        self._song = np.concatenate([self._song, audio])
        while len(self._song) > self._segment:
            yield self._next(final=False)

    def flush(self) -> Iterator[np.ndarray]:
        """Yield the rest."""
        while len(self._song):
            yield self._next(final=len(self._song) <= self._segment)

    def _next(self, final: bool) -> np.ndarray:
        piece, stems = self._compute()
        final = final and len(piece) == len(self._song)
        fade = 0 if final else int(OVERLAP * len(piece))
        covered = self._tail.shape[1]
        if covered:  # both fade over what they share
            shared = min(covered, stems.shape[1])
            rising = ((np.arange(shared, dtype=np.float32) + 0.5) / covered)[None, :, None]
            stems[:, :shared] = stems[:, :shared] * rising + self._tail[:, :shared] * (1 - rising)
        ready = len(piece) - fade
        self._tail = stems[:, ready:].copy()
        self._song = self._song[ready:]
        self._position += ready
        return stems[:, :ready]

    def _compute(self) -> tuple[np.ndarray, np.ndarray]:
        while True:
            piece = self._song[: self._segment]
            try:
                stems = self._separator(np.ascontiguousarray(piece.T))
            except (RuntimeError, MemoryError) as error:
                if not self._is_out_of_memory(error):
                    raise
                detail = " ".join(str(error).split())[:160] or type(error).__name__
            else:
                return piece, np.ascontiguousarray(stems.transpose(0, 2, 1), dtype=np.float32)
            self._give_back()  # not earlier: the error holds what the attempt had made
            self._halve(detail)

    def _halve(self, detail: str) -> None:
        rate, before = self._separator.sample_rate, self._segment
        half = before // 2
        if half < max(self._separator.least_segment, self._tail.shape[1] + 1):
            what = UserError("memory_segment", seconds=before / rate)
            raise UserError("memory", what=what, detail=detail)
        self._segment = half
        logger.warning(
            "memory does not suffice: from %.0f s on, %.1f s are separated at once instead of "
            "%.1f s", self._position / rate, half / rate, before / rate,
        )  # fmt: skip
