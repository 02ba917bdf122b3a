"""Make voices of the base corpus sing, shout, whisper and leave their pitch, for the base model.

Needs what tools.research.build_base_corpus has spoken; the recordings keep their licences:
    python -m tools.research.vary_base_corpus --source corpus/synth --output corpus/extra
WORLD takes speech apart into pitch, spectral envelope and noise and puts it together again changed
(Morise et al. 2016). Files that exist are kept, so a second run goes on where the first stopped.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
from scipy.ndimage import binary_closing, binary_opening, gaussian_filter1d
from scipy.signal import find_peaks

from infer.audio.resampling import resample
from infer.f0 import F0_RATE, SAMPLE_RATE, F0Method, load_f0_method
from options import Options, option, parse_options
from tools.cmd.terminal import exit_code
from tools.research.build_base_corpus import read_manifest, tidy, write, write_manifest

FRAME_SECONDS = 0.005
FRAMES = round(1 / FRAME_SECONDS)  # a second
WOMAN, MAN = (200.0, 900.0), (90.0, 520.0)  # Hz that each sings
SINGERS = {
    "heart": WOMAN,
    "joe": MAN,
    "kokoro_jf_alpha": WOMAN,
    "kokoro_jm_kumo": MAN,
    "heart_high": WOMAN,
    "joe_low": MAN,
}
STEPS = (-12, -7, -5, -4, -3, -2, -2, -1, 0, 1, 2, 2, 3, 4, 5, 7, 12)  # semitones to the next note
BANDS = 4  # clips take turns in the parts of a singer's range
BAND_SEMITONES = 8  # up and down from the middle of a clip
NOTE_SECONDS = (0.3, 3.0)
STRETCHED_SECONDS = 0.03  # of a vowel, to each side of its middle
FORMANTS_END = 3000.0  # Hz; what is higher stays when the first formant is moved
FIRST_FORMANT = 900.0  # Hz; what is lower moves with the first formant
SUNG_FORMANT = 500.0  # Hz; a singer opens the mouth further for higher notes
MAX_GAIN = 10.0  # dB, where a harmonic misses a formant
LOWEST_SPEECH = 75.0  # Hz, median of a clip; f0 methods hear nothing below 50
WHISPER_DB = -12.0  # of the vowels, beside the hisses


@dataclass(frozen=True, kw_only=True)
class VaryBaseCorpusOptions(Options):
    """Make voices of the base corpus sing, shout, whisper and leave their pitch."""

    MODULE = "tools.research.vary_base_corpus"

    source: Path = option("folder that tools.research.build_base_corpus has written")
    output: Path = option("folder to write <speaker>/*.flac and manifest.tsv to")
    only: str = option("speakers whose name starts with this; '' = all", "")
    minutes: float = option("minutes of each kind for each speaker", 2.5, within=(0, 60))


@dataclass(frozen=True, kw_only=True)
class Voice:
    """Speech as WORLD sees it, FRAMES a second.

    f0 (T,) Hz, 0 where unvoiced; envelope (T, bins) power from 0 Hz to half the sample rate; noise
    (T, bins) its part without pitch, 0..1.
    """

    f0: np.ndarray
    envelope: np.ndarray
    noise: np.ndarray
    sample_rate: int

    @property
    def hz(self) -> np.ndarray:
        """The frequency of every bin."""
        return np.linspace(0, self.sample_rate / 2, self.envelope.shape[1])


@cache
def f0_method() -> F0Method:
    return load_f0_method("swift")


def analyse(audio: np.ndarray, sample_rate: int) -> Voice:
    """Take speech (N,) apart."""
    import pyworld

    coarse = f0_method()(resample(audio, sample_rate, SAMPLE_RATE))
    seconds = np.arange(int(len(audio) / sample_rate * FRAMES) + 1) * FRAME_SECONDS
    at, voiced = np.flatnonzero(coarse), (coarse > 0)[(seconds * F0_RATE).astype(int) % len(coarse)]
    if len(at) == 0:
        raise ValueError("no voice in the recording")
    voiced = binary_closing(voiced, iterations=3)  # holes of up to 30 ms
    voiced = binary_opening(voiced, iterations=3)  # bits of up to 30 ms
    f0 = np.where(voiced, np.interp(seconds, at / F0_RATE, coarse[at]), 0.0)
    wave = audio.astype(np.float64)
    envelope = pyworld.cheaptrick(wave, f0, seconds, sample_rate)
    noise = pyworld.d4c(wave, f0, seconds, sample_rate, threshold=0.0)
    return Voice(f0=f0, envelope=envelope, noise=noise, sample_rate=sample_rate)


def synthesise(voice: Voice) -> np.ndarray:
    """Put a voice together again: (N,) at its sample rate."""
    import pyworld

    parts = [np.ascontiguousarray(part) for part in (voice.f0, voice.envelope, voice.noise)]
    return pyworld.synthesize(*parts, voice.sample_rate, 1000 * FRAME_SECONDS)


def between(rows: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Rows (T, bins) at the places `at` (S,) in 0..T-1, linear in between: (S, bins)."""
    low = np.minimum(at.astype(int), len(rows) - 2)
    part = (at - low)[:, None]
    return rows[low] * (1 - part) + rows[low + 1] * part


