"""What can be measured of one recording before it trains a voice, without torch.

Levels are in dB relative to full scale, frames are 10 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from infer.audio.filters import high_pass_causal
from infer.audio.mel import mel_filters
from infer.audio.meter import ABSOLUTE_GATE, Meter
from infer.audio.noise import signal_to_noise
from infer.audio.reader import AudioReader
from infer.audio.resampling import Resampler
from infer.f0 import HOP_LENGTH, SAMPLE_RATE
from train.preprocess import SECTION_SECONDS, find_fault
from train.slicer import cut_to_clips, slice_at_silence

FRAMES_AT_ONCE = 2048  # spectra in memory at a time

# 16 kHz: bands for noise, timbre and fingerprint
WINDOW = 400  # samples, 25 ms
FFT = 512
NUM_BANDS = 32
BAND_RANGE = (60.0, 7600.0)  # Hz
PRINT_BANDS = 33  # 32 differences between neighbours = 32 bits
PRINT_RANGE = (300.0, 3600.0)  # Hz: what telephones and codecs leave alone
PRINT_FRAMES = 32  # 0.32 s
PRINT_FLOOR = 1e-4  # of the loud part: quieter is a pause, and pauses are all alike
DIGITAL_SILENCE_DB = -90.0  # a gate or an editor made it; it says nothing about the room

# timbre
NUM_CEPSTRA = 14
VOICE_FRAMES = 300  # 3 s of voiced sound: enough for the words to average out

# clipping: samples at the recording's own ceiling
AMPLITUDE_BINS = 4096  # per full scale
CEILING = 0.985  # of the peak

# bandwidth
BAND_EDGE_DB = -75.0  # below the loudest bin of the loud spectrum
LOUD_QUANTILE = 0.98

FRAMES = 50  # per second, of the spectra at a recording's own rate


@dataclass(frozen=True)
class VoiceStatistics:
    """Of some voiced frames: how many, the sum of their timbre (D,) and of its squares (D, D)."""

    count: int
    sum: np.ndarray
    squares: np.ndarray

    def __add__(self, other: VoiceStatistics) -> VoiceStatistics:
        return VoiceStatistics(
            self.count + other.count, self.sum + other.sum, self.squares + other.squares
        )


@dataclass(frozen=True)
class Measures:
    """One recording in numbers; arrays are for comparing recordings with each other.

    clipped: share of samples at the ceiling. faults: seconds preprocessing leaves out, by reason.
    f0: (T,) Hz. voice: statistics of each 3 s of voiced frames. prints: (T,) uint32, 0 = none.
    """

    seconds: float
    sample_rate: int
    usable_seconds: float
    peak: float
    loudness: float  # LUFS, -inf where silent
    snr: float  # dB
    clipped: float
    bandwidth: float  # Hz
    faults: dict[str, float]
    f0: np.ndarray
    voice: list[VoiceStatistics]
    prints: np.ndarray


def measure(path: Path, f0_method: Callable[[np.ndarray], np.ndarray]) -> Measures:
    """Measure a recording; AudioError where it cannot be read."""
    with AudioReader(path) as reader:
        rate = reader.sample_rate
        native = _Native(rate)
        resampler = Resampler(rate, SAMPLE_RATE)
        bands = _Bands()
        f0, usable, faults = [], 0.0, {}
        num_samples = 0
        for raw in reader.blocks(SECTION_SECONDS):
            native.push(raw)
            num_samples += len(raw)
            wav = resampler.push(raw)
            if len(raw) < round(SECTION_SECONDS * rate):
                wav = np.concatenate([wav, resampler.flush()])
            if len(wav) < HOP_LENGTH:
                continue
            f0.append(f0_method(wav))
            bands.push(wav, len(f0[-1]))
            usable += _count_usable(wav, faults)
    f0 = np.concatenate(f0) if f0 else np.zeros(0, np.float32)
    return Measures(
        seconds=num_samples / rate,
        sample_rate=rate,
        usable_seconds=usable,
        peak=native.peak,
        loudness=native.loudness(),
        snr=bands.snr(),
        clipped=native.clipped(),
        bandwidth=native.bandwidth(),
        faults=faults,
        f0=f0,
        voice=voice_statistics(bands.power(), f0),
        prints=bands.prints(),
    )


def _count_usable(wav: np.ndarray, faults: dict[str, float]) -> float:
    """Seconds that preprocessing would make clips of; the others are added to faults."""
    filtered, usable = high_pass_causal(wav, SAMPLE_RATE), 0.0
    for start, length in slice_at_silence(filtered, SAMPLE_RATE):
        end = 0  # of the clip before: clips overlap, and no second counts twice
        for offset, clip_length in cut_to_clips(length, SAMPLE_RATE):
            piece = slice(start + offset, start + offset + clip_length)
            seconds = (offset + clip_length - end) / SAMPLE_RATE
            end = offset + clip_length
            if reason := find_fault(filtered[piece], wav[piece], SAMPLE_RATE):
                faults[reason] = faults.get(reason, 0.0) + seconds
            else:
                usable += seconds
    return usable


class _Native:
    """What needs the recording's own rate: peak, clipping, loudness, bandwidth."""

    def __init__(self, sample_rate: int) -> None:
        self.peak = 0.0
        self._rate = sample_rate
        self._hop = max(1, round(sample_rate / FRAMES))
        self._window = np.hanning(2 * self._hop + 1)[:-1].astype(np.float32)
        self._hz = np.fft.rfftfreq(2 * self._hop, 1 / sample_rate)
        self._amplitudes = np.zeros(2 * AMPLITUDE_BINS, np.int64)
        self._meter = Meter(sample_rate)
        self._loud = np.zeros(len(self._hz))  # spectrum of the loudest section

    def push(self, wav: np.ndarray) -> None:
        magnitude = np.abs(wav)
        self.peak = max(self.peak, float(magnitude.max(initial=0.0)))
        bins = np.minimum(magnitude * AMPLITUDE_BINS, 2 * AMPLITUDE_BINS - 1).astype(np.int64)
        self._amplitudes += np.bincount(bins, minlength=2 * AMPLITUDE_BINS)
        self._meter.push(wav)
        for power in _power_spectra(wav, self._window, self._hop, 2 * self._hop):
            rank = int(LOUD_QUANTILE * (len(power) - 1))
            self._loud = np.maximum(self._loud, np.partition(power, rank, axis=0)[rank])

    def clipped(self) -> float:
        """Share of samples at the ceiling, beyond the few that any peak has there."""
        first = int(CEILING * self.peak * AMPLITUDE_BINS)
        return float(self._amplitudes[first:].sum() / max(1, self._amplitudes.sum()))

    def bandwidth(self) -> float:
        """Hz up to which there is sound; half the sample rate unless something cut it off."""
        if not self._loud.max(initial=0.0):
            return 0.0
        edge = self._loud.max() * 10 ** (BAND_EDGE_DB / 10)
        return float(self._hz[np.flatnonzero(self._loud > edge)[-1]])

    def loudness(self) -> float:
        """Integrated loudness in LUFS; -inf for silence."""
        lufs = self._meter.loudness()
        return lufs if lufs > ABSOLUTE_GATE else -np.inf


