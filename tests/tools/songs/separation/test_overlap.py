"""Long songs go through a network in segments; what comes out is whole, whatever memory allows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from errors import UserError
from tools.songs.separation.overlap import separate

RANDOM = np.random.default_rng(0)


class Halves:
    """Gives half of the song as each of two stems; says what lengths it was asked for."""

    sample_rate = 1000
    stems = ("vocals", "rest")
    segment = 800
    least_segment = 100

    def __init__(self, fits: int = 10**9) -> None:
        self.fits = fits
        self.lengths: list[int] = []

    def __call__(self, audio: np.ndarray) -> np.ndarray:
        self.lengths.append(audio.shape[1])
        if audio.shape[1] > self.fits:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return np.stack([audio / 2, audio / 2])


def blocks(song: np.ndarray, size: int) -> Iterator[np.ndarray]:
    yield from (song[start : start + size] for start in range(0, len(song), size))


def run(separator: Halves, song: np.ndarray, size: int = 333) -> tuple[np.ndarray, list[str]]:
    """The stems (2, n, 2), and what was done for memory."""
    done: list[str] = []
    parts = separate(
        separator, blocks(song, size), lambda: done.append("gave back"),
        lambda error: "out of memory" in str(error),
    )  # fmt: skip
    return np.concatenate(list(parts), axis=1), done


@pytest.mark.parametrize("length", [1, 799, 800, 801, 1400, 1401, 5000])
@pytest.mark.parametrize("size", [50, 333, 9999])
def test_every_sample_comes_back_once(length: int, size: int) -> None:
    song = RANDOM.normal(size=(length, 2)).astype(np.float32)
    separator = Halves()
    stems, done = run(separator, song, size)
    assert stems.shape == (2, length, 2)
    assert np.abs(stems.sum(axis=0) - song).max() < 1e-5
    assert max(separator.lengths) <= 800
    assert done == []


def test_where_memory_does_not_suffice_segments_are_halved_once() -> None:
    song = RANDOM.normal(size=(5000, 2)).astype(np.float32)
    separator = Halves(fits=450)
    stems, done = run(separator, song)
    assert np.abs(stems.sum(axis=0) - song).max() < 1e-5
    assert done == ["gave back"]
    assert separator.lengths[0] == 800
    assert set(separator.lengths[1:-1]) == {400}


def test_what_never_fits_is_said() -> None:
    with pytest.raises(UserError) as error:
        run(Halves(fits=10), np.zeros((5000, 2), np.float32))
    assert error.value.name == "memory"
    assert "out of memory" in str(error.value)


def test_another_error_is_not_taken_for_memory() -> None:
    class Broken(Halves):
        def __call__(self, audio: np.ndarray) -> np.ndarray:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        run(Broken(), np.zeros((100, 2), np.float32))