def shift_first_formant(voice: Voice, factor: np.ndarray) -> Voice:
    """Multiply the frequency of the first formant by factor (T,), 1..1.5."""
    factor = factor[:, None]
    slope = (FORMANTS_END - FIRST_FORMANT) / (FORMANTS_END - FIRST_FORMANT * factor)
    upper = FORMANTS_END - (FORMANTS_END - voice.hz) * slope
    origin = np.where(voice.hz < FIRST_FORMANT * factor, voice.hz / factor, upper)
    bins = np.where(voice.hz < FORMANTS_END, origin, voice.hz) / voice.hz[1]
    low = np.minimum(bins.astype(int), len(voice.hz) - 2)
    logs = np.log(voice.envelope)
    below, above = (np.take_along_axis(logs, low + i, axis=1) for i in (0, 1))
    return replace(voice, envelope=np.exp(below + (bins - low) * (above - below)))


def voicing(voice: Voice) -> np.ndarray:
    """How voiced every frame is, 0..1, with soft edges: (T,)."""
    return gaussian_filter1d((voice.f0 > 0).astype(float), 2)


def flatten(voice: Voice, db_per_octave: float) -> Voice:
    """Lift voiced sound above 1 kHz, up to 4 kHz, as effort does."""
    lift = db_per_octave * np.log2(np.clip(voice.hz / 1000, 1, 4))
    return replace(voice, envelope=voice.envelope * 10 ** (voicing(voice)[:, None] * lift / 10))


def amplify(voice: Voice, gain_db: np.ndarray) -> Voice:
    """Add gain_db (T,) to every frame."""
    return replace(voice, envelope=voice.envelope * 10 ** (gain_db[:, None] / 10))


def power(voice: Voice) -> np.ndarray:
    """Power of the envelope of every frame, dB: (T,)."""
    return 10 * np.log10(voice.envelope.sum(axis=1) * voice.hz[1] + 1e-20)


def keep_power(voice: Voice) -> Voice:
    """Make every voiced frame as loud as its envelope, wherever its harmonics fall."""
    voiced = voice.f0 > 0
    f0 = voice.f0[voiced, None]
    number = np.arange(1, int(voice.hz[-1] / f0.min()) + 1)
    bins = np.minimum(f0 * number / voice.hz[1] + 0.5, len(voice.hz) - 1).astype(int)
    inside = f0 * number < voice.hz[-1]
    sampled = np.take_along_axis(voice.envelope[voiced], bins, axis=1) * inside * f0
    gain = np.zeros(len(voice.f0))
    missing = power(voice)[voiced] - 10 * np.log10(sampled.sum(axis=1) + 1e-20)
    gain[voiced] = np.clip(missing, -MAX_GAIN, MAX_GAIN)
    return amplify(voice, gaussian_filter1d(gain, 4))


