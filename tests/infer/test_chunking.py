import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from config import ChunkSizes
from infer.audio.resampling import resample
from infer.chunking import CenterCutter, Chunk, Cutter, Joiner, QuietestCutter

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
# RVC's: x_pad, x_query, x_center, x_max
PROFILES = {"fp32": (1, 6, 38, 41), "half": (3, 10, 60, 65), "small": (1, 5, 30, 32)}


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


def split(
    blocks: Iterable[np.ndarray], sizes: tuple[float, ...] = (1, 8, 24, 24)
) -> QuietestCutter:
    return QuietestCutter(blocks, 16000, ChunkSizes(*sizes))


def split_at_centers(blocks: Iterable[np.ndarray], sizes: tuple[float, ...]) -> CenterCutter:
    return CenterCutter(blocks, 16000, ChunkSizes(*sizes))


def blocks_of(wav: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(wav), size):
        yield wav[start : start + size]


@pytest.mark.parametrize("samples", [1, 319, 16000, 24 * 16000, 24 * 16000 + 1, 100 * 16000 + 77])
def test_the_cores_are_the_input_bit_for_bit(samples: int) -> None:
    wav = noise(samples)
    chunks = list(split(blocks_of(wav, 160000)))
    assert np.array_equal(np.concatenate([chunk.core for chunk in chunks]), wav)
    for chunk in chunks:
        begin = chunk.start - chunk.left
        assert np.array_equal(chunk.audio, wav[begin : begin + len(chunk.audio)])
        assert len(chunk.core) <= 24 * 16000
        assert chunk.start % 320 == chunk.left % 320 == 0
        assert chunk.left == min(16000, chunk.start)
        assert chunk.right == min(16000, samples - chunk.start - len(chunk.core))
    assert all(len(chunk.core) % 320 == 0 for chunk in chunks[:-1])
    assert [chunk.right for chunk in chunks].count(0) == 1
    assert chunks[-1].right == 0


def test_the_chunks_do_not_depend_on_the_blocks() -> None:
    wav = noise(70 * 16000 + 5)
    expected = [(chunk.start, len(chunk.audio)) for chunk in split([wav])]
    assert len(expected) >= 3
    for size in (977, 16000, 400000, *range(660000, 780000, 15000)):
        found = [(chunk.start, len(chunk.audio)) for chunk in split(blocks_of(wav, size))]
        assert found == expected


def test_context_may_be_longer_than_a_core_or_missing() -> None:
    wav = noise(9 * 16000 + 5)
    for context in (0, 3 * 16000):
        blocks = blocks_of(wav, 5000)
        chunks = list(split(blocks, (context / 16000, 0.9, 2.0, 2.0)))
        assert np.array_equal(np.concatenate([chunk.core for chunk in chunks]), wav)
        for chunk in chunks:
            assert chunk.left == min(context, chunk.start)
            assert chunk.right == min(context, len(wav) - chunk.start - len(chunk.core))
        joiner = Joiner(16000)
        joined = np.concatenate([joiner.push(chunk, chunk.audio) for chunk in chunks])
        assert np.abs(joined - wav).max() < 1e-6


def test_an_empty_stream_has_no_chunks() -> None:
    assert list(split([])) == []
    assert list(split([np.zeros(0, np.float32)])) == []


def test_the_cut_falls_into_the_quietest_place_even_beside_a_constant_offset() -> None:
    wav = 0.1 * noise(40 * 16000) + 0.5
    pause = slice(20 * 16000 + 4000, 20 * 16000 + 6000)
    wav[pause] = 0.01 * noise(2000, 1) + 0.5
    wav[10 * 16000 : 11 * 16000] = 0.5  # quieter, but before the part that is searched
    first, second = split([wav])
    assert pause.start < second.start < pause.stop
    assert first.start == 0


def test_silence_is_cut_as_late_as_allowed() -> None:
    starts = [chunk.start for chunk in split([np.zeros(60 * 16000, np.float32)])]
    assert starts == [0, 24 * 16000, 48 * 16000]


