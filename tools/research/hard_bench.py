"""Words, likeness, naturalness and melody of sources that are not read in a studio, and altered.

Acted, in passing, single words, a novel (hard_sentences.json tells what is said), each as it is and
in noise, rooms, telephones ... by tools.research.alter_sources. Two listeners (requirements-
judges.txt): the strict one hears 8 s and takes its first guess, the other 28 s with five guesses.
Intervals are of the middle 95 % of bootstraps over clips.

    pip download --no-deps moonshine-voice==0.1.5 -d wheels
    python -m tools.research.hard_bench --corpus corpus --folder bench \\
        --wheel wheels/moonshine_voice-0.1.5-*.whl \\
        --voices assets/lite/demo_male.pth --real corpus/synth/joe
"""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch

from config import replacing
from infer.audio.reader import load
from infer.audio.resampling import resample
from infer.converter import VoiceConverter
from infer.f0 import SAMPLE_RATE, load_f0_method
from infer.f0.contour import median_f0, transpose
from infer.options import ConvertOptions
from options import Options, command, option, parse_options, printable
from tools.cmd.terminal import exit_code
from tools.research import judges
from tools.research.alter_sources import KINDS
from tools.research.evaluate import choose_clips, median_of_medians, melody
from tools.research.jury import Jury, Recording
from tools.research.measure_f0 import table_head, table_row
from train.experiment import write_json

SENTENCES = Path(__file__).with_name("hard_sentences.json")
PAUSE = 0.35  # seconds between the pieces of a clip
LEVEL = 0.7  # peak of a piece
BOOTSTRAPS = 2000
CLEAN = "clean"
LISTENERS = {"strict": "strict", "words": "long"}  # judge -> what its figures are called
FIGURES = ("similarity", "DistillMOS", "f0 correlation", "f0 gross error")


@dataclass(frozen=True, kw_only=True)
class HardBenchOptions(Options):
    """Judge voices on sources that are not read in a studio, as they are and altered."""

    MODULE = "tools.research.hard_bench"

    corpus: Path = option("folder with the corpus")
    folder: Path = option("folder for the sources, which are made once, and for what was heard")
    voices: str = option("voice models, comma between")
    real: str = option("folders of real recordings of each, comma between", "")
    wheel: Path | None = option("moonshine_voice-0.1.5 wheel: a play and two novels", None)
    kinds: str = option(f"comma between: {CLEAN}, {', '.join(KINDS)}", CLEAN)
    encoders: str = option("content encoders, comma between; '' = each voice's own", "")
    index_rates: str = option("comma between", str(ConvertOptions.index_rate))
    limit: int = option("clips, evenly spaced", 1000, within=(1, 1000))
    natural_every: int = option(
        "DistillMOS hears every so manyth clip; 0 = none", 3, within=(0, 99)
    )
    json: Path | None = option("file to write all figures of all clips to", None)


def build(options: HardBenchOptions) -> dict[str, str]:
    """Make the clips that are not there yet; returns what is said in each, by its name."""
    texts = {}
    for name, pieces in json.loads(SENTENCES.read_text(encoding="utf-8")).items():
        if options.wheel is None and any(piece[0].endswith(".wav") for piece in pieces):
            continue
        texts[name] = " ".join(piece[1] for piece in pieces)
        path = options.folder / CLEAN / f"{name}.flac"
        if path.is_file():
            continue
        sounds: list[np.ndarray] = []
        for file, _, *span in pieces:
            sounds += [_piece(options, file, span), np.zeros(int(PAUSE * SAMPLE_RATE))]
        _write(path, np.concatenate(sounds).astype(np.float32), SAMPLE_RATE)
    chosen = np.linspace(0, len(texts) - 1, min(options.limit, len(texts))).round().astype(int)
    names = list(texts)
    texts = {names[number]: texts[names[number]] for number in chosen}
    for kind in options.kinds.split(","):
        for number, name in enumerate(texts):
            path = options.folder / kind / f"{name}.flac"
            if kind != CLEAN and not path.is_file():
                random = np.random.default_rng([1, number])
                _write(path, *KINDS[kind](*load(options.folder / CLEAN / path.name), random))
    return texts


def _piece(options: HardBenchOptions, file: str, span: list[float]) -> np.ndarray:
    """Part of a recording of the corpus or of the wheel, 16 kHz, at one level."""
    if file.endswith(".wav"):
        with zipfile.ZipFile(options.wheel) as wheel:
            read = wheel.read(f"moonshine_voice/assets/{file}")
        audio, rate = soundfile.read(io.BytesIO(read), dtype="float32")
        audio = resample(audio, rate, SAMPLE_RATE)
    else:
        audio, _ = load(options.corpus / file, SAMPLE_RATE)
    if span:
        audio = audio[int(span[0] * SAMPLE_RATE) : int(span[1] * SAMPLE_RATE)]
    return audio * (LEVEL / max(float(np.abs(audio).max()), 1e-9))


