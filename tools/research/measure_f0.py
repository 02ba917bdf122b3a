"""Measure f0 methods on signals of known f0 and by their agreement on recordings."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from infer.audio.reader import load
from infer.f0 import F0_METHODS, HOP_LENGTH, SAMPLE_RATE, F0Method, load_f0_method
from options import Options, option, parse_options
from tools.cmd.terminal import exit_code

DEFAULT_METHODS = "swift,fcpe,crepe-tiny,pm,harvest,dio"
NOISES_DB = (None, 20, 10, 0)  # signal to noise ratios of the synthetic voice
QUIET_GAIN = 0.01  # -40 dB
VOWELS_HZ = (
    (730, 1090, 2440),
    (270, 2290, 3010),
    (300, 870, 2240),
    (530, 1840, 2480),
    (570, 840, 2410),
)
COLUMNS = ["method", "gross", "> 1 st", "missed", "false", "frame error", "cents", "x real time"]
SEMITONE = 100  # cents
GROSS = 0.2  # relative error that the field calls gross
AUDIBLE = 1e-3  # frames below this share of the peak count neither as voiced nor as unvoiced


@dataclass(frozen=True, kw_only=True)
class MeasureF0Options(Options):
    """Measure the error and the speed of f0 methods."""

    MODULE = "tools.research.measure_f0"

    methods: str = option(f"comma between: {', '.join(F0_METHODS)}", DEFAULT_METHODS)
    clips: str = option("folders of recordings, comma between; none = only synthetic signals", "")
    seconds: float = option("audio taken from each folder", 30.0, within=(1, 3600))
    short: bool = option("a quarter of every signal, for slow methods", False)
    threads: int = option("CPU threads", 1, within=(1, 256))
    seed: int = option("of the synthetic signals and noises", 0, within=(0, 2**31))


@dataclass
class Signal:
    """Audio with its truth; truth is NaN in frames that are not judged."""

    group: str
    condition: str
    audio: np.ndarray  # (N,) float32 at 16 kHz
    truth: np.ndarray  # (N // 160,) Hz, 0 = unvoiced


@dataclass
class Score:
    """Sums over the judged frames of one method in one condition."""

    voiced: int = 0
    unvoiced: int = 0
    missed: int = 0
    false: int = 0
    both: int = 0
    gross: int = 0
    semitone: int = 0
    cents: list[np.ndarray] = field(default_factory=list)

    def add(self, estimate: np.ndarray, truth: np.ndarray) -> None:
        """Judge one contour, both (T,) Hz."""
        judged = ~np.isnan(truth)
        estimate, truth = estimate[judged], truth[judged]
        both = (estimate > 0) & (truth > 0)
        ratio = estimate[both] / truth[both]
        cents = np.abs(1200 * np.log2(ratio))
        self.voiced += int((truth > 0).sum())
        self.unvoiced += int((truth == 0).sum())
        self.missed += int(((estimate == 0) & (truth > 0)).sum())
        self.false += int(((estimate > 0) & (truth == 0)).sum())
        self.both += int(both.sum())
        self.gross += int((np.abs(ratio - 1) > GROSS).sum())
        self.semitone += int((cents > SEMITONE).sum())
        self.cents.append(cents[cents <= SEMITONE])

    def merge(self, other: Score) -> None:
        """Add another score's sums to these."""
        for name in ("voiced", "unvoiced", "missed", "false", "both", "gross", "semitone"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.cents += other.cents

    def frame_error(self) -> float:
        """Share of all frames with a wrong voicing or a gross error."""
        frames = self.voiced + self.unvoiced
        return (self.missed + self.false + self.gross) / max(1, frames)

    def cells(self) -> list[str]:
        """Percent gross, percent off by more than a semitone, missed, false, frame error; cents."""
        cents = np.concatenate(self.cents) if self.cents else np.zeros(0)
        shares = (
            self.gross / max(1, self.both),
            self.semitone / max(1, self.both),
            self.missed / max(1, self.voiced),
            self.false / max(1, self.unvoiced),
            self.frame_error(),
        )
        median = f"{np.median(cents):.1f}" if len(cents) else "-"
        return [*(f"{100 * share:.2f}" for share in shares), median]


def measure_f0(options: MeasureF0Options) -> str:
    """Run the measurement; returns its tables as Markdown."""
    import torch

    torch.set_num_threads(options.threads)
    rng = np.random.default_rng(options.seed)
    seconds = options.seconds / (4 if options.short else 1)
    folders = [Path(folder) for folder in options.clips.split(",") if folder]
    clips = [clip for folder in folders for clip in read_clips(folder, seconds)]
    signals = [*synthetic_signals(rng, options.short), *resynthesized_signals(rng, clips)]
    names = options.methods.split(",")
    methods = {name: load_f0_method(name) for name in names}
    scores: dict[str, dict[tuple[str, str], Score]] = {name: {} for name in names}
    speeds = {name: 0.0 for name in names}
    for name, method in methods.items():
        cpu = 0.0
        for signal in signals:
            before = time.process_time()
            estimate = method(signal.audio)
            cpu += time.process_time() - before
            key = (signal.group, signal.condition)
            scores[name].setdefault(key, Score()).add(estimate, signal.truth)
        speeds[name] = cpu * SAMPLE_RATE / sum(len(signal.audio) for signal in signals)
    if len(names) >= 4:
        judge_agreement(methods, clips, scores)
    return format_tables(scores, speeds)


def read_clips(folder: Path, seconds: float) -> list[tuple[str, np.ndarray]]:
    """(folder name, audio at 16 kHz) of recordings spread evenly over a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".wav", ".flac"))
    if not paths:
        raise FileNotFoundError(f"no .wav or .flac file in {folder}")
    clips, total = [], 0.0
    for i in np.random.default_rng(0).permutation(len(paths)):
        if total >= seconds:
            break
        audio, _ = load(paths[i], SAMPLE_RATE)
        clips.append((folder.name, audio))
        total += len(audio) / SAMPLE_RATE
    return clips


def synthetic_signals(rng: np.random.Generator, short: bool) -> Iterator[Signal]:
    """Vowels of known f0 between pauses and hisses: clean, in noise, quiet, over a telephone."""
    audio, truth = synthesize_voice(rng, short)
    for noise_db in NOISES_DB:
        name = "clean" if noise_db is None else f"{noise_db} dB"
        noisy = audio if noise_db is None else add_noise(audio, noise_db, rng)
        yield Signal("synthetic", name, noisy, truth)
    yield Signal("synthetic", "quiet", audio * np.float32(QUIET_GAIN), truth)
    yield Signal("synthetic", "phone", keep_band(audio, 300, 3400), truth)


def synthesize_voice(rng: np.random.Generator, short: bool) -> tuple[np.ndarray, np.ndarray]:
    """Held notes from 80 to 1000 Hz, glides, vibrato and intonation; audio (N,) and truth (T,)."""
    contours = [np.full(SAMPLE_RATE, hz) for hz in (80, 1000, 110, 555, 165, 830, 247, 370)]
    seconds = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    for low, high in ((80, 400), (200, 1000)):
        glide = low * (high / low) ** (seconds / 2)
        contours += [glide, glide[::-1]]
    contours += [hz * 2 ** (np.sin(11 * np.pi * seconds) / 12) for hz in (150, 300, 600)]
    for hz in (110, 220, 330):
        steps = rng.normal(0, 2.5, 9)  # semitones, a new one every quarter of a second
        contours.append(hz * 2 ** (np.interp(seconds, np.arange(9) / 4, steps) / 12))
    pieces, f0 = [], []
    for i, contour in enumerate(contours[:: 4 if short else 1]):
        pause = np.zeros(SAMPLE_RATE // 4)
        if i % 2:
            pause += keep_band(rng.normal(0, 0.05, len(pause)), 2500, 8000)
        pieces += [pause, voice_of(contour, VOWELS_HZ[i % len(VOWELS_HZ)])]
        f0 += [np.zeros(len(pause)), contour]
    audio = np.concatenate(pieces).astype(np.float32)
    return audio, np.concatenate(f0)[::HOP_LENGTH][: len(audio) // HOP_LENGTH]


def voice_of(f0: np.ndarray, formants: tuple[int, ...]) -> np.ndarray:
    """A vowel with this f0 at every sample: harmonics weighted by glottal tilt and formants."""
    phase = 2 * np.pi * np.cumsum(f0) / SAMPLE_RATE
    audio = np.zeros(len(f0))
    for harmonic in range(1, int(0.47 * SAMPLE_RATE / f0.min()) + 1):
        hz = harmonic * f0
        gain = sum(1 / (1 + ((hz - formant) / 90) ** 2) for formant in formants)
        audio += (0.03 + gain) / harmonic * (hz < 0.47 * SAMPLE_RATE) * np.sin(harmonic * phase)
    ramp = np.minimum(1, np.arange(len(f0)) / (0.01 * SAMPLE_RATE))
    return 0.1 * audio * ramp * ramp[::-1] / np.sqrt(np.mean(audio**2))


def resynthesized_signals(
    rng: np.random.Generator, clips: list[tuple[str, np.ndarray]]
) -> Iterator[Signal]:
    """Recordings whose melody WORLD replaced by a shifted one with vibrato, clean and in noise."""
    import pyworld

    praat = load_f0_method("pm")
    for _, audio in clips:
        signal = audio.astype(np.float64)
        f0, seconds = pyworld.harvest(signal, SAMPLE_RATE, f0_floor=60, f0_ceil=900)
        # Harvest extends voiced stretches into noise: only what Praat hears too is resynthesized
        # with a pitch, the rest as noise.
        heard = np.repeat(praat(audio) > 0, 2)[: len(f0)]
        f0[~np.pad(heard, (0, len(f0) - len(heard)))] = 0
        if not f0.any():
            continue
        spectrum = pyworld.cheaptrick(signal, f0, seconds, SAMPLE_RATE)
        noise = pyworld.d4c(signal, f0, seconds, SAMPLE_RATE)
        semitones = rng.uniform(-5, 9) + 0.5 * np.sin(2 * np.pi * 5.5 * seconds)
        melody = np.minimum(f0 * 2 ** (semitones / 12), 950)
        made = pyworld.synthesize(melody, spectrum, noise, SAMPLE_RATE)[: len(audio)]
        made = made.astype(np.float32)
        truth = skip_inaudible(melody[::2][: len(made) // HOP_LENGTH], made)
        yield Signal("resynthesis", "made clean", made, truth)
        yield Signal("resynthesis", "made 10 dB", add_noise(made, 10, rng), truth)


def judge_agreement(
    methods: dict[str, F0Method],
    clips: list[tuple[str, np.ndarray]],
    scores: dict[str, dict[tuple[str, str], Score]],
) -> None:
    """Score each method on recordings against the median and the majority of all others."""
    for folder, audio in clips:
        contours = {name: method(audio) for name, method in methods.items()}
        for name, contour in contours.items():
            others = np.stack([other for key, other in contours.items() if key != name])
            voiced = (others > 0).sum(axis=0) > len(others) / 2
            median = np.nanmedian(np.where(others > 0, others, np.nan)[:, voiced], axis=0)
            truth = np.zeros(len(contour))
            truth[voiced] = median
            score = scores[name].setdefault(("recordings", folder), Score())
            score.add(contour, skip_inaudible(truth, audio))


def skip_inaudible(truth: np.ndarray, audio: np.ndarray) -> np.ndarray:
    """Truth with NaN where the audio is too weak to be judged."""
    blocks = audio[: len(truth) * HOP_LENGTH].reshape(-1, HOP_LENGTH)
    level = np.sqrt(np.mean(blocks.astype(np.float64) ** 2, axis=1))
    return np.where(level < AUDIBLE * np.abs(audio).max(initial=0), np.nan, truth)


def keep_band(audio: np.ndarray, low: float, high: float) -> np.ndarray:
    """Cut everything outside a band in Hz."""
    spectrum = np.fft.rfft(audio)
    hz = np.fft.rfftfreq(len(audio), 1 / SAMPLE_RATE)
    return np.fft.irfft(spectrum * ((hz >= low) & (hz <= high)), len(audio)).astype(np.float32)


def add_noise(
    audio: np.ndarray, ratio_db: float, rng: np.random.Generator, sample_rate: int = SAMPLE_RATE
) -> np.ndarray:
    """Add pink noise at a signal to noise ratio over the whole signal."""
    spectrum = np.fft.rfft(rng.normal(size=len(audio)))
    hz = np.fft.rfftfreq(len(audio), 1 / sample_rate)
    noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(hz, 50)), len(audio))
    wanted = np.sqrt(np.mean(audio.astype(np.float64) ** 2)) / 10 ** (ratio_db / 20)
    return (audio + noise * wanted / np.sqrt(np.mean(noise**2))).astype(np.float32)


def format_tables(scores: dict[str, dict[tuple[str, str], Score]], speeds: dict[str, float]) -> str:
    """One table per group of signals, then the frame error in every condition, in percent."""
    keys = list(dict.fromkeys(key for conditions in scores.values() for key in conditions))
    lines = []
    for group in dict.fromkeys(group for group, _ in keys):
        lines += ["", f"**{group}**", "", *table_head(COLUMNS)]
        for name, conditions in scores.items():
            total = Score()
            for key, score in conditions.items():
                if key[0] == group:
                    total.merge(score)
            lines.append(table_row([name, *total.cells(), f"{speeds[name]:.4f}"]))
    conditions = [key for key in keys if key[0] != "recordings"]
    lines += ["", "**frame error by condition**", ""]
    lines += table_head(["method", *(condition for _, condition in conditions)])
    for name in scores:
        errors = [f"{100 * scores[name][key].frame_error():.1f}" for key in conditions]
        lines.append(table_row([name, *errors]))
    return "\n".join(lines[1:])


def table_head(cells: list[str]) -> list[str]:
    """The first two lines of a Markdown table."""
    return [table_row(cells), "|" + "---|" * len(cells)]


def table_row(cells: list[str]) -> str:
    """A line of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    options = parse_options(MeasureF0Options)
    sys.exit(exit_code(lambda: print(measure_f0(options))))
