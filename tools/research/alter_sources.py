"""Recordings as a converter also gets them: quiet, clipped, in noise, by telephone, whispered.

Feeds tools.research.evaluate, which shows what each does to a conversion.
"""

from __future__ import annotations

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


def _levelled(audio: np.ndarray) -> np.ndarray:
    return audio * np.float32(PEAK / max(float(np.abs(audio).max()), 1e-9))


KINDS: dict[str, Callable[[np.ndarray, int, np.random.Generator], Audio]] = {
    "quiet": _quiet,
    "clipped": _clipped,
    "noise-10": _noisy(10.0),
    "noise-0": _noisy(0.0),
    "phone": _phone,
    "whisper": _whisper,
}


@dataclass(frozen=True, kw_only=True)
class AlterSourcesOptions(Options):
    """Write recordings as they would be in worse circumstances."""

    MODULE = "tools.research.alter_sources"

    sources: Path = option("folder of recordings, a subfolder for each speaker")
    output: Path = option("folder for the altered ones, under the same names as flac")
    kind: str = option(
        "quiet = 40 dB less, clipped = 18 dB above full scale, noise-10 and noise-0 = pink noise "
        "at 10 and 0 dB, phone = 300..3400 Hz at 8 kHz, whisper = noise instead of voice",
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