class _Bands:
    """What is measured at 16 kHz in 10 ms frames: noise, timbre, fingerprint."""

    def __init__(self) -> None:
        self._window = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
        self._filters = mel_filters(NUM_BANDS, FFT, SAMPLE_RATE, "htk", "peak", *BAND_RANGE).T
        hz = np.fft.rfftfreq(FFT, 1 / SAMPLE_RATE)
        edges = np.searchsorted(hz, np.linspace(*PRINT_RANGE, PRINT_BANDS + 1))
        self._prints = np.zeros((len(hz), PRINT_BANDS), np.float32)
        for band, (low, high) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
            self._prints[low:high, band] = 1.0
        self._bands: list[np.ndarray] = []
        self._print_bands: list[np.ndarray] = []

    def push(self, wav: np.ndarray, num_frames: int) -> None:
        """Take samples (N,) that give num_frames frames, frame i centred at sample 160 i."""
        padded = np.pad(wav, (WINDOW // 2, WINDOW // 2))
        spectra = list(_power_spectra(padded, self._window, HOP_LENGTH, FFT))
        self._bands.append(np.concatenate([s @ self._filters for s in spectra])[:num_frames])
        self._print_bands.append(np.concatenate([s @ self._prints for s in spectra])[:num_frames])

    def power(self) -> np.ndarray:
        """(T, NUM_BANDS) mean square of each band."""
        if not self._bands:
            return np.zeros((0, NUM_BANDS), np.float32)
        scale = 2.0 / (FFT * np.sum(self._window**2))
        return np.concatenate(self._bands) * np.float32(scale)

    def snr(self) -> float:
        return signal_to_noise(self.power(), 10 ** (DIGITAL_SILENCE_DB / 10))

    def prints(self) -> np.ndarray:
        if not self._print_bands:
            return np.zeros(0, np.uint32)
        return fingerprint(np.concatenate(self._print_bands))


def snr_of(audio: np.ndarray) -> float:
    """Speech over noise in dB of (N,) samples at 16 kHz."""
    bands = _Bands()
    bands.push(audio, len(audio) // HOP_LENGTH)
    return bands.snr()


def voice_statistics(power: np.ndarray, f0: np.ndarray) -> list[VoiceStatistics]:
    """Cepstrum and log f0 of the voiced frames, VOICE_FRAMES at a time; power (T, bands), f0 (T,).

    The mean of the cepstrum over many sounds is what throat and microphone leave, not the words.
    """
    is_voiced = f0 > 0
    bands = np.arange(NUM_BANDS) + 0.5
    angles = np.pi / NUM_BANDS * bands[:, None] * np.arange(1, NUM_CEPSTRA + 1)
    cepstra = np.log(power[is_voiced] + 1e-12) @ (np.sqrt(2 / NUM_BANDS) * np.cos(angles))
    frames = np.column_stack([cepstra, np.log(f0[is_voiced])]).astype(np.float64)
    parts = [frames[i : i + VOICE_FRAMES] for i in range(0, len(frames), VOICE_FRAMES)]
    return [VoiceStatistics(len(part), part.sum(axis=0), part.T @ part) for part in parts]


def mean_cepstrum(recordings: Iterable[tuple[np.ndarray, np.ndarray]]) -> np.ndarray | None:
    """(NUM_CEPSTRA,) mean over the voiced frames of recordings, None where there are none.

    recordings: audio (N,) at 16 kHz and its f0 (N // 160,) in Hz, of each.
    """
    parts: list[VoiceStatistics] = []
    for audio, f0 in recordings:
        bands = _Bands()
        bands.push(audio, len(f0))
        power = bands.power()
        parts += voice_statistics(power, f0[: len(power)])
    count = sum(part.count for part in parts)
    return sum(part.sum for part in parts)[:NUM_CEPSTRA] / count if count else None


def spectrum_distance_db(one: np.ndarray, other: np.ndarray) -> float:
    """How far two smooth spectra, given by their cepstra, lie apart: RMS over the bands in dB."""
    return float(10 / np.log(10) * np.linalg.norm(one - other) / np.sqrt(NUM_BANDS))


def fingerprint(bands: np.ndarray) -> np.ndarray:
    """(T, 33) band powers -> (T,) 32 bits a frame that survive level, codec and sample rate.

    A bit tells whether the difference of two neighbouring bands grows from one frame to the next,
    each frame a third of a second long (Haitsma & Kalker 2002). 0 where there is nothing to hear.
    """
    if len(bands) <= PRINT_FRAMES:
        return np.zeros(len(bands), np.uint32)
    sums = np.cumsum(np.pad(bands, ((1, 0), (0, 0))), axis=0, dtype=np.float64)
    smooth = sums[PRINT_FRAMES:] - sums[:-PRINT_FRAMES]
    difference = np.diff(np.diff(smooth, axis=1), axis=0)
    bits = (difference > 0) @ (1 << np.arange(32, dtype=np.uint64))
    total = smooth[1:].sum(axis=1)
    is_audible = total > PRINT_FLOOR * np.quantile(total, 0.95)
    prints = np.where(is_audible, bits, 0).astype(np.uint32)
    return np.pad(prints, (0, len(bands) - len(prints)))


def _power_spectra(wav: np.ndarray, window: np.ndarray, hop: int, fft: int) -> Iterator[np.ndarray]:
    """Yield (up to FRAMES_AT_ONCE, fft // 2 + 1) power spectra; frame i starts at sample hop i."""
    if len(wav) < len(window):
        wav = np.pad(wav, (0, len(window) - len(wav)))
    frames = np.lib.stride_tricks.sliding_window_view(wav, len(window))[::hop]
    for start in range(0, len(frames), FRAMES_AT_ONCE):
        spectra = np.fft.rfft(frames[start : start + FRAMES_AT_ONCE] * window, fft)
        yield spectra.real**2 + spectra.imag**2