def runs(voiced: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield start and end of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], voiced.astype(int), [0]])))
    yield from zip(edges[::2], edges[1::2], strict=True)


def syllables(voice: Voice) -> list[tuple[int, int, int]]:
    """Start, middle and end of every voiced syllable, in frames: loud between two soft places."""
    vowels = (voice.hz > 250) & (voice.hz < 3500)
    level = 10 * np.log10(voice.envelope[:, vowels].sum(axis=1) + 1e-20)
    level = gaussian_filter1d(level, 0.015 * FRAMES)
    found = []
    for start, end in runs(voice.f0 > 0):
        inside = level[start:end]
        middles, _ = find_peaks(inside, distance=0.08 * FRAMES, prominence=1.5)
        middles = middles if len(middles) else np.array([inside.argmax()])
        cuts = [a + inside[a:b].argmin() for a, b in zip(middles, middles[1:], strict=False)]
        bounds = start + np.array([0, *cuts, end - start])
        found += list(zip(bounds, start + middles, bounds[1:], strict=False))
    return found


def hold(voice: Voice, random: np.random.Generator) -> tuple[Voice, list[tuple[int, int]]]:
    """Hold every vowel for the length of a note; returns start and end of each note, in frames."""
    parts = syllables(voice)
    lengths = np.exp(random.normal(np.log(0.55), 0.65, len(parts))).clip(*NOTE_SECONDS) * FRAMES
    pace = np.ones(len(voice.f0))
    reach = STRETCHED_SECONDS * FRAMES
    for (start, middle, end), length in zip(parts, lengths, strict=True):
        frames = np.arange(start, end)
        weight = np.cos(np.pi / 2 * np.clip((frames - middle) / reach, -1, 1)) ** 2
        pace[start:end] += max(0.0, length - (end - start)) * weight / weight.sum()
    time = np.concatenate([[0], np.cumsum(pace)])[:-1]  # of every old frame
    at = np.interp(np.arange(int(time[-1]) + 1), time, np.arange(len(time)))
    nearest = np.rint(at).astype(int)
    notes = [(round(time[a]), round(time[b - 1]) + 1) for a, _, b in parts]
    held = replace(
        voice,
        f0=np.where((voice.f0 > 0)[nearest], np.interp(at, np.arange(len(time)), voice.f0), 0.0),
        envelope=np.exp(between(np.log(voice.envelope), at)),
        noise=between(voice.noise, at),
    )
    return held, notes


def divide(notes: list[tuple[int, int]], random: np.random.Generator) -> Iterator[tuple[int, int]]:
    """Make some of the long notes a run of two to four short ones."""
    for start, end in notes:
        pieces = 1
        if end - start > 0.9 * FRAMES and random.random() < 0.3:
            pieces = min(4, int((end - start) / (0.3 * FRAMES)))
        bounds = np.linspace(start, end, pieces + 1).astype(int)
        yield from zip(bounds, bounds[1:], strict=False)


