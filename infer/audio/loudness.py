"""Loudness of the source for the converted voice: its contour, and none where nobody speaks."""

from __future__ import annotations

import numpy as np

ENVELOPE_RATE = 2  # loudness is measured twice a second, over one second each
ENVELOPE_FLOOR = 1e-6
NOISE_BLOCK = 320  # samples, 20 ms
NOISE_RANGE = 1.0  # log10 energy: noise keeps within 10 dB, a voice does not
LIMIT_FROM, LIMIT_TO = 0.9, 0.995  # samples beyond the first are bent towards the second
NOISE_VOICED = 0.25  # share of frames that f0 methods may call voiced in noise


def is_noise(audio: np.ndarray, f0: np.ndarray | None) -> bool:
    """Whether nobody speaks: the loudness is steady, and hardly a frame is voiced.

    audio: (N,) at 16 kHz, high-passed. f0: (T,) Hz, 0 where unvoiced; None = not known.
    """
    blocks = audio[: len(audio) // NOISE_BLOCK * NOISE_BLOCK].reshape(-1, NOISE_BLOCK)
    if len(blocks) == 0 or (f0 is not None and np.mean(f0 > 0) > NOISE_VOICED):
        return False
    levels = np.log10(np.square(blocks).mean(axis=1) + ENVELOPE_FLOOR**2)
    low, high = np.percentile(levels, [5, 99])
    return bool(high - low < NOISE_RANGE)


def no_louder(output: np.ndarray, source: np.ndarray) -> np.ndarray:
    """The output, brought down to the RMS of its source if it is louder; (M,) float32."""
    limit, level = (
        np.sqrt(np.mean(np.square(audio, dtype=np.float64))) for audio in (source, output)
    )
    return output * np.float32(min(1.0, limit / max(level, ENVELOPE_FLOOR)))


def limit(audio: np.ndarray) -> np.ndarray:
    """Bend what exceeds LIMIT_FROM smoothly towards LIMIT_TO: (N,) -> (N,) float32."""
    size = np.abs(audio)
    room = LIMIT_TO - LIMIT_FROM
    bent = LIMIT_FROM + room * np.tanh((size - LIMIT_FROM) / room)
    return np.where(size > LIMIT_FROM, np.sign(audio) * bent, audio).astype(np.float32)


def match_loudness(
    source: np.ndarray,
    output: np.ndarray,
    source_rate: int,
    output_rate: int,
    rms_mix_rate: float,
) -> np.ndarray:
    """Give the output the loudness contour of the source, as RVC does.

    source (N,), output (M,); rms_mix_rate 1 = keep the output's contour, 0 = take the source's.
    Returns (M,) float32.
    """
    matcher = LoudnessMatcher(
        source_rate, output_rate, rms_mix_rate, lengths=(len(source), len(output))
    )
    return np.concatenate([matcher.push(source, output), matcher.flush()])


class LoudnessMatcher:
    """Give a stream of output the loudness contour of its source; keeps about a second back.

    rms_mix_rate 1 = keep the output's contour (unchanged bit for bit), 0 = take the source's.
    lengths: samples of source and output in all. With them the contours are stretched over the
    output as RVC does (up to 0.25 s from their true places); without, they stand at their places.
    """

    def __init__(
        self,
        source_rate: int,
        output_rate: int,
        rms_mix_rate: float,
        lengths: tuple[int, int] | None = None,
    ) -> None:
        self._exponent = 1.0 - rms_mix_rate
        source_hop, output_hop = source_rate // ENVELOPE_RATE, output_rate // ENVELOPE_RATE
        self._contours = _Contour(source_hop), _Contour(output_hop)
        # Contour index at output sample i: (i + offset) * scale - offset.
        self._offset, self._scales = 0.0, (1 / output_hop, 1 / output_hop)
        if lengths is not None:
            stretch = max(1, lengths[1])
            self._offset = 0.5
            self._scales = (
                (1 + lengths[0] // source_hop) / stretch,
                (1 + lengths[1] // output_hop) / stretch,
            )
        self._position = 0
        self._held = np.zeros(0, np.float32)

    def push(self, source: np.ndarray, output: np.ndarray) -> np.ndarray:
        """Take the next samples of both, return the output samples that are ready."""
        output = np.asarray(output, np.float32)
        if self._exponent == 0.0:
            return output
        self._contours[0].push(source)
        self._contours[1].push(output)
        self._held = np.concatenate([self._held, output])
        return self._take(final=False)

    def flush(self) -> np.ndarray:
        """Return the rest of the output."""
        for contour in self._contours:
            contour.finish()
        return self._take(final=True)

    def _take(self, final: bool) -> np.ndarray:
        samples = np.arange(self._position, self._position + len(self._held)) + self._offset
        places = [np.maximum(samples * scale - self._offset, 0.0) for scale in self._scales]
        ready = len(self._held)
        if not final:
            for contour, place in zip(self._contours, places, strict=True):
                ready = min(ready, int(np.searchsorted(place, len(contour.levels) - 1)))
        if ready == 0:
            return np.zeros(0, np.float32)
        source_level, output_level = (
            np.interp(place[:ready], np.arange(len(contour.levels)), contour.levels)
            for contour, place in zip(self._contours, places, strict=True)
        )
        gain = (source_level / np.maximum(output_level, ENVELOPE_FLOOR)) ** self._exponent
        matched = (self._held[:ready] * gain).astype(np.float32)
        self._position += ready
        self._held = self._held[ready:]
        return matched


class _Contour:
    """RMS over windows of two hops, one each hop, centred, with silence before and after."""

    def __init__(self, hop: int) -> None:
        self.levels: list[float] = []
        self._hop = hop
        self._previous = 0.0  # energy of the hop before
        self._rest = np.zeros(0, np.float32)

    def push(self, audio: np.ndarray) -> None:
        audio = np.concatenate([self._rest, audio])
        whole = len(audio) - len(audio) % self._hop
        for start in range(0, whole, self._hop):
            self._add(audio[start : start + self._hop])
        self._rest = audio[whole:].copy()

    def finish(self) -> None:
        self._add(self._rest)

    def _add(self, audio: np.ndarray) -> None:
        energy = float(np.sum(np.square(audio, dtype=np.float64)))
        self.levels.append(float(np.sqrt((self._previous + energy) / (2 * self._hop))))
        self._previous = energy
