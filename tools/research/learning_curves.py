"""Quality against minutes of data, noise in the data, epochs and index rate, as charts.

Trains a voice for each point, judges it and draws; stopped, it goes on with the next point.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import soundfile

import config
from config import replacing
from infer.audio.reader import AudioReader, load
from infer.options import ConvertOptions
from options import Options, command, option, parse_options, printable
from tools.chart import COLOURS, HEIGHT, WIDTH
from tools.cmd.fine_tune import run_step, workers
from tools.cmd.terminal import exit_code
from tools.datasets.learning_curves import (
    FOLDER,
    PANELS,
    Measured,
    Point,
    panel_chart,
    read_measured,
)
from tools.research.evaluate import EvaluateOptions, evaluate
from tools.research.measure_f0 import add_noise
from train.experiment import Experiment, plain_name
from train.options import TrainOptions
from train.recordings import find_recordings
from train.state import base_files
from train.worker import Progress

ENOUGH = 0.95  # share of the wanted minutes that a dataset must have
CLIP_AT = 0.99  # peak of recordings with noise

CURVES = {
    "minutes": "minutes of recordings",
    "noise": "noise added to the recordings (signal to noise ratio, ∞ = none)",
    "epochs": "epochs",
    "index": "index rate",
}
TITLE = 26  # height of a chart's title


@dataclass(frozen=True, kw_only=True)
class LearningCurvesOptions(Options):
    """Measure what data, noise, epochs and index rate do to a voice; goes on where it stopped."""

    MODULE = "tools.research.learning_curves"

    speaker: str = option("name of the voice")
    dataset: Path = option("folder of recordings to train on, as tools.cmd.fine_tune splits them")
    sources: Path = option("folder of recordings to convert, a subfolder for each speaker")
    target: Path = option("folder of recordings of the voice that are not trained on")
    manifest: Path | None = option("table with columns file and text: what sources say", None)
    vary: str = option(f"comma between: {', '.join(CURVES)}", ",".join(CURVES))
    minutes: str = option("minutes of data, comma between", "1,3,5,10,20")
    noise: str = option("signal to noise ratios in dB beside none, comma between", "20,10")
    epochs: str = option("epochs, comma between", "1,2,4,8")
    index_rates: str = option("index rates, comma between", "0,0.25,0.5,0.75,1")
    data_minutes: float = option(
        "minutes of data where it is something else that varies", 10.0, within=(0.1, 1e6)
    )
    steps: int = option("training steps of every voice", 300, within=(1, 1e9))
    limit: int = option("clips of each folder that are judged", 12, within=(1, 10_000))
    sample_rate: int = option("sample rate of the voices in Hz", 24000)
    base: Path = option("folder of the base model", config.LITE)
    memory: Path = option("what the judges said of recordings", config.LOGS / "judgements.json")
    threads: int = option("CPU threads, 0 = torch's own choice", 1, within=(0, 1024))
    seed: int = option("of training, noise and the order of recordings", 0, within=(0, 2**31))
    work: Path = option("folder for voices that are only measured", config.LOGS / "curves")
    output: Path = option("folder to write points and charts to", FOLDER)


def learning_curves(options: LearningCurvesOptions) -> None:
    """Measure every point that is missing; writes each, and the charts, as soon as it is known.

    Raises ValueError or OSError.
    """
    settings, file = _settings(options), options.output / "points.jsonl"
    recordings = find_recordings(options.dataset, leave_out=options.work.resolve())
    points = plan(options, sum(map(_seconds, recordings)) / 60)
    measured = read_measured(file) or Measured(settings, [])
    if measured.settings != settings:
        raise ValueError(
            f"{file} was measured with {measured.settings}, not {settings}; "
            "remove it, or choose another --output"
        )
    known = {point for point, _ in measured.rows}
    missing = [point for point in points if point not in known]
    options.output.mkdir(parents=True, exist_ok=True)
    with Progress(len(points), "points", "learning_curves", len(points) - len(missing)) as progress:
        for point in missing:
            print(point, flush=True)
            figures = _measure(options, recordings, point)
            append_row(file, settings, point, figures)
            measured.rows.append((point, figures))
            write_charts(options, measured)
            progress.advance()
    write_charts(options, measured)


def plan(options: LearningCurvesOptions, minutes: float) -> list[Point]:
    """Every point once, in the order of --vary; what the dataset is too short for is said.

    ValueError names what cannot be read.
    """
    reference = Point(options.data_minutes)
    wanted = {
        "minutes": [replace(reference, minutes=x) for x in _numbers(options.minutes, "--minutes")],
        "noise": [reference]
        + [replace(reference, noise_db=x) for x in _numbers(options.noise, "--noise")],
        "epochs": [
            replace(reference, epoch=round(x)) for x in _numbers(options.epochs, "--epochs")
        ],
        "index": [
            replace(reference, index_rate=x) for x in _numbers(options.index_rates, "--index-rates")
        ],
    }
    curves = [name for name in options.vary.split(",") if name]
    if strange := set(curves) - set(wanted):
        raise ValueError(f"--vary has {min(strange)!r}; choose from: {', '.join(wanted)}")
    points = dict.fromkeys(point for name in curves for point in wanted[name])
    possible = [point for point in points if ENOUGH * point.minutes <= minutes]
    for point in points:
        if point not in possible:
            print(f"left out, the dataset has {minutes:.1f} minutes: {point}", flush=True)
    if not possible:
        raise ValueError(f"{options.dataset} has {minutes:.1f} minutes: too short for every point")
    return possible


def _numbers(text: str, flag: str) -> list[float]:
    try:
        numbers = [float(word) for word in text.split(",") if word.strip()]
    except ValueError as error:
        raise ValueError(f"{flag} is {text!r}; write numbers with commas between") from error
    if not all(np.isfinite(numbers)) or (flag != "--noise" and min(numbers, default=0) < 0):
        raise ValueError(f"{flag} is {text!r}; no number may be negative or infinite")
    return numbers


def _settings(options: LearningCurvesOptions) -> dict[str, Any]:
    """What all points of one table share."""
    weights = base_files(options.base)[0].read_bytes()
    names = ("speaker", "data_minutes", "steps", "limit", "sample_rate", "seed")
    return {
        **{name: getattr(options, name) for name in names},
        "base": hashlib.sha256(weights).hexdigest()[:12],
        "rms_mix_rate": ConvertOptions.rms_mix_rate,  # its default decides what judges hear
    }


def _measure(
    options: LearningCurvesOptions, recordings: list[Path], point: Point
) -> dict[str, float]:
    digest = hashlib.sha256(json.dumps(_settings(options)).encode()).hexdigest()[:8]
    folder = options.work / f"{plain_name(options.speaker)}-{digest}"
    name = f"{point.minutes:g}min" + ("" if point.noise_db is None else f"_{point.noise_db:g}dB")
    experiment = Experiment(folder / name)
    training = TrainOptions(
        experiment=experiment.root,
        voice=experiment.root / "voice.pth",
        base=options.base,
        steps=options.steps,
        minutes=0,
        voice_epochs=int(point == replace(point, noise_db=None, minutes=options.data_minutes)),
        threads=options.threads,
        seed=options.seed,
    )
    if not experiment.indexes():  # the last step's work
        dataset = folder / f"{name}_dataset"
        write_dataset(recordings, dataset, point, options.seed)
        for step in workers(dataset, options.sample_rate, training):
            run_step(step)
    voice = training.voice
    if point.epoch is not None and (voice := _of_epoch(experiment, point.epoch)) is None:
        later = experiment.root / "later.pth"  # the voice after --steps stays what it is
        run_step(replace(training, voice=later, steps=0, epochs=point.epoch))
        voice = _of_epoch(experiment, point.epoch)
    return evaluate(
        EvaluateOptions(
            voice=voice,
            sources=options.sources,
            target=options.target,
            manifest=options.manifest,
            index=experiment.indexes()[0],
            index_rate=point.index_rate,
            limit=options.limit,
            memory=options.memory,
            threads=options.threads,
        )
    )


def _of_epoch(experiment: Experiment, epoch: int) -> Path | None:
    """The voice that training kept at the end of an epoch."""
    return next(experiment.root.glob(f"*_e{epoch}_s*.pth"), None)


def write_dataset(recordings: list[Path], folder: Path, point: Point, seed: int) -> None:
    """Write the minutes of a point, with its noise, as flac; a folder that is there stays.

    Recordings are taken in an order that only seed decides, so fewer minutes are part of more.
    """
    if folder.exists():
        return
    temporary = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)  # of a killed process
    temporary.mkdir(parents=True)
    left = 60 * point.minutes
    for number in np.random.default_rng(seed).permutation(len(recordings)):
        audio, rate = load(recordings[number])
        audio = audio[: round(left * rate)]
        if not len(audio):
            break
        left -= len(audio) / rate
        if point.noise_db is not None:
            random = np.random.default_rng([seed, int(number)])
            audio = add_noise(audio, point.noise_db, random, rate)
            audio *= min(1.0, CLIP_AT / max(np.abs(audio).max(), 1e-9))
        soundfile.write(temporary / f"{number:05}.flac", audio, rate, subtype="PCM_24")
    temporary.rename(folder)


def _seconds(path: Path) -> float:
    with AudioReader(path) as reader:
        return reader.seconds or 0.0


def write_charts(options: LearningCurvesOptions, measured: Measured) -> None:
    """Draw each curve that has points, and write a README that shows and tabulates them."""
    shown = replace(  # what tools.cmd.fine_tune --output data wrote; nobody else has these paths
        options,
        dataset=Path("data") / options.speaker / "train",
        sources=Path("data/sources"),
        target=Path("data") / options.speaker / "real",
        manifest=options.manifest and Path("corpus/manifest.tsv"),
        memory=config.LOGS / "judgements.json",
        work=config.LOGS / "curves",
        base=config.LITE,
        output=FOLDER,
    )
    argv = ["python", *command(shown)[1:]]
    lines = [
        "# What the data is worth",
        "",
        f"Voice `{options.speaker}`, {options.steps} training steps at every point but those of "
        f"the epochs, {options.limit} clips converted. Where it is not what varies: "
        f"{options.data_minutes:g} minutes of recordings, "
        f"index rate {ConvertOptions.index_rate:g}. One voice, one run: small differences are "
        "chance. Written by this command, which goes on where it "
        "stopped:",
        "",
        "```bash",
        printable(argv),
        "```",
    ]
    figures = dict.fromkeys(name for panel in PANELS.values() for name in panel.lines.values())
    for curve, title in CURVES.items():
        points = measured.curve(curve)
        if not points:
            continue
        with replacing(options.output / f"{curve}.svg") as temporary:
            temporary.write_text(curve_svg(points, title), encoding="utf-8")
        lines += ["", f"## {title[0].upper()}{title[1:]}", "", f"![{title}]({curve}.svg)", ""]
        lines += [_row([curve, *figures]), "| --- " * (1 + len(figures)) + "|"]
        for label, values in points:
            cells = [f"{values[name]:.3f}" if name in values else "" for name in figures]
            lines.append(_row([label, *cells]))
    with replacing(options.output / "README.md") as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(argv: list[str] | None = None) -> int:
    """Do what the command line says; returns the exit code."""
    options = parse_options(LearningCurvesOptions, argv)
    signal.signal(signal.SIGTERM, _stop)

    def work() -> None:
        learning_curves(options)
        print(options.output / "README.md")

    return exit_code(work, "stopped; the same command goes on")


def append_row(
    file: Path, settings: Mapping[str, Any], point: Point, figures: Mapping[str, float]
) -> None:
    """Add one point to the file; half a line that a killed process left stays apart."""
    rounded = {name: round(value, 5) for name, value in figures.items()}
    row = json.dumps({"settings": settings, "point": asdict(point), "figures": rounded})
    with file.open("a+b") as table:
        if table.tell() and table.seek(-1, os.SEEK_END) and table.read(1) != b"\n":
            table.write(b"\n")
        table.write(f"{row}\n".encode())


def curve_svg(points: list[tuple[str, dict[str, float]]], x_title: str) -> str:
    """All charts of a curve as one picture for documents."""
    high = HEIGHT + TITLE
    charts = [(panel, panel_chart(panel, points)) for panel in PANELS.values()]
    charts = [(panel, drawn) for panel, drawn in charts if drawn]
    parts = []
    for number, (panel, drawn) in enumerate(charts):
        legend = "".join(
            f'<tspan fill="{colour}" font-weight="bold">&#160;&#160;{name}</tspan>'
            for colour, name in zip(COLOURS, panel.lines, strict=False)
        )
        parts.append(
            f'<g transform="translate({number % 2 * WIDTH},{number // 2 * high})">'
            f'<text x="{WIDTH / 2}" y="18" text-anchor="middle" font-size="13" '
            f'fill="currentColor">{panel.title}{legend if len(panel.lines) > 1 else ""}</text>'
            f'<g transform="translate(0,{TITLE})">{drawn}</g></g>'
        )
    width, rows = 2 * WIDTH, -(-len(charts) // 2)
    height = rows * high + TITLE
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="system-ui, sans-serif" font-size="11" color="#334155">'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>{"".join(parts)}'
        f'<text x="{WIDTH}" y="{height - 8}" text-anchor="middle" font-size="13" '
        f'fill="currentColor">{x_title}</text></svg>\n'
    )


if __name__ == "__main__":
    sys.exit(main())