def melody(
    size: int,
    notes: list[tuple[int, int]],
    bounds: tuple[float, float],
    middle: float,
    random: np.random.Generator,
) -> np.ndarray:
    """A sung contour over `size` frames, in semitones.

    notes: start and end of each. bounds: lowest and highest semitone; middle: of the clip's notes.
    """
    low = max(bounds[0], middle - BAND_SEMITONES)
    high = min(bounds[1], middle + BAND_SEMITONES)
    pitch = float(random.uniform(low, high))
    contour, vibrato = np.full(size, pitch), np.zeros(size)
    for start, end in divide(notes, random):
        step = float(random.choice(STEPS))
        pitch += step if low <= pitch + step <= high else -step
        pitch = float(np.clip(pitch, low, high))
        length, goal = end - start, pitch
        time = np.arange(length) / FRAMES
        if length > 0.7 * FRAMES and random.random() < 0.2:  # glide over one octave or two
            wide = random.uniform(10, 24)
            goal = pitch + wide if pitch + wide <= bounds[1] else pitch - wide
            goal = float(np.clip(goal, *bounds))
        elif random.random() < 0.7:
            depth, rate = random.uniform(0.3, 0.6), random.uniform(5.0, 6.5)
            onset = np.clip((time - random.uniform(0.15, 0.35)) / 0.3, 0, 1)
            vibrato[start:end] = depth * onset * np.sin(2 * np.pi * rate * time)
        ramp = 0.5 - 0.5 * np.cos(np.pi * np.clip((time / time[-1] - 0.1) / 0.8, 0, 1))
        contour[start:] = pitch + random.normal(0, 0.1)
        contour[start:end] += (goal - pitch) * ramp
        if random.random() < 0.3:  # reached from below
            contour[start:end] -= random.uniform(0.5, 2) * np.exp(-time / 0.06)
        contour[end:] = goal
        pitch = float(np.clip(goal, low, high))
    drift = gaussian_filter1d(random.normal(size=size), 0.1 * FRAMES) * 0.25
    glide = random.uniform(0.012, 0.03) * FRAMES  # a change of note takes about four times as long
    return np.clip(gaussian_filter1d(contour, glide) + vibrato + drift, *bounds)


def sing(
    voice: Voice, sung: tuple[float, float], number: int, random: np.random.Generator
) -> Voice:
    """Give speech a melody within `sung` Hz, its vowels held for the notes."""
    speech = float(np.median(voice.f0[voice.f0 > 0]))
    bounds = (12 * np.log2(sung[0] / speech), 12 * np.log2(sung[1] / speech))
    part = (number % BANDS + random.random()) / BANDS
    held, notes = hold(voice, random)
    middle = bounds[0] + part * (bounds[1] - bounds[0])
    semitones = melody(len(held.f0), notes, bounds, middle, random)
    f0 = np.where(held.f0 > 0, speech * 2 ** (semitones / 12), 0.0)
    dynamics = np.interp(
        np.arange(len(f0)), [start for start, _ in notes], random.normal(0, 1.5, len(notes))
    )
    louder = np.where(f0 > 0, dynamics + np.clip(0.25 * semitones, -3, 6), 0.0)
    opened = np.where(f0 > 0, np.clip(f0 / SUNG_FORMANT, 1, 1.4), 1.0)
    effort = flatten(held, random.uniform(0, 3))
    voice = shift_first_formant(replace(effort, f0=f0), gaussian_filter1d(opened, 4))
    return amplify(keep_power(voice), gaussian_filter1d(louder, 4))


def shout(
    voice: Voice, sung: tuple[float, float], number: int, random: np.random.Generator
) -> Voice:
    """Higher, brighter, with an open mouth, and equally loud throughout."""
    voiced = voice.f0 > 0
    f0 = np.minimum(voice.f0 * random.uniform(1.3, 1.8), sung[1])
    bright = flatten(replace(voice, f0=f0), random.uniform(3, 6))
    opened = np.where(voiced, random.uniform(1.1, 1.15), 1.0)
    bright = keep_power(shift_first_formant(bright, gaussian_filter1d(opened, 4)))
    level = gaussian_filter1d(power(bright), 0.02 * FRAMES)
    steady = np.where(voiced, np.clip(0.7 * (np.percentile(level, 90) - level), 0, 12), 0.0)
    return amplify(bright, gaussian_filter1d(steady, 4))


