"""What a singing voice goes through before and in the mix: filters and gains over streams.

Every effect takes (n, 2) float32 blocks by `push` and gives as many samples back in all; `flush`
returns those that it kept. Gains are computed once a millisecond.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
from scipy.ndimage import minimum_filter1d
from scipy.signal import butter, fftconvolve, firwin, sosfilt, upfirdn

from infer.audio.meter import db_to_gain

GAINS_PER_SECOND = 1000

# equaliser: shelves and a bell where mixing desks have them for voices
BASS_HZ = 200.0
PRESENCE_HZ, PRESENCE_Q = 3000.0, 0.8
AIR_HZ = 9000.0

# compressor
COMPRESS_BELOW_DB = 6.0  # below the voice's own level it begins to act
COMPRESS_RATIO = 4.0  # at full strength
ATTACK_SECONDS = 0.005
RELEASE_SECONDS = 0.15

# de-esser
SIBILANT_HZ = 5500.0
SIBILANT_SHARE = 0.3  # of the voice's amplitude that may lie above, before it counts as sharp
SIBILANT_RELEASE = 0.03  # seconds
DE_ESS_DB = -12.0  # at most, at full strength

# reverb: decaying noise, each ear its own
REVERB_SECONDS = 1.4  # to -60 dB
REVERB_DELAY = 0.02  # seconds before the room answers
REVERB_BAND = (250.0, 6000.0)  # Hz: rooms boom below, and swallow above
REVERB_WET = 0.5  # energy of the room at full strength, beside that of the voice
REVERB_BLOCK = 2**16  # samples convolved at once

# limiter
OVERSAMPLING = 4
PEAK_TAPS = 12  # of each phase
LOOKAHEAD = 6  # ms
SMOOTHED = LOOKAHEAD - 2  # ms
LIMITER_RELEASE = 0.08  # seconds


class Effect(Protocol):
    """A change of a stream of (n, 2) blocks."""

    def push(self, audio: np.ndarray) -> np.ndarray: ...

    def flush(self) -> np.ndarray: ...


NOTHING = np.zeros((0, 2), np.float32)


def through(effects: Iterable[Effect], blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Send a stream through effects, one after the other; as many samples come out."""
    effects = list(effects)
    for block in blocks:
        for effect in effects:
            block = effect.push(block)
        yield block
    for index, effect in enumerate(effects):
        rest = effect.flush()
        for later in effects[index + 1 :]:
            rest = later.push(rest)
        yield rest


class _Filter:
    """Second-order sections, (K, 6), over a stream."""

    def __init__(self, sos: np.ndarray) -> None:
        self._sos = sos
        self._state = np.zeros((len(self._sos), 2, 2))

    def push(self, audio: np.ndarray) -> np.ndarray:
        filtered, self._state = sosfilt(self._sos, audio, axis=0, zi=self._state)
        return filtered.astype(np.float32)

    def flush(self) -> np.ndarray:
        return NOTHING


class HighPass(_Filter):
    """Cut what lies below a frequency, 12 dB an octave."""

    def __init__(self, sample_rate: int, hz: float) -> None:
        super().__init__(butter(2, hz, "highpass", fs=sample_rate, output="sos"))


class Equalizer(_Filter):
    """Raise or lower bass, presence and air of a voice, each in dB.

    The filters are those of R. Bristow-Johnson's "Cookbook formulae for audio EQ biquad filters".
    """

    def __init__(
        self, sample_rate: int, bass_db: float = 0.0, presence_db: float = 0.0, air_db: float = 0.0
    ) -> None:
        presence_hz, air_hz = (min(hz, 0.4 * sample_rate) for hz in (PRESENCE_HZ, AIR_HZ))
        sections = [
            _shelf(BASS_HZ / sample_rate, bass_db, 1.0),
            _bell(presence_hz / sample_rate, presence_db, PRESENCE_Q),
            _shelf(air_hz / sample_rate, air_db, -1.0),
        ]
        super().__init__(np.array([section / section[3] for section in sections]))


