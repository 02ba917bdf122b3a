"""Loudness as ITU-R BS.1770-5 measures it, of mono and stereo streams at any sample rate."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

HOPS_PER_SECOND = 10  # a block lasts 0.4 s, one begins every 0.1 s
BLOCK_HOPS = 4
ABSOLUTE_GATE = -70.0  # LUFS; also what silence has
RELATIVE_GATE = -10.0  # LU below the mean of what passes the absolute gate

# The standard's two filters are given as numbers at 48 kHz; these are the analogue ones that they
# come from: a shelf (Hz, dB, Q) and a high-pass (Hz, Q).
SHELF = (1681.974450955533, 3.999843853973347, 0.7071752369554196)
SHELF_SLOPE = 0.4996667741545416  # exponent of the gain at the shelf's middle
LOW_CUT = (38.13547087602444, 0.5003270373238773)


@cache
def k_weighting(sample_rate: int) -> np.ndarray:
    """(2, 6) second-order sections of the filter by which loudness is heard."""
    hz, gain_db, q = SHELF
    k = math.tan(math.pi * hz / sample_rate)
    high = 10 ** (gain_db / 20)
    middle = high**SHELF_SLOPE
    scale = 1 + k / q + k * k
    shelf = [
        (high + middle * k / q + k * k) / scale, 2 * (k * k - high) / scale,
        (high - middle * k / q + k * k) / scale,
        1.0, 2 * (k * k - 1) / scale, (1 - k / q + k * k) / scale,
    ]  # fmt: skip
    hz, q = LOW_CUT
    k = math.tan(math.pi * hz / sample_rate)
    scale = 1 + k / q + k * k
    low_cut = [1.0, -2.0, 1.0, 1.0, 2 * (k * k - 1) / scale, (1 - k / q + k * k) / scale]
    return np.array([shelf, low_cut])


class Meter:
    """Measure a stream; keeps one number for each tenth of a second."""

    def __init__(self, sample_rate: int) -> None:
        self._sos = k_weighting(sample_rate)
        self._state: np.ndarray | None = None
        self._hop = sample_rate // HOPS_PER_SECOND
        self._rest = np.zeros(0)  # weighted squares of less than a hop
        self._powers: list[np.ndarray] = []

    def push(self, audio: np.ndarray) -> None:
        """Take the next block: (n,), or (n, C), whose channels add up."""
        from scipy.signal import sosfilt

        if not len(audio):
            return
        audio = audio.reshape(len(audio), -1)
        if self._state is None:
            self._state = np.zeros((2, 2, audio.shape[1]))
        weighted, self._state = sosfilt(self._sos, audio, axis=0, zi=self._state)
        squares = np.concatenate([self._rest, np.square(weighted).sum(axis=1)])
        whole = len(squares) // self._hop * self._hop
        self._powers.append(squares[:whole].reshape(-1, self._hop).mean(axis=1))
        self._rest = squares[whole:]

    def powers(self) -> np.ndarray:
        """(T,) weighted mean square of each whole tenth of a second so far."""
        return np.concatenate(self._powers) if self._powers else np.zeros(0)

    def loudness(self) -> float:
        """Integrated loudness in LUFS, gated; ABSOLUTE_GATE for silence."""
        powers = self.powers()
        if len(powers) < BLOCK_HOPS:  # shorter than a block: all of it is the block
            sums = (powers.sum() * self._hop + self._rest.sum()) / max(
                1, len(powers) * self._hop + len(self._rest)
            )
            return max(ABSOLUTE_GATE, float(decibels(sums)))
        blocks = np.convolve(powers, np.full(BLOCK_HOPS, 1 / BLOCK_HOPS), "valid")
        blocks = blocks[decibels(blocks) > ABSOLUTE_GATE]
        if not len(blocks):
            return ABSOLUTE_GATE
        blocks = blocks[decibels(blocks) > decibels(blocks.mean()) + RELATIVE_GATE]
        return float(decibels(blocks.mean()))


def decibels(power: np.ndarray | float) -> np.ndarray:
    """LUFS of weighted mean squares."""
    return -0.691 + 10 * np.log10(np.maximum(power, 1e-12))


def db_to_gain(db: np.ndarray | float) -> np.ndarray:
    """Factor of amplitude."""
    return 10 ** (np.asarray(db) / 20)
