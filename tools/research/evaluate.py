"""Judge a voice: convert test sources with it and print words, timbre, naturalness and melody.

Judges are optional (requirements-judges.txt); the figures of a missing one are left out.
"""

from __future__ import annotations

import csv
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import soundfile
import torch

import config
from infer.audio.reader import AudioReader, load
from infer.converter import VoiceConverter
from infer.f0 import SAMPLE_RATE, default_f0_method, load_f0_method
from infer.f0.contour import median_f0, transpose
from infer.options import STREAM_MODES, ConvertOptions, RenderOptions, StreamOptions
from infer.streaming import StreamConverter
from options import Options, command, option, parse_options, printable
from tools.cmd.terminal import exit_code
from tools.research import judges
from tools.research.jury import Jury, Recording
from train.experiment import write_json
from train.recordings import find_recordings

GROSS_ERROR = 0.2  # a frame whose f0 is farther off than this share is a gross error
MIN_SECONDS = 2.0  # shorter clips tell a MOS predictor little
HIGH_BAND = 8000  # Hz; what a 16 kHz recording cannot hold
SCORES = ("distillmos", "dnsmos")
TIMBRE = {"speaker": "", "timbre": ", levelled"}  # judges of timbre: what their figures end in


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(Options):
    """Convert sources with a voice and judge the result beside the target's real recordings."""

    MODULE = "tools.research.evaluate"

    voice: Path = option("voice model to judge")
    sources: Path = option("folder of recordings to convert, a subfolder for each speaker")
    target: Path = option("folder of real recordings of the voice that were not trained on")
    manifest: Path | None = option("table with columns file and text: what sources say", None)
    index: Path | None = option("feature index; without it the voice's own is looked for", None)
    index_rate: float = option(
        "share of features taken from the index", ConvertOptions.index_rate, within=(0, 1)
    )
    rms_mix_rate: float = option(
        "loudness: 0 = the source's, 1 = the voice's", ConvertOptions.rms_mix_rate, within=(0, 1)
    )
    f0_method: str = option("f0 method of the conversion", default_f0_method)
    denoise: bool = option("take noise out of the sources first", False)
    live: str = option(
        "convert as a live stream in this mode; '' = as recordings", "", ("", *STREAM_MODES)
    )
    limit: int = option("clips of each folder, evenly spaced", 16, within=(1, 10_000))
    memory: Path = option("what the judges said of recordings", config.LOGS / "judgements.json")
    threads: int = option("CPU threads, 0 = torch's own choice", 1, within=(0, 1024))
    json: Path | None = option("file to write the figures to", None)


def evaluate(options: EvaluateOptions) -> dict[str, float]:
    """Figures by name, mean over clips; also printed as a table."""
    if options.threads:
        torch.set_num_threads(options.threads)
    jury, f0_method = Jury(options.memory), load_f0_method("swift")
    converter = VoiceConverter(options.voice)
    real = [Recording(path) for path in choose_clips(options.target, options.limit)]
    sources = [Recording(path) for path in choose_clips(options.sources, options.limit)]
    target_f0 = median_of_medians([f0_method(recording.audio) for recording in real])
    texts = _texts(options.manifest)
    rows = []
    for source in sources:
        f0 = f0_method(source.audio)
        semitones = round(12 * float(np.log2(target_f0 / (median_f0(f0) or target_f0))), 2)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "converted.wav"
            conversion = _conversion(options, source.path, path, semitones)
            if options.live:
                seconds = _stream(converter, conversion, options.live, source.audio)
            else:
                seconds = sum(converter.convert_file(conversion).seconds.values())
            made, high_band = Recording(path), _high_band(path, converter.sample_rate)
        row = {**melody(transpose(f0, semitones), f0_method(made.audio)), **high_band}
        row["real-time factor"] = seconds * SAMPLE_RATE / len(source.audio)
        row |= _likeness(jury, real, sources, source, made)
        row |= _naturalness(jury, source, made)
        if source.path.name in texts or not texts:  # some with a text: only these count
            row |= _words(jury, texts.get(source.path.name), source, made)
        jury.forget(made)
        rows.append(row)
        print(f"{source.path.name}: {_line(row)}", flush=True)
    figures = _summary(rows) | _of_real(jury, real, converter.sample_rate)
    jury.save()
    return figures