def _shelf(turns: float, db: float, side: float) -> np.ndarray:
    """(6,) a shelf of slope 1; turns: its frequency, 1 = the sample rate; side: 1 low, -1 high."""
    gain, angle = 10 ** (db / 40), 2 * math.pi * turns
    cos, width = side * math.cos(angle), math.sin(angle) * math.sqrt(2 * gain)
    return np.array([
        gain * (gain + 1 - (gain - 1) * cos + width),
        side * 2 * gain * (gain - 1 - (gain + 1) * cos),
        gain * (gain + 1 - (gain - 1) * cos - width),
        gain + 1 + (gain - 1) * cos + width,
        side * -2 * (gain - 1 + (gain + 1) * cos),
        gain + 1 + (gain - 1) * cos - width,
    ])  # fmt: skip


def _bell(turns: float, db: float, q: float) -> np.ndarray:
    """(6,) a bell; turns: its frequency, 1 = the sample rate."""
    gain, angle = 10 ** (db / 40), 2 * math.pi * turns
    cos, width = math.cos(angle), math.sin(angle) / (2 * q)
    return np.array([
        1 + width * gain, -2 * cos, 1 - width * gain, 1 + width / gain, -2 * cos, 1 - width / gain
    ])  # fmt: skip


class _Hops:
    """A stream cut into whole milliseconds; less than one waits for the next block."""

    def __init__(self, sample_rate: int) -> None:
        self.hop = max(1, sample_rate // GAINS_PER_SECOND)
        self._rest = NOTHING

    def push(self, audio: np.ndarray) -> np.ndarray:
        audio = np.concatenate([self._rest, audio])
        whole = len(audio) // self.hop * self.hop
        self._rest = audio[whole:]
        return audio[:whole]

    def flush(self) -> np.ndarray:
        """The rest, filled with zeros to a whole hop; it is shorter by `missing`."""
        self.missing = -len(self._rest) % self.hop
        rest = np.pad(self._rest, ((0, self.missing), (0, 0)))
        self._rest = NOTHING
        return rest

    def levels(self, audio: np.ndarray) -> np.ndarray:
        """RMS of each hop, over both channels."""
        return np.sqrt(np.square(audio, dtype=np.float64).reshape(-1, 2 * self.hop).mean(axis=1))

    def spread(self, gains: np.ndarray, before: float) -> np.ndarray:
        """A gain for each sample: from hop to hop in straight lines, `before` = the last one."""
        ends = np.concatenate([[before], gains])
        places = np.arange(len(gains) * self.hop) / self.hop
        return np.interp(places, np.arange(len(ends)), ends).astype(np.float32)[:, None]


class _Gain:
    """A gain that follows the sound; a subclass says how."""

    def __init__(self, sample_rate: int) -> None:
        self._hops = _Hops(sample_rate)
        self._last = 1.0

    def push(self, audio: np.ndarray) -> np.ndarray:
        audio = self._hops.push(audio)
        return self._apply(audio) if len(audio) else NOTHING

    def flush(self) -> np.ndarray:
        audio = self._hops.flush()
        if not len(audio):
            return NOTHING
        return self._apply(audio)[: len(audio) - self._hops.missing]

    def _apply(self, audio: np.ndarray) -> np.ndarray:
        gains = self._gains(audio)
        curve = self._hops.spread(gains, self._last)
        self._last = float(gains[-1])
        return audio * curve

    def _gains(self, audio: np.ndarray) -> np.ndarray:
        raise NotImplementedError


class Compressor(_Gain):
    """Even out loud and soft; level_db: RMS of the voice where it sings, strength 0..1."""

    def __init__(self, sample_rate: int, strength: float, level_db: float) -> None:
        super().__init__(sample_rate)
        self._slope = strength * (1 - 1 / COMPRESS_RATIO)
        self._from = level_db - COMPRESS_BELOW_DB
        self._fall, self._rise = (
            1 - math.exp(-1 / (seconds * GAINS_PER_SECOND))
            for seconds in (ATTACK_SECONDS, RELEASE_SECONDS)
        )
        self._db = 0.0

    def _gains(self, audio: np.ndarray) -> np.ndarray:
        levels = 20 * np.log10(self._hops.levels(audio) + 1e-9)
        wanted = -self._slope * np.maximum(0.0, levels - self._from)
        gains, db = np.empty(len(wanted)), self._db
        for index, target in enumerate(wanted.tolist()):
            db += (target - db) * (self._fall if target < db else self._rise)
            gains[index] = db
        self._db = db
        return db_to_gain(gains)


class DeEsser(_Gain):
    """Soften the band above SIBILANT_HZ while it is loud beside the rest; strength 0..1."""

    def __init__(self, sample_rate: int, strength: float) -> None:
        super().__init__(sample_rate)
        hz = min(SIBILANT_HZ, 0.4 * sample_rate)
        self._sos = butter(2, hz, "highpass", fs=sample_rate, output="sos")
        self._state = np.zeros((len(self._sos), 2, 2))
        self._least = DE_ESS_DB * strength
        self._rise = 1 - math.exp(-1 / (SIBILANT_RELEASE * GAINS_PER_SECOND))
        self._db = 0.0

    def _apply(self, audio: np.ndarray) -> np.ndarray:
        sharp, self._state = sosfilt(self._sos, audio, axis=0, zi=self._state)
        share = self._hops.levels(sharp) / (self._hops.levels(audio) + 1e-6)
        wanted = np.maximum(
            self._least, -20 * np.log10(np.maximum(1.0, share / SIBILANT_SHARE)) * 2
        )
        gains, db = np.empty(len(wanted)), self._db
        for index, target in enumerate(wanted.tolist()):
            db = target if target < db else db + (target - db) * self._rise
            gains[index] = db
        self._db = db
        gains = db_to_gain(gains)
        curve = self._hops.spread(gains, self._last)
        self._last = float(gains[-1])
        return (audio + sharp * (curve - 1)).astype(np.float32)


class Reverb:
    """Add a room to the voice; strength 0..1. The voice itself stays as it is."""

    def __init__(self, sample_rate: int, strength: float) -> None:
        length = round(REVERB_SECONDS * sample_rate)
        noise = np.random.default_rng(0).normal(size=(length, 2))
        low, high = REVERB_BAND
        band = butter(1, [low, min(high, 0.45 * sample_rate)], "band", fs=sample_rate, output="sos")
        room = sosfilt(band, noise, axis=0)
        room *= (10 ** (-3 * np.arange(length) / length))[:, None]
        room *= math.sqrt(strength * REVERB_WET) / np.sqrt(np.square(room).sum(axis=0))
        self._room = np.pad(room, ((round(REVERB_DELAY * sample_rate), 0), (0, 0)))
        self._tail = np.zeros((len(self._room) - 1, 2))

    def push(self, audio: np.ndarray) -> np.ndarray:
        parts = [
            self._convolve(audio[start : start + REVERB_BLOCK])
            for start in range(0, len(audio), REVERB_BLOCK)
        ]
        return np.concatenate([NOTHING, *parts])

    def _convolve(self, audio: np.ndarray) -> np.ndarray:
        wet = fftconvolve(audio, self._room, axes=0)
        wet[: len(self._tail)] += self._tail
        self._tail = wet[len(audio) :]
        return audio + wet[: len(audio)].astype(np.float32)

    def flush(self) -> np.ndarray:
        return NOTHING  # a song ends where it ended


class Limiter:
    """Keep true peaks (as BS.1770's annex 2 finds them, 4 times oversampled) below a ceiling.

    The gain begins to fall LOOKAHEAD before a peak, so that nothing is bent; what lies below the
    ceiling stays as it is, bit for bit.
    """

    def __init__(self, sample_rate: int, ceiling_db: float) -> None:
        self._ceiling = float(db_to_gain(ceiling_db))
        self._hops = _Hops(sample_rate)
        self._filter = peak_filter()
        self._around = np.zeros((PEAK_TAPS, 2), np.float32)  # the last samples
        self._held = NOTHING  # samples whose gain is not known yet
        self._needed = np.ones(LOOKAHEAD)  # gains of the hops before `held`, and of those in it
        self._rise = 1 - math.exp(-1 / (LIMITER_RELEASE * GAINS_PER_SECOND))
        self._released = 1.0
        self._before: np.ndarray | None = None  # the last SMOOTHED - 1 gains, not smoothed
        self._last = 1.0
        self._total = self._given = 0

    def push(self, audio: np.ndarray) -> np.ndarray:
        self._total += len(audio)
        return self._take(self._hops.push(audio), final=False)

    def flush(self) -> np.ndarray:
        rest = self._hops.flush()
        quiet = np.zeros(((2 * LOOKAHEAD + 1) * self._hops.hop, 2), np.float32)
        return self._take(np.concatenate([rest, quiet]), final=True)

    def _take(self, audio: np.ndarray, final: bool) -> np.ndarray:
        hop = self._hops.hop
        self._held = np.concatenate([self._held, audio])
        self._needed = np.concatenate([self._needed, self._gains(audio)])
        # Of each hop the least of the LOOKAHEAD hops on both sides, released slowly, then the mean
        # over SMOOTHED hops: two fewer than the LOOKAHEAD ones, because straight lines lead from
        # one to the next and the peaks' filter is late by less than a hop.
        ready = len(self._needed) - 2 * LOOKAHEAD
        if ready <= 0:
            return NOTHING
        size = 2 * LOOKAHEAD + 1
        least = minimum_filter1d(self._needed, size, mode="nearest")[LOOKAHEAD : LOOKAHEAD + ready]
        released, gain = np.empty(ready), self._released
        for index, target in enumerate(least.tolist()):
            gain = target if target < gain else gain + (target - gain) * self._rise
            released[index] = gain if gain < 0.9999 else 1.0
        self._released = gain
        if self._before is None:  # nothing comes before the first
            self._before = np.full(SMOOTHED - 1, released[0])
            self._last = float(released[0])
        chain = np.concatenate([self._before, released])
        smooth = np.minimum(np.convolve(chain, np.full(SMOOTHED, 1 / SMOOTHED), "valid"), 1.0)
        self._before = chain[1 - SMOOTHED :]
        audio, self._held = self._held[: ready * hop], self._held[ready * hop :]
        self._needed = self._needed[ready:]
        if self._last == 1.0 and (smooth >= 1.0).all():
            limited = audio
        else:
            limited = audio * self._hops.spread(smooth, self._last)
        self._last = float(smooth[-1])
        limited = limited[: self._total - self._given] if final else limited
        self._given += len(limited)
        return limited

    def _gains(self, audio: np.ndarray) -> np.ndarray:
        """What each hop must be multiplied by, on its own."""
        padded = np.concatenate([self._around, audio])
        self._around = padded[len(padded) - PEAK_TAPS :]
        if np.abs(padded).max(initial=0.0) * 2 < self._ceiling:  # no filter makes more of it
            return np.ones(len(audio) // self._hops.hop)
        peaks = np.maximum(true_peaks(padded, self._filter)[PEAK_TAPS:], np.abs(audio).max(axis=1))
        peaks = peaks.reshape(-1, self._hops.hop).max(axis=1)
        return np.minimum(1.0, self._ceiling / np.maximum(peaks, 1e-9))


def peak_filter() -> np.ndarray:
    """Taps of the filter that oversamples."""
    return OVERSAMPLING * firwin(OVERSAMPLING * PEAK_TAPS + 1, 1 / OVERSAMPLING, window="hann")[:-1]


def true_peaks(audio: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """(n, 2) -> (n,) largest magnitude between a sample PEAK_TAPS / 2 before and the next one."""
    found = np.zeros(len(audio))
    for channel in range(audio.shape[1]):
        fine = upfirdn(taps, audio[:, channel], up=OVERSAMPLING)[: OVERSAMPLING * len(audio)]
        found = np.maximum(found, np.abs(fine).reshape(-1, OVERSAMPLING).max(axis=1))
    return found