def whisper(
    voice: Voice, sung: tuple[float, float], number: int, random: np.random.Generator
) -> Voice:
    """Breath instead of pitch: fewer lows, flatter, vowels no louder than hisses."""
    voiced = voicing(voice)
    lows = 6 * np.log2(np.clip(voice.hz / 500, 0.1, 1))  # dB; a whisper has no fundamental
    tilt = lows + random.uniform(2, 4) * np.log2(np.clip(voice.hz / 1000, 1, 4))
    opened = shift_first_formant(voice, 1 + voiced * random.uniform(0.1, 0.18))
    quieter = voiced[:, None] * (tilt + WHISPER_DB)
    envelope = opened.envelope * 10 ** (quieter / 10)
    return replace(
        voice, f0=np.zeros(len(voice.f0)), envelope=envelope, noise=np.ones_like(voice.noise)
    )


def widen(
    voice: Voice, sung: tuple[float, float], number: int, random: np.random.Generator
) -> Voice:
    """Speech at another pitch from the same throat; clips take turns from low to high."""
    part = (number % BANDS + random.random()) / BANDS
    lowest = LOWEST_SPEECH / np.median(voice.f0[voice.f0 > 0])
    return keep_power(replace(voice, f0=voice.f0 * max(0.7 * (1.6 / 0.7) ** part, lowest)))


Vary = Callable[[Voice, tuple[float, float], int, np.random.Generator], Voice]
KINDS: dict[str, Vary] = {"sung": sing, "shout": shout, "whisper": whisper, "wide": widen}


def vary(
    options: VaryBaseCorpusOptions, speaker: str, kind: str, spoken: list[tuple[str, ...]]
) -> list[tuple[str, ...]]:
    """Write the clips of one kind that are not there yet; returns the rows of all of them.

    spoken: rows of the speaker's recordings; they are taken again, otherwise, when all are used.
    """
    rows: list[tuple[str, ...]] = []
    seed = zlib.crc32(f"{speaker}/{kind}".encode())
    order = np.random.default_rng(seed).permutation(len(spoken))
    seconds = 0.0
    while seconds < 60 * options.minutes:
        number = len(rows)
        recording, _, _, _, *facts = spoken[order[number % len(order)]]
        path = options.output / speaker / f"{number:04d}_{kind}.flac"
        if not path.exists():
            audio, sample_rate = soundfile.read(options.source / recording, dtype="float32")
            random = np.random.default_rng([seed, number])
            made = KINDS[kind](analyse(audio, sample_rate), SINGERS[speaker], number, random)
            write(path, tidy(synthesise(made), sample_rate), sample_rate)
        info = soundfile.info(path)
        seconds += info.duration
        name = f"{speaker}/{path.name}"
        rows.append((name, speaker, str(info.samplerate), f"{info.duration:.3f}", *facts))
    return rows


def vary_base_corpus(options: VaryBaseCorpusOptions) -> float:
    """Vary every singer and keep manifest.tsv up to date; returns the minutes there are."""
    chosen = [speaker for speaker in SINGERS if speaker.startswith(options.only)]
    if not chosen:
        raise ValueError(f"no speaker starts with {options.only!r}; there are: {' '.join(SINGERS)}")
    source = read_manifest(options.source)
    rows = read_manifest(options.output)
    for speaker in chosen:
        spoken = [row for row in source.values() if row[1] == speaker and row[-1] == "synth"]
        if not spoken:
            raise ValueError(
                f"{options.source} has no recordings of {speaker}; "
                f"run python -m tools.research.build_base_corpus --output {options.source} first"
            )
        for kind in KINDS:
            made = vary(options, speaker, kind, spoken)
            rows.update({row[0]: row for row in made})
            write_manifest(options.output, rows)
            minutes = sum(float(row[3]) for row in made) / 60
            print(f"{speaker} {kind}: {len(made)} clips, {minutes:.1f} min", flush=True)
    return sum(float(row[3]) for row in rows.values()) / 60


def main() -> int:
    options = parse_options(VaryBaseCorpusOptions)
    return exit_code(lambda: print(f"{vary_base_corpus(options):.1f} minutes in all"))


if __name__ == "__main__":
    sys.exit(main())
