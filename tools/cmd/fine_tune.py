"""A voice to evaluate: split a corpus speaker into clips to train on and clips to compare with.

The corpus is a table (tab-separated, with the columns file, speaker, seconds and split) beside its
recordings. What is written feeds tools.research.evaluate.
"""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import config
from config import replacing
from errors import UserError
from options import Options, command, option, parse_options, printable
from tools.cmd.terminal import exit_code
from tools.jobs.ahead import seconds_left
from train.experiment import Experiment, plain_name
from train.options import (
    BuildIndexOptions,
    ExtractF0Options,
    ExtractFeaturesOptions,
    PreprocessOptions,
    TrainOptions,
)
from train.worker import clock

COLUMNS = {"file", "speaker", "seconds", "split"}


@dataclass(frozen=True, kw_only=True)
class FineTuneOptions(Options):
    """Train a voice on the first minutes of a corpus speaker; the rest is kept to judge it by."""

    MODULE = "tools.cmd.fine_tune"

    manifest: Path = option("table of the corpus, beside its recordings")
    speaker: str = option("speaker of the corpus to train on")
    output: Path = option("folder for SPEAKER/train, SPEAKER/real and sources")
    data_minutes: float = option(
        "minutes to train on, in the table's order", 10.0, within=(0.1, 1e6)
    )
    minutes: float = option("minutes of training, 0 = only split", 20.0, within=(0, 1e6))
    sample_rate: int = option("sample rate of the voice in Hz", 24000)
    threads: int = option("CPU threads, 0 = torch's own choice", 0, within=(0, 1024))


@dataclass(frozen=True)
class Split:
    """Which files of the corpus go where."""

    train: list[Path]
    real: list[Path]
    sources: list[Path]


def fine_tune(options: FineTuneOptions) -> None:
    """Write the folders, then run the five workers. Raises UserError or OSError."""
    root = options.manifest.parent
    split = read_split(options.manifest, options.speaker, options.data_minutes * 60)
    folder = options.output / plain_name(options.speaker)
    for target, files in (
        (folder / "train", split.train),
        (folder / "real", split.real),
        (options.output / "sources", split.sources),
    ):
        _copy(root, files, target)
        print(f"{target}: {len(files)} clips", flush=True)
    if options.minutes:
        training = TrainOptions(
            experiment=Experiment.named(options.speaker).root,
            minutes=options.minutes,
            threads=options.threads,
        )
        run_steps(workers(folder / "train", options.sample_rate, training))


def workers(dataset: Path, sample_rate: int, training: TrainOptions) -> list[Options]:
    """The five steps from recordings to a voice with its index."""
    root = training.experiment
    return [
        PreprocessOptions(experiment=root, dataset=dataset.resolve(), sample_rate=sample_rate),
        ExtractF0Options(experiment=root),
        ExtractFeaturesOptions(experiment=root),
        training,
        BuildIndexOptions(experiment=root),
    ]


def run_steps(steps: list[Options]) -> None:
    """Run commands one after the other, and say what is left of all of them. UserError."""
    words = [command(step)[2:] for step in steps]
    took: list[float] = []
    for number, step in enumerate(steps, 1):
        left = seconds_left(words, took, None, trained=0.0) if took else None
        more = "" if left is None else f", about {clock(left)} left in all"
        print(f"step {number} of {len(steps)}{more}", flush=True)
        began = time.monotonic()
        run_step(step)
        took.append(time.monotonic() - began)


def run_step(step: Options) -> None:
    """Show and run a command; a stop is handed on, and waits until its state is saved.

    UserError where it fails.
    """
    argv = command(step)
    print(printable(argv), flush=True)
    process = subprocess.Popen(argv, cwd=config.ROOT)
    try:
        code = process.wait()
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise
    if code:
        raise UserError("step_failed", step=step.MODULE, code=code)


def read_split(manifest: Path, speaker: str, seconds: float) -> Split:
    """Take a speaker's clips in order while they fit into seconds; what follows is real.

    Sources are the clips whose split is "source". UserError names what the table lacks.
    """
    with manifest.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    if missing := COLUMNS - set(rows[0] if rows else ()):
        raise UserError("no_column", file=manifest, names=sorted(missing))
    own = [row for row in rows if row["speaker"] == speaker]
    if not own:
        raise UserError("no_speaker", file=manifest, speaker=speaker)
    train: list[Path] = []
    for row in own:
        seconds -= float(row["seconds"])
        if seconds < 0:
            break
        train.append(Path(row["file"]))
    real = [Path(row["file"]) for row in own[len(train) :]]
    if not train or not real:
        minutes = sum(float(row["seconds"]) for row in own) / 60
        raise UserError("split", speaker=speaker, minutes=minutes)
    return Split(train, real, [Path(row["file"]) for row in rows if row["split"] == "source"])


def _copy(root: Path, files: list[Path], target: Path) -> None:
    """Fill a folder with files of the corpus; UserError if other recordings lie there."""
    for file in files:
        if file.is_absolute() or ".." in file.parts:
            raise UserError("out_of_corpus", file=file)
    wanted = {target / file for file in files}
    found = {path for path in target.rglob("*") if path.is_file()}
    if strange := found - wanted:
        raise UserError("other_split", file=min(strange), folder=target)
    for file in files:
        if target / file not in found:
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            with replacing(target / file) as temporary:
                shutil.copyfile(root / file, temporary)


def main(argv: list[str] | None = None) -> int:
    """Do what the command line says; returns the exit code."""
    options = parse_options(FineTuneOptions, argv)
    return exit_code(lambda: fine_tune(options), "stopped; the same command goes on")


if __name__ == "__main__":
    sys.exit(main())