def _write(path: Path, audio: np.ndarray, rate: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        soundfile.write(temporary, audio, rate, format="FLAC", subtype="PCM_16")


@dataclass(frozen=True)
class Run:
    """One way of converting all clips of a kind; without a voice, the sources themselves."""

    kind: str
    voice: str = ""
    real: str = ""
    encoder: str = ""
    index_rate: float = 0.0

    def __str__(self) -> str:
        if not self.voice:
            return f"{self.kind}: sources"
        encoder = f", {self.encoder}" if self.encoder else ""
        return f"{self.kind}: {Path(self.voice).stem}{encoder}, index {self.index_rate:g}"


def runs(options: HardBenchOptions) -> Iterator[Run]:
    """Everything that the options ask for, kind by kind."""
    voices = options.voices.split(",")
    real = options.real.split(",") if options.real else [""] * len(voices)
    for kind in options.kinds.split(","):
        yield Run(kind)
        for voice, folder in zip(voices, real, strict=True):
            for encoder in options.encoders.split(","):
                for rate in options.index_rates.split(","):
                    yield Run(kind, voice, folder, encoder, float(rate))


def hard_bench(options: HardBenchOptions) -> dict[str, list[dict[str, float]]]:
    """Figures of every clip by run; the table is printed row by row."""
    torch.set_num_threads(1)
    texts = build(options)
    names = [*LISTENERS, "distillmos", "timbre"]
    jury = Jury(options.folder / "judgements.json", names)
    columns = ["what", *(f"WER {name}" for name in LISTENERS.values()), *FIGURES]
    print("\n".join(table_head(columns)), flush=True)
    found = {}
    for run in runs(options):
        rows = found[str(run)] = list(_judged(options, run, texts, jury))
        cells = [_rate(rows, name) for name in LISTENERS.values()]
        cells += [_mean(rows, name) for name in FIGURES]
        print(table_row([str(run), *cells]), flush=True)
        jury.save()
    return found


def _judged(
    options: HardBenchOptions, run: Run, texts: dict[str, str], jury: Jury
) -> Iterator[dict[str, float]]:
    """Figures of each clip."""
    f0_method = load_f0_method("swift")
    converter, centre, target_f0 = None, None, 0.0
    if run.voice:
        converter = VoiceConverter(Path(run.voice), encoder=run.encoder or None)
        if run.real:
            real = [Recording(path) for path in choose_clips(Path(run.real), 16)]
            centre = judges.centroid(jury.ask_all("timbre", real))
            target_f0 = median_of_medians([f0_method(recording.audio) for recording in real])
    for number, (name, text) in enumerate(texts.items()):
        source = options.folder / run.kind / f"{name}.flac"
        recording, row = Recording(source), {}
        if converter:
            f0 = f0_method(load(options.folder / CLEAN / f"{name}.flac", SAMPLE_RATE)[0])
            semitones = 12 * float(np.log2(target_f0 / (median_f0(f0) or target_f0) or 1))
            path = options.folder / "converted.wav"
            asked = ConvertOptions(
                voice=Path(run.voice), input=source, output=path, index_rate=run.index_rate,
                semitones=round(semitones, 2) if target_f0 else 0.0,
            )  # fmt: skip
            converter.convert_file(asked)
            recording = Recording(path)
            made = melody(transpose(f0, asked.semitones), f0_method(recording.audio))
            row |= made
            if centre is not None:
                row["similarity"] = float(jury.ask("timbre", recording) @ centre)
        truth = judges.normalize_words(text)
        row["words"] = len(truth)
        for judge, called in LISTENERS.items():
            hypothesis = judges.normalize_words(jury.ask(judge, recording))
            row[called] = judges.count_word_errors(truth, hypothesis)
        if options.natural_every and number % options.natural_every == 0:
            row["DistillMOS"] = jury.ask("distillmos", recording)
        if converter:
            jury.forget(recording)
        yield row


def _rate(rows: list[dict[str, float]], name: str) -> str:
    """Errors for a word with its interval."""
    errors, words = (np.array([row[key] for row in rows]) for key in (name, "words"))
    picks = np.random.default_rng(0).integers(len(rows), size=(BOOTSTRAPS, len(rows)))
    low, high = np.percentile(errors[picks].sum(1) / words[picks].sum(1), [2.5, 97.5])
    return f"{errors.sum() / words.sum():.3f} ({low:.3f}..{high:.3f})"


def _mean(rows: list[dict[str, float]], name: str) -> str:
    """The mean over clips with its interval, empty where nobody was asked."""
    values = np.array([row[name] for row in rows if name in row])
    if len(values) == 0:
        return ""
    picks = np.random.default_rng(0).integers(len(values), size=(BOOTSTRAPS, len(values)))
    low, high = np.percentile(values[picks].mean(1), [2.5, 97.5])
    return f"{values.mean():.3f} ({low:.3f}..{high:.3f})"


def main() -> int:
    """Judge what the command line names; returns the exit code."""
    options = parse_options(HardBenchOptions)

    def work() -> None:
        print(f"{printable(command(options))}\n", flush=True)
        found = hard_bench(options)
        if options.json:
            write_json(options.json, found)

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main())