def choose_clips(folder: Path, limit: int) -> list[Path]:
    """Recordings that are long enough to judge: each subfolder's share of limit, evenly spaced."""
    groups: dict[Path, list[Path]] = defaultdict(list)
    for path in find_recordings(folder, leave_out=folder / "none"):
        if _seconds(path) >= MIN_SECONDS:
            groups[path.parent].append(path)
    if not groups:
        raise FileNotFoundError(f"{folder} holds no recording of at least {MIN_SECONDS:g} s")
    chosen = []
    by_size = sorted(groups.values(), key=len)
    for place, group in enumerate(by_size):  # what a small one leaves free, the larger ones take
        share = min(len(group), (limit - len(chosen)) // (len(by_size) - place))
        spaced = np.linspace(0, len(group) - 1, share)
        chosen += [group[round(number)] for number in spaced]
    return chosen


def _seconds(path: Path) -> float:
    with AudioReader(path) as reader:
        return reader.seconds or 0.0


def median_of_medians(contours: list[np.ndarray]) -> float:
    medians = [median for f0 in contours if (median := median_f0(f0))]
    if not medians:
        raise ValueError("no voice is heard in the target's recordings")
    return float(np.median(medians))


def _texts(manifest: Path | None) -> dict[str, str]:
    if manifest is None:
        return {}
    with manifest.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t")
        return {Path(row["file"]).name: row["text"] for row in rows if row["text"]}


def _conversion(
    options: EvaluateOptions, source: Path, output: Path, semitones: float
) -> ConvertOptions:
    return ConvertOptions(
        voice=options.voice,
        input=source,
        output=output,
        semitones=semitones,
        index=options.index,
        index_rate=options.index_rate,
        rms_mix_rate=options.rms_mix_rate,
        f0_method=options.f0_method,
        denoise=options.denoise,
    )


def _stream(
    converter: VoiceConverter, conversion: ConvertOptions, mode: str, audio: np.ndarray
) -> float:
    """Convert audio, (N,) at 16 kHz, as live speech; returns the seconds that it took.

    It is spoken twice and the second time counts: the speaker is known then, as in a longer talk.
    """
    shared = {each.name: getattr(conversion, each.name) for each in fields(RenderOptions)}
    stream = StreamConverter(
        converter,
        StreamOptions(**shared, rms_mix_rate=conversion.rms_mix_rate, mode=mode),
    )
    first, began = stream.push(audio), time.perf_counter()
    made = np.concatenate([first, stream.push(audio), stream.flush()])
    seconds = time.perf_counter() - began
    length = len(audio) * converter.sample_rate // SAMPLE_RATE
    soundfile.write(conversion.output, made[-length:], converter.sample_rate, subtype="FLOAT")
    return seconds


def melody(wanted: np.ndarray, made: np.ndarray) -> dict[str, float]:
    """Correlation of log f0 and share of gross errors, where both are voiced."""
    length = min(len(wanted), len(made))
    wanted, made = wanted[:length], made[:length]
    voiced = (wanted > 0) & (made > 0)
    if voiced.sum() < 10:
        return {}
    correlation = np.corrcoef(np.log(wanted[voiced]), np.log(made[voiced]))[0, 1]
    gross = np.abs(made[voiced] / wanted[voiced] - 1) > GROSS_ERROR
    return {"f0 correlation": float(correlation), "f0 gross error": float(gross.mean())}


def _high_band(path: Path, sample_rate: int) -> dict[str, float]:
    """Share of a recording's energy from HIGH_BAND up to half of sample_rate, in dB."""
    audio = load(path, sample_rate)[0]
    power = np.abs(np.fft.rfft(audio)) ** 2
    high = np.fft.rfftfreq(len(audio), 1 / sample_rate) > HIGH_BAND
    if not high.any() or not power.any():
        return {}
    share = float(power[high].sum() / power.sum())
    return {"energy above 8 kHz, dB": 10 * float(np.log10(max(share, 1e-12)))}


def _likeness(
    jury: Jury,
    real: list[Recording],
    sources: list[Recording],
    source: Recording,
    made: Recording,
) -> dict[str, float]:
    """Cosines to the target's centre, to the source clip and to the centre of its speaker."""
    same_speaker = [other for other in sources if other.path.parent == source.path.parent]
    figures = {}
    for judge, end in TIMBRE.items():
        if judge not in jury:
            continue
        voice = jury.ask(judge, made)
        to_target = float(voice @ judges.centroid(jury.ask_all(judge, real)))
        to_clip = float(voice @ jury.ask(judge, source))
        to_speaker = float(voice @ judges.centroid(jury.ask_all(judge, same_speaker)))
        figures |= {
            f"similarity target{end}": to_target,
            f"similarity source clip{end}": to_clip,
            f"similarity source speaker{end}": to_speaker,
            f"closer to target than to the source clip{end}": float(to_target > to_clip),
            f"closer to target than to the source speaker{end}": float(to_target > to_speaker),
        }
    return figures


def _naturalness(jury: Jury, source: Recording, made: Recording) -> dict[str, float]:
    sides = (("source", source), ("converted", made))
    return {
        f"{name} {side}": jury.ask(name, recording)
        for name in SCORES
        if name in jury
        for side, recording in sides
    }


def _words(jury: Jury, text: str | None, source: Recording, made: Recording) -> dict[str, float]:
    """Words and word errors; without a text, what the judge hears in the source is the truth."""
    if "words" not in jury:
        return {}
    heard = judges.normalize_words(jury.ask("words", source))
    truth = judges.normalize_words(text) if text else heard
    made_words = judges.normalize_words(jury.ask("words", made))
    return {
        "words": float(len(truth)),
        "errors source": float(judges.count_word_errors(truth, heard)),
        "errors converted": float(judges.count_word_errors(truth, made_words)),
    }


def _of_real(jury: Jury, real: list[Recording], sample_rate: int) -> dict[str, float]:
    """The same figures of the target's own recordings: what a perfect conversion would reach."""
    rows = [_high_band(recording.path, sample_rate) for recording in real]
    for row, recording in zip(rows, real, strict=True):
        row |= {name: jury.ask(name, recording) for name in SCORES if name in jury}
    for judge, end in TIMBRE.items():
        if judge not in jury or len(real) < 2:
            continue
        voices = jury.ask_all(judge, real)
        for i, row in enumerate(rows):  # each against the centre of the others
            others = judges.centroid(voices[:i] + voices[i + 1 :])
            row[f"similarity{end}"] = float(voices[i] @ others)
    return {f"{name}, target real": value for name, value in _summary(rows).items()}


def _summary(rows: list[dict[str, float]]) -> dict[str, float]:
    figures: dict[str, float] = {"clips": float(len(rows))}
    words = sum(row.get("words", 0.0) for row in rows)
    for side in ("source", "converted"):
        if words:
            errors = sum(row.get(f"errors {side}", 0.0) for row in rows)
            figures[f"word error rate {side}"] = errors / words
    for name in dict.fromkeys(name for row in rows for name in row):
        if name != "words" and not name.startswith("errors"):
            figures[name] = float(np.mean([row[name] for row in rows if name in row]))
    return figures


def _line(row: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in row.items())


def main() -> int:
    """Judge what the command line names; returns the exit code."""
    options = parse_options(EvaluateOptions)

    def work() -> None:
        figures = evaluate(options)
        print(f"\n{printable(command(options))}")
        for name, value in figures.items():
            print(f"{name:44} {value:7.3f}")
        if options.json:
            write_json(options.json, figures)

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main())
