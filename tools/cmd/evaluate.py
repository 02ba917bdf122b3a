"""Judge a voice: convert test sources with it and print words, timbre, naturalness and melody.

Judges are optional (requirements-judges.txt); the column of a missing one is left out and said.
"""

from __future__ import annotations

import csv
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from infer.audio import AudioReader, load
from infer.converter import VoiceConverter
from infer.f0 import load_f0_method
from infer.f0.contour import median_f0, transpose
from infer.options import ConvertOptions, Options, option, parse_options, printable
from tools.cmd import judges
from train.experiment import write_json
from train.preprocess import find_recordings

SAMPLE_RATE = judges.SAMPLE_RATE
GROSS_ERROR = 0.2  # a frame whose f0 is farther off than this share is a gross error
MIN_SECONDS = 2.0  # shorter clips tell a MOS predictor little


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(Options):
    """Convert sources with a voice and judge the result beside the target's real recordings."""

    MODULE = "tools.cmd.evaluate"

    voice: Path = option("voice model to judge")
    sources: Path = option("folder of recordings to convert")
    target: Path = option("folder of real recordings of the voice that were not trained on")
    manifest: Path | None = option("table with columns file and text: what sources say", None)
    index: Path | None = option("feature index; without it the voice's own is looked for", None)
    index_rate: float = option("share of features taken from the index", 0.5, within=(0, 1))
    f0_method: str = option("f0 method of the conversion", ConvertOptions.f0_method)
    limit: int = option("clips of each folder, evenly spaced", 16, within=(1, 10_000))
    json: Path | None = option("file to write the figures to", None)


def evaluate(options: EvaluateOptions) -> dict[str, float]:
    """Figures by name, mean over clips; also printed as a table."""
    bench = {name: judge for name in judges.PACKAGES if (judge := _judge(name)) is not None}
    f0_method = load_f0_method("swift")
    real = [_hear(path) for path in _choose(options.target, options.limit)]
    target_f0 = np.median([median for clip in real if (median := median_f0(f0_method(clip)))])
    voices = [bench["speaker"].embed(clip) for clip in real] if "speaker" in bench else []
    centre = judges.centroid(voices) if voices else None
    texts = _texts(options.manifest)
    converter = VoiceConverter(options.voice)
    rows = []
    for path in _choose(options.sources, options.limit):
        source = _hear(path)
        f0 = f0_method(source)
        semitones = round(12 * float(np.log2(target_f0 / (median_f0(f0) or target_f0))), 2)
        made = _convert(converter, options, path, semitones)
        row = _melody(transpose(f0, semitones), f0_method(made))
        row.update(_likeness(bench, centre, source, made))
        if path.name in texts or not texts:  # some with a text: only these count
            row.update(_words(bench, texts.get(path.name), source, made))
        rows.append(row)
        print(f"{path.name}: {_line(row)}", flush=True)
    figures = _summary(rows)
    for name in ("distillmos", "dnsmos"):
        if name in bench:
            figures[f"{name} target real"] = float(np.mean([bench[name].score(c) for c in real]))
    if len(voices) > 1:  # each real recording against the centre of the others
        likeness = [
            float(voice @ judges.centroid(voices[:i] + voices[i + 1 :]))
            for i, voice in enumerate(voices)
        ]
        figures["similarity target real"] = float(np.mean(likeness))
    return figures


def _judge(name: str) -> Any:
    try:
        return judges.load_judge(name)
    except (ImportError, OSError) as error:
        print(f"without the judge {name}: {error}; {judges.INSTALL}", file=sys.stderr)
        return None


def _choose(folder: Path, limit: int) -> list[Path]:
    """Evenly spaced recordings of a folder that are long enough to judge."""
    found = find_recordings(folder, leave_out=folder / "none")
    long_enough = [path for path in found if _seconds(path) >= MIN_SECONDS]
    if not long_enough:
        raise FileNotFoundError(f"{folder} holds no recording of at least {MIN_SECONDS:g} s")
    places = np.linspace(0, len(long_enough) - 1, min(limit, len(long_enough)))
    return [long_enough[round(place)] for place in places]


def _seconds(path: Path) -> float:
    with AudioReader(path) as reader:
        return reader.seconds or 0.0


def _hear(path: Path) -> np.ndarray:
    return load(path, SAMPLE_RATE)[0]


def _texts(manifest: Path | None) -> dict[str, str]:
    if manifest is None:
        return {}
    with manifest.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t")
        return {Path(row["file"]).name: row["text"] for row in rows if row["text"]}


def _convert(
    converter: VoiceConverter, options: EvaluateOptions, path: Path, semitones: float
) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "converted.wav"
        converter.convert_file(
            ConvertOptions(
                voice=options.voice,
                input=path,
                output=output,
                semitones=semitones,
                index=options.index,
                index_rate=options.index_rate,
                f0_method=options.f0_method,
            )
        )
        return _hear(output)


def _melody(wanted: np.ndarray, made: np.ndarray) -> dict[str, float]:
    """Correlation of log f0 and share of gross errors, where both are voiced."""
    length = min(len(wanted), len(made))
    wanted, made = wanted[:length], made[:length]
    voiced = (wanted > 0) & (made > 0)
    if voiced.sum() < 10:
        return {}
    correlation = np.corrcoef(np.log(wanted[voiced]), np.log(made[voiced]))[0, 1]
    gross = np.abs(made[voiced] / wanted[voiced] - 1) > GROSS_ERROR
    return {"f0 correlation": float(correlation), "f0 gross error": float(gross.mean())}


def _likeness(
    bench: dict[str, Any], centre: np.ndarray | None, source: np.ndarray, made: np.ndarray
) -> dict[str, float]:
    row = {}
    if centre is not None:
        voice, own = bench["speaker"].embed(made), bench["speaker"].embed(source)
        row["similarity target"] = float(voice @ centre)
        row["similarity source"] = float(voice @ own)
        row["closer to target"] = float(row["similarity target"] > row["similarity source"])
    for name in ("distillmos", "dnsmos"):
        if name in bench:
            row[f"{name} source"] = bench[name].score(source)
            row[f"{name} converted"] = bench[name].score(made)
    return row


def _words(
    bench: dict[str, Any], text: str | None, source: np.ndarray, made: np.ndarray
) -> dict[str, float]:
    """Words and word errors; without a text, what the judge hears in the source is the truth."""
    if "words" not in bench:
        return {}
    heard = judges.normalize_words(bench["words"].transcribe(source))
    truth = judges.normalize_words(text) if text else heard
    made_words = judges.normalize_words(bench["words"].transcribe(made))
    return {
        "words": float(len(truth)),
        "errors source": float(judges.count_word_errors(truth, heard)),
        "errors converted": float(judges.count_word_errors(truth, made_words)),
    }


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
    try:
        figures = evaluate(options)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"\n{printable(sys.argv)}")
    for name, value in figures.items():
        print(f"{name:28} {value:.3f}")
    if options.json:
        write_json(options.json, figures)
        print(json.dumps({"written": str(options.json)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
