"""A song for tests: its two stems, and what is measured of covers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from infer.audio.meter import Meter
from infer.audio.reader import AudioReader, load

RATE = 44100


def write_stems(folder: Path, speech: Path, seconds: float) -> tuple[Path, Path]:
    """Write speech that is laid out as vocals in stereo, two phrases, and chords with beats."""
    sung, _ = load(speech, RATE)
    count = round(seconds * RATE)
    sung = 0.5 * np.tile(sung, -(-count // len(sung)))[:count]
    sung[round(2.5 * RATE) : round(3.2 * RATE)] = 0
    room = 0.1 * np.roll(sung, 900)
    times = np.arange(len(sung)) / RATE
    music = np.zeros((len(sung), 2))
    for number, hz in enumerate((110, 138.6, 164.8, 220)):
        music[:, number % 2] += 0.08 * np.sin(2 * np.pi * hz * times)
    beat = 0.3 * np.exp(-np.arange(4000) / 400) * np.random.default_rng(0).normal(size=4000)
    for start in range(0, len(music) - 4000, RATE // 2):
        music[start : start + 4000] += beat[:, None]
    vocals, rest = folder / "my vocals.wav", folder / "the rest.wav"
    soundfile.write(vocals, np.stack([sung + room, sung - room], axis=1), RATE, "PCM_24")
    soundfile.write(rest, music, RATE, "PCM_24")
    return vocals, rest


def stereo(path: Path) -> np.ndarray:
    """Read a file, (n, 2)."""
    with AudioReader(path, RATE, channels=2) as reader:
        return np.concatenate(list(reader.blocks()))


def loudness(audio: np.ndarray) -> float:
    meter = Meter(RATE)
    meter.push(audio)
    return meter.loudness()


def delay_ms(sound: np.ndarray, original: np.ndarray) -> float:
    """By how much a sound is late, by the peak of the correlation."""
    size = len(sound) + len(original)
    spectra = np.fft.rfft(sound, size) * np.conj(np.fft.rfft(original, size))
    place = int(np.argmax(np.fft.irfft(spectra, size)))
    return 1000 * (place if place < size / 2 else place - size) / RATE
