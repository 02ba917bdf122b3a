"""The pitch of music, shifted by a phase vocoder; its length and the places of its ears stay.

Time is stretched in the frequency domain with phases locked to the peaks of the spectrum (Laroche &
Dolson 1999, "Improved phase vocoder time-scale modification of audio"), then played faster. Left
and right are turned by the same phases, those of their sum, so what is in the middle stays there.
"""

from __future__ import annotations

import numpy as np

from infer.audio.resampling import Resampler

WINDOW_SECONDS = 0.093  # 4096 samples at 44.1 kHz: bass notes are told apart
OVERLAP = 4  # windows over every sample
PEAK_REACH = 2  # bins on both sides that a peak exceeds


class PitchShifter:
    """Shift a stream of (n, 2) blocks by semitones; as many samples come out in all."""

    def __init__(self, sample_rate: int, semitones: float) -> None:
        self._ratio = 2 ** (semitones / 12)
        self._size = 2 ** round(np.log2(WINDOW_SECONDS * sample_rate))
        self._hop = self._size // OVERLAP  # between two windows of the stretched sound
        self._window = np.hanning(self._size + 1)[:-1]
        self._steps = 2 * np.pi * np.arange(self._size // 2 + 1) / self._size  # phase per sample
        self._held = np.zeros((self._size // 2, 2))  # of the source; the first window is centred
        self._origin = -(self._size // 2)  # where in the source `held` begins
        self._frame = 0
        self._phases: tuple[np.ndarray, np.ndarray] | None = None  # analysed, and synthesised
        self._place = 0  # of the last window in the source
        self._sum = np.zeros((self._size, 2))  # of windows that overlap what comes next
        self._skip = self._size // 2  # of the stretched sound, before its beginning
        self._resampler = Resampler(sample_rate * self._ratio, sample_rate, channels=2)
        self._taken = self._given = 0

    def push(self, audio: np.ndarray) -> np.ndarray:
        """Take the next block, return what is ready."""
        self._taken += len(audio)
        return self._count(self._stretch(audio))

    def flush(self) -> np.ndarray:
        """Return the rest."""
        missing = self._taken - self._given
        stretched = self._stretch(np.zeros((2 * self._size, 2)))
        rest = np.concatenate([self._resampler.push(stretched), self._resampler.flush()])[:missing]
        return np.pad(rest, ((0, missing - len(rest)), (0, 0)))

    def _count(self, stretched: np.ndarray) -> np.ndarray:
        ready = self._resampler.push(stretched)[: self._taken - self._given]
        self._given += len(ready)
        return ready

    def _stretch(self, audio: np.ndarray) -> np.ndarray:
        self._held = np.concatenate([self._held, audio])
        parts = []
        while True:
            start = round(self._frame * self._hop / self._ratio) - self._size // 2
            first = start - self._origin
            if first + self._size > len(self._held):
                break
            parts.append(self._overlap(self._turn(self._held[first : first + self._size], start)))
            self._frame += 1
            if first > 2**18:  # not at every window: that would copy all that is held
                self._held, self._origin = self._held[first:], start
        ready = np.concatenate([np.zeros((0, 2)), *parts])
        cut = min(self._skip, len(ready))
        self._skip -= cut
        return ready[cut:].astype(np.float32)

    def _turn(self, frame: np.ndarray, start: int) -> np.ndarray:
        """One window of the stretched sound, (size, 2)."""
        spectra = np.fft.rfft(frame * self._window[:, None], axis=0)
        middle = spectra.sum(axis=1)
        analysed = np.angle(middle)
        if self._phases is None:
            synthesised = analysed
        else:
            last_analysed, last_synthesised = self._phases
            passed = start - self._place
            drift = analysed - last_analysed - self._steps * passed
            drift -= 2 * np.pi * np.round(drift / (2 * np.pi))
            turned = last_synthesised + (self._steps + drift / max(1, passed)) * self._hop
            nearest = _nearest_peaks(np.abs(middle))
            synthesised = analysed + (turned - analysed)[nearest]
        self._phases, self._place = (analysed, synthesised), start
        spectra = spectra * np.exp(1j * (synthesised - analysed))[:, None]
        return np.fft.irfft(spectra, self._size, axis=0) * self._window[:, None]

    def _overlap(self, window: np.ndarray) -> np.ndarray:
        self._sum += window
        ready = self._sum[: self._hop] / (OVERLAP * 3 / 8)  # the sum of the squared windows
        self._sum = np.concatenate([self._sum[self._hop :], np.zeros((self._hop, 2))])
        return ready


def _nearest_peaks(magnitude: np.ndarray) -> np.ndarray:
    """(F,) -> (F,) bin of the peak to which each bin belongs."""
    padded = np.pad(magnitude, PEAK_REACH)
    size = len(magnitude)
    is_peak = np.ones(size, bool)
    for reach in range(1, PEAK_REACH + 1):
        is_peak &= magnitude >= padded[PEAK_REACH - reach : PEAK_REACH - reach + size]
        is_peak &= magnitude > padded[PEAK_REACH + reach : PEAK_REACH + reach + size]
    peaks = np.flatnonzero(is_peak)
    if not len(peaks):
        return np.arange(size)
    borders = (peaks[1:] + peaks[:-1] + 1) // 2
    return peaks[np.searchsorted(borders, np.arange(size), side="right")]
