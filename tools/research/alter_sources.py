"""Recordings as a converter also gets them: quiet, in noise and rooms, coded, whispered ...

Feeds tools.research.evaluate, which shows what each does to a conversion.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from config import replacing
from infer.audio.reader import load
from infer.audio.resampling import resample
from infer.f0 import SAMPLE_RATE
from options import Options, option, parse_options
from tools.cmd.terminal import exit_code
from tools.research.evaluate import choose_clips
from tools.research.measure_f0 import QUIET_GAIN, add_noise, keep_band

PHONE_RATE, PHONE_BAND = 8000, (300, 3400)  # Hz
OVERDRIVE = 8.0  # times full scale
PEAK = 0.9
ROOM_SECONDS = 0.6  # RT60
ROOM_DB, ROOM_GAP = -3.0, 0.004  # energy of the tail beside the direct sound; when it begins, s
MP3_KBITS = 32
CHORDS = ((0, 4, 7), (9, 12, 16), (5, 9, 12), (7, 11, 14))  # semitones, one after another
Audio = tuple[np.ndarray, int]  # (N,) float32 and its rate in Hz


def _quiet(audio: np.ndarray, rate: int, random: np.random.Generator) -> Audio:
    return audio * np.float32(QUIET_GAIN), rate


def _clipped(audio: np.ndarray, rate: int, random: np.random.Generator) -> Audio:
    peak = max(float(np.abs(audio).max()), 1e-9)
    return np.clip(audio * (OVERDRIVE / peak), -1, 1) * np.float32(PEAK), rate


def _noisy(ratio_db: float) -> Callable[[np.ndarray, int, np.random.Generator], Audio]:
    def alter(audio: np.ndarray, rate: int, random: np.random.Generator) -> Audio:
        return _levelled(add_noise(audio, ratio_db, random, rate)), rate

    return alter


def _phone(audio: np.ndarray, rate: int, random: np.random.Generator) -> Audio:
    band = keep_band(resample(audio, rate, SAMPLE_RATE), *PHONE_BAND)
    return resample(band, SAMPLE_RATE, PHONE_RATE), PHONE_RATE


def _whisper(audio: np.ndarray, rate: int, random: np.random.Generator) -> Audio:
    """The same throat with noise instead of a voice, by WORLD."""
    import pyworld

    signal = resample(audio, rate, SAMPLE_RATE).astype(np.float64)
    f0, seconds = pyworld.harvest(signal, SAMPLE_RATE)
    spectrum = pyworld.cheaptrick(signal, f0, seconds, SAMPLE_RATE)
    made = pyworld.synthesize(np.zeros_like(f0), spectrum, np.ones_like(spectrum), SAMPLE_RATE)
    return _levelled(made.astype(np.float32)), SAMPLE_RATE


def _room(audio: np.ndarray, rate: int, random: np.random.Generator) -> Audio:
    """In a room without walls of its own: noise that dies away follows every sound."""
    seconds = np.arange(round(ROOM_SECONDS * 1.2 * rate)) / rate
    tail = random.standard_normal(len(seconds)) * 10 ** (-3 * seconds / ROOM_SECONDS)
    tail[seconds < ROOM_GAP] = 0
    tail *= np.sqrt(10 ** (ROOM_DB / 10) / np.sum(tail**2))
    tail[0] = 1
    size = len(audio) + len(tail)
    sounding = np.fft.irfft(np.fft.rfft(audio, size) * np.fft.rfft(tail, size), size)
    return _levelled(sounding[: len(audio)].astype(np.float32)), rate


def _coded(audio: np.ndarray, rate: int, random: np.random.Generator) -> Audio:
    """Through MP3 and back, in place."""
    import av

    signal = resample(audio, rate, SAMPLE_RATE)
    file = io.BytesIO()
    with av.open(file, "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=SAMPLE_RATE, layout="mono")
        stream.bit_rate = MP3_KBITS * 1000
        frame = av.AudioFrame.from_ndarray(signal[None], format="fltp", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        container.mux([*stream.encode(frame), *stream.encode(None)])
    file.seek(0)
    with av.open(file) as container:
        made = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
    size = len(made) + len(signal)
    match = np.fft.irfft(np.fft.rfft(made, size) * np.fft.rfft(signal, size).conj(), size)
    delay = int(np.argmax(match[: SAMPLE_RATE // 4]))  # of the encoder and its file
    made = np.pad(made[delay:], (0, len(signal)))[: len(signal)]
    return resample(made.astype(np.float32), SAMPLE_RATE, rate)[: len(audio)], rate


def _music(audio: np.ndarray, rate: int, random: np.random.Generator) -> Audio:
    """Plucked chords and a bass under it, 10 dB softer."""
    seconds = np.arange(len(audio)) / rate
    music = np.zeros(len(audio))
    beat, root = random.uniform(0.35, 0.5), random.uniform(180, 260)
    for number in range(int(seconds[-1] / beat) + 1):
        chord = CHORDS[number // 4 % len(CHORDS)]
        for semitones in (chord[number % 3], chord[0] - 12, chord[(number + 1) % 3]):
            since = seconds - number * beat
            hz = root * 2 ** (semitones / 12)
            heard = np.exp(-np.maximum(since, 0) / 0.4) * (since >= 0)
            for harmonic in range(1, 8):
                music += heard / harmonic * np.sin(2 * np.pi * harmonic * hz * since)
    level = np.sqrt(np.mean(audio.astype(np.float64) ** 2) / np.mean(music**2) / 10)
    return _levelled((audio + level * music).astype(np.float32)), rate


def _levelled(audio: np.ndarray) -> np.ndarray:
    return audio * np.float32(PEAK / max(float(np.abs(audio).max()), 1e-9))


KINDS: dict[str, Callable[[np.ndarray, int, np.random.Generator], Audio]] = {
    "quiet": _quiet,
    "clipped": _clipped,
    "noise-20": _noisy(20.0),
    "noise-10": _noisy(10.0),
    "noise-5": _noisy(5.0),
    "noise-0": _noisy(0.0),
    "room": _room,
    "phone": _phone,
    "mp3": _coded,
    "music": _music,
    "whisper": _whisper,
}


@dataclass(frozen=True, kw_only=True)
class AlterSourcesOptions(Options):
    """Write recordings as they would be in worse circumstances."""

    MODULE = "tools.research.alter_sources"

    sources: Path = option("folder of recordings, a subfolder for each speaker")
    output: Path = option("folder for the altered ones, under the same names as flac")
    kind: str = option(
        "quiet = 40 dB less, clipped = 18 dB above full scale, noise-20 ... noise-0 = pink noise "
        "at so many dB, room = RT60 0.6 s, phone = 300..3400 Hz at 8 kHz, mp3 = 32 kbit/s, music = "
        "chords 10 dB softer, whisper = noise instead of voice",
        choices=KINDS,
    )
    limit: int = option("clips, chosen as tools.research.evaluate does", 16, within=(1, 10_000))
    seed: int = option("of the noise", 0, within=(0, 2**31))


def alter_sources(options: AlterSourcesOptions) -> int:
    """Write the altered recordings; returns how many. Raises ValueError or OSError."""
    clips = choose_clips(options.sources, options.limit)
    if options.output.resolve() == options.sources.resolve():
        raise ValueError(f"--output is the folder of the recordings, {options.output}")
    for number, clip in enumerate(clips):
        random = np.random.default_rng([options.seed, number])
        audio, rate = KINDS[options.kind](*load(clip), random)
        target = (options.output / clip.relative_to(options.sources)).with_suffix(".flac")
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as temporary:
            soundfile.write(temporary, audio, rate, format="FLAC", subtype="PCM_24")
    return len(clips)


def main(argv: list[str] | None = None) -> int:
    """Do what the command line says; returns the exit code."""
    options = parse_options(AlterSourcesOptions, argv)
    return exit_code(lambda: print(f"{options.output}: {alter_sources(options)} recordings"))


if __name__ == "__main__":
    sys.exit(main())
