"""Recordings compared with each other: the same sound twice, a voice unlike the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tools.datasets.measure import VOICE_FRAMES, VoiceStatistics

# duplicates
CROWD = 12  # a fingerprint found more often than this is no mark of anything
FEWEST_VOTES = 2  # equal fingerprints at one distance in time before a pair is compared
MOST_ERRORS = 0.2  # share of bits that differ; strangers differ in half of them
FEW_FRAMES = 100  # of the overlap: chance is larger, so half as many errors are allowed
FEWEST_FRAMES = 40  # of the overlap
SHARE_SHARED = 0.8  # of the shorter recording

# other voices: Hotelling's T2 with a correlation of neighbouring frames, relative to the main voice
FEWEST_PIECES = 8
FEWEST_VOICED = VOICE_FRAMES // 2  # frames of a piece
CORRELATED_FRAMES = 10  # so many frames tell as much as one
NATURAL_SPREAD = 0.2  # of one voice's pieces, in units of the spread of its frames
OTHER_VOICE = 8.0  # times the median distance of the main voice's pieces; 42 voices chose it
LEAST_SPREAD = 2.0  # median squared distance within a voice; real ones have 1 to 9
STARTS = 12  # points from which the main voice is looked for


@dataclass(frozen=True)
class Duplicate:
    """Recording `later` repeats recording `earlier`; it begins `seconds` after that one's start."""

    earlier: int
    later: int
    seconds: float


def find_duplicates(prints: Sequence[np.ndarray]) -> list[Duplicate]:
    """Find recordings that sound the same, or lie inside another one, by their fingerprints.

    prints: one (T,) uint32 per recording, 100 a second. Each repetition is named once.
    """
    lengths = [len(each) for each in prints]
    if not sum(lengths):
        return []
    values = np.concatenate(prints)
    files = np.repeat(np.arange(len(prints)), lengths)
    frames = np.concatenate([np.arange(length) for length in lengths])
    known = np.flatnonzero(values)
    order = known[np.argsort(values[known], kind="stable")]
    votes = _votes(values[order], files[order], frames[order])
    found: dict[int, Duplicate] = {}
    for first, second, shift in votes:
        if second not in found and _is_same(prints[first], prints[second], shift):
            found[second] = Duplicate(first, second, shift / 100)
    return sorted(found.values(), key=lambda pair: pair.later)


def _votes(values: np.ndarray, files: np.ndarray, frames: np.ndarray) -> list[tuple[int, int, int]]:
    """Pairs (first file, second file, shift in frames) with several equal fingerprints."""
    edges = np.flatnonzero(np.diff(values)) + 1
    starts = np.concatenate([[0], edges])
    sizes = np.diff(np.concatenate([starts, [len(values)]]))
    pairs = []
    for distance in range(1, CROWD):
        # every pair of neighbours at this distance inside a group of equal values
        usable = np.repeat((sizes > distance) & (sizes <= CROWD), sizes)
        same = values[distance:] == values[:-distance]
        at = np.flatnonzero(same & usable[:-distance] & (files[distance:] != files[:-distance]))
        first, second = files[at], files[at + distance]
        shift = frames[at] - frames[at + distance]  # second's frame 0 lies here in first
        pairs.append(np.column_stack([first, second, shift]))
    found = np.concatenate(pairs)
    swapped = found[:, 0] > found[:, 1]
    found[swapped] = found[swapped][:, [1, 0, 2]] * [1, 1, -1]
    unique, counts = np.unique(found, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return [tuple(map(int, unique[i])) for i in order if counts[i] >= FEWEST_VOTES]


def _is_same(first: np.ndarray, second: np.ndarray, shift: int) -> bool:
    """Whether second, laid shift frames into first, has the same fingerprint where both sound."""
    start, end = max(0, shift), min(len(first), len(second) + shift)
    one, other = first[start:end], second[start - shift : end - shift]
    both = (one != 0) & (other != 0)
    sounding = min(np.count_nonzero(first), np.count_nonzero(second))
    if both.sum() < max(FEWEST_FRAMES, SHARE_SHARED * sounding):
        return False
    bits = np.unpackbits((one[both] ^ other[both]).view(np.uint8))
    return bool(bits.mean() < MOST_ERRORS / (2 if both.sum() < FEW_FRAMES else 1))


def find_other_voices(recordings: Sequence[list[VoiceStatistics]]) -> dict[int, float]:
    """Recordings whose voice (or microphone) is probably not that of most others.

    recordings: each one's statistics, in an order in which neighbours belong together: short ones
    are counted together until there are 3 s of voiced sound. Returns recording -> squared
    distance, 1 = the median of the main voice's nearer half; nothing for fewer than 8 pieces.
    """
    pieces, members = _pieces(recordings)
    if len(pieces) < FEWEST_PIECES:
        return {}
    distances = _distances(pieces)
    suspects: dict[int, float] = {}
    for distance, recording in zip(distances, members, strict=True):
        if distance > OTHER_VOICE:
            for number in recording:
                suspects[number] = max(suspects.get(number, 0.0), float(distance))
    return suspects


def _pieces(
    recordings: Sequence[list[VoiceStatistics]],
) -> tuple[list[VoiceStatistics], list[set[int]]]:
    """Statistics over about 3 s each, and the recordings that each one comes from."""
    pieces: list[VoiceStatistics] = []
    members: list[set[int]] = []
    for number, parts in enumerate(recordings):
        for part in parts:
            if part.count and pieces and pieces[-1].count + part.count <= VOICE_FRAMES:
                pieces[-1] += part
                members[-1].add(number)
            elif part.count:
                pieces.append(part)
                members.append({number})
    long = [i for i, piece in enumerate(pieces) if piece.count >= FEWEST_VOICED]
    return [pieces[i] for i in long], [members[i] for i in long]


def _distances(pieces: list[VoiceStatistics]) -> np.ndarray:
    """(K,) squared distance of each piece from the main voice, relative to that voice's median."""
    counts = np.array([piece.count for piece in pieces], np.float64)
    means = np.array([piece.sum / piece.count for piece in pieces])
    inside = sum(
        piece.squares - np.outer(piece.sum, piece.sum) / piece.count for piece in pieces
    ) / (counts.sum() - len(counts))
    whitening = np.linalg.cholesky(np.linalg.inv(inside + 1e-6 * np.eye(len(inside))))
    points, weights = means @ whitening, 1 / (CORRELATED_FRAMES / counts + NATURAL_SPREAD)
    half = len(points) // 2 + 1
    best = None
    for start in range(0, len(points), -(-len(points) // STARTS)):
        centre = points[start]
        for _ in range(20):  # least trimmed squares (Rousseeuw & Van Driessen 2006)
            distances = np.square(points - centre).sum(axis=1) * weights
            nearest = np.argsort(distances, kind="stable")[:half]
            centre = np.average(points[nearest], axis=0, weights=weights[nearest])
        distances = np.square(points - centre).sum(axis=1) * weights
        cost = np.sort(distances)[:half].sum()
        if best is None or cost < best[0]:
            best = cost, distances
    assert best is not None
    return best[1] / max(LEAST_SPREAD, float(np.median(np.sort(best[1])[:half])))