def test_lengths_that_cannot_work_are_refused() -> None:
    for sizes in ((1, 5, 5, 5), (1, 2, 4, 4), (1, 2, 9, 8), (-1, 2, 9, 9), (1, 0, 9, 9)):
        with pytest.raises(ValueError, match="--x-center"):
            ChunkSizes(*sizes)


def test_memory_does_not_grow_with_the_stream() -> None:
    def peak(seconds: int) -> int:
        block = noise(10 * 16000)
        tracemalloc.start()
        for chunk in split(block for _ in range(seconds // 10)):
            assert len(chunk.audio) <= 26 * 16000
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(1200) < 1.1 * peak(120)


@pytest.mark.parametrize("sample_rate", [16000, 24000, 32000, 40000, 44100, 48000])
@pytest.mark.parametrize("samples", [5, 24 * 16000 + 1, 63 * 16000 + 123])
def test_joined_chunks_have_the_exact_length_and_no_seams(sample_rate: int, samples: int) -> None:
    wav = resample(noise(samples // 8 + 1), 2000, 16000)[:samples]
    whole = resample(wav, 16000, sample_rate)
    joiner = Joiner(sample_rate)
    parts = [
        joiner.push(chunk, resample(chunk.audio, 16000, sample_rate)) for chunk in split([wav])
    ]
    joined = np.concatenate([*parts, joiner.flush()])
    assert len(joined) == int(samples * sample_rate / 16000 + 0.5)
    assert np.abs(joined - whole[: len(joined)]).max() < 1e-4


def test_where_chunks_disagree_one_fades_into_the_other() -> None:
    joiner = Joiner(24000, fade_seconds=0.01)
    chunks = list(split([noise(30 * 16000)]))
    levels = [np.full(len(chunk.audio) * 3 // 2, float(i)) for i, chunk in enumerate(chunks)]
    joined = np.concatenate(
        [joiner.push(chunk, level) for chunk, level in zip(chunks, levels, strict=True)]
    )
    seam = chunks[1].start * 3 // 2
    assert np.all(joined[: seam - 120] == 0)
    assert np.all(joined[seam + 120 :] == 1)
    assert np.all(np.diff(joined[seam - 121 : seam + 121]) > 0)
    assert np.diff(joined).max() < 0.005


def test_a_short_remainder_limits_the_fade() -> None:
    wav = noise(24 * 16000 + 170)
    wav[24 * 16000 - 160 : 24 * 16000 + 160] = 0
    chunks = list(split([wav]))
    assert [len(chunk.core) for chunk in chunks] == [24 * 16000, 170]
    joiner = Joiner(16000, fade_seconds=0.05)
    joined = np.concatenate([joiner.push(chunk, chunk.audio) for chunk in chunks])
    assert np.abs(joined - wav).max() < 1e-7


def test_a_render_may_lack_its_last_frame_or_exceed_it_but_not_more() -> None:
    chunk = Chunk(noise(16000 + 319), start=0, left=0, right=0)
    assert len(Joiner(24000).push(chunk, np.ones(24000))) == 24479
    assert len(Joiner(24000).push(chunk, np.ones(26000))) == 24479
    with pytest.raises(ValueError, match="12000 samples rendered"):
        Joiner(24000).push(chunk, np.ones(12000))


def test_a_stream_that_stops_early_is_complete_up_to_its_last_core() -> None:
    first = next(split([noise(40 * 16000)]))
    joiner = Joiner(16000)
    joined = np.concatenate([joiner.push(first, first.audio), joiner.flush()])
    assert np.array_equal(joined, first.core)


def golden_signal(case: np.lib.npyio.NpzFile) -> np.ndarray:
    """Sines and noise at 16 kHz, from the table in the file."""
    random = np.random.RandomState(int(case["table_seed"]))
    wav = np.zeros(int(case["n_samples"]))
    for start, end, level, hz, noise in case["segment_table"]:
        first, last = round(start * 16000), round(end * 16000)
        steps = np.arange(last - first)
        wav[first:last] += level * np.sin(2 * np.pi * hz * steps / 16000)
        wav[first:last] += noise * random.standard_normal(last - first)
    return wav.astype(np.float32)


@pytest.mark.parametrize("name", ["cuts_a", "cuts_b", "cuts_short", "cuts_long"])
def test_standard_voices_are_cut_where_the_reference_cuts(name: str) -> None:
    case = np.load(GOLDEN / f"{name}.npz")
    wav = golden_signal(case)
    for profile, sizes in PROFILES.items():
        chunks = list(split_at_centers(np.array_split(wav, 97), sizes))
        wanted = case[f"cuts_{profile}"] // 160 * 160
        assert [chunk.start for chunk in chunks] == [0, *wanted]
        assert np.array_equal(np.concatenate([chunk.core for chunk in chunks]), wav)
        assert all((chunk.left, chunk.right) == (sizes[0] * 16000,) * 2 for chunk in chunks[1:-1])


def test_where_standard_voices_are_cut_does_not_depend_on_the_blocks() -> None:
    wav = np.random.default_rng(0).normal(0, 0.1, 90 * 1600).astype(np.float32)
    sizes = (0.5, 0.6, 3.8, 4.1)
    starts = [
        [chunk.start for chunk in split_at_centers(np.array_split(wav, count), sizes)]
        for count in (1, 2, 500)
    ]
    assert len(starts[0]) > 2
    assert starts[0] == starts[1] == starts[2]
    assert list(split_at_centers([], sizes)) == []


@pytest.mark.parametrize("cut", [split, split_at_centers])
def test_a_stream_up_to_x_max_is_left_whole_and_a_longer_one_is_not(
    cut: Callable[..., Cutter],
) -> None:
    sizes = (0.5, 0.6, 3.8, 9.0)
    for seconds, number in ((8.9, 1), (9.1, 3)):
        wav = noise(int(seconds * 16000))
        for count in (1, 100):
            assert len(list(cut(np.array_split(wav, count), sizes))) == number


@pytest.mark.parametrize("cut", [split, split_at_centers])
def test_chunks_that_are_taken_back_come_again(cut: Callable[..., Cutter]) -> None:
    wav = noise(20 * 16000 + 77)
    sizes = (0.5, 0.6, 3.8, 4.1)
    expected = list(cut([wav], sizes))
    chunks = cut(blocks_of(wav, 5000), sizes)
    taken = list(chunks)[2:]
    for chunk in reversed(taken):
        chunks.take_back(chunk)
    again = list(chunks)
    assert [chunk.place for chunk in again] == [chunk.place for chunk in expected[2:]]
    for chunk, other in zip(again, expected[2:], strict=True):
        assert np.array_equal(chunk.audio, other.audio)


@pytest.mark.parametrize("cut", [split, split_at_centers])
def test_halved_chunks_are_those_of_half_the_sizes(cut: Callable[..., Cutter]) -> None:
    wav = noise(100 * 16000 + 77)
    chunks = cut(blocks_of(wav, 50000), (1, 4, 20, 20))
    kept = [next(chunks), next(chunks)]
    chunks.halve(next(chunks))
    kept += list(chunks)
    assert np.array_equal(np.concatenate([chunk.core for chunk in kept]), wav)
    assert len(kept[2].core) <= 12 * 16000 < len(kept[1].core)
    chunks = cut(blocks_of(wav, 50000), (1, 4, 20, 20))
    chunks.halve(next(chunks))
    halves = list(cut([wav], (1, 2, 10, 10)))
    assert [chunk.place for chunk in chunks] == [chunk.place for chunk in halves]


def test_halving_makes_a_short_remainder_shorter_and_ends_where_it_makes_no_sense() -> None:
    chunks = split([noise(9 * 16000)])
    chunks.halve(next(chunks))
    assert chunks.sizes.x_center == 6
    chunks.halve(next(chunks))
    with pytest.raises(ValueError, match="cannot be halved"):
        chunks.halve(next(chunks))
    assert sum(len(chunk.core) for chunk in chunks) < 9 * 16000
