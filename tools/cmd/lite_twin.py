"""A lite voice that sounds like any other voice, so that it runs live on a CPU.

Speech is converted by the voice at several pitches, and a lite voice is trained on what comes out.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from infer.options import ConvertOptions
from options import parse_options
from tools.cmd.fine_tune import run_step, workers
from tools.cmd.terminal import exit_code
from tools.options import LiteTwinOptions
from train.experiment import Experiment
from train.options import TrainOptions

SPREAD = (-4.0, 0.0, 4.0)  # semitones about the usual shift: what the twin hears the voice sing


def lite_twin(options: LiteTwinOptions) -> None:
    """Convert, then run the five workers; what is done is left out. Raises UserError or OSError."""
    experiment = Experiment.named(options.name or f"{options.voice.stem} lite")
    spoken = experiment.root / "teacher"
    for shift in SPREAD:
        run_step(_conversion(options, shift, spoken / f"{shift:+g}"))
    training = TrainOptions(
        experiment=experiment.root, minutes=options.minutes, threads=options.threads
    )
    for step in workers(spoken, options.sample_rate, training):
        run_step(step)


def _conversion(options: LiteTwinOptions, shift: float, output: Path) -> ConvertOptions:
    return ConvertOptions(
        voice=options.voice,
        input=options.speech,
        output=output,
        semitones=options.semitones + shift,
        device=options.device,
        report=output.parent.with_name(f"teacher {output.name}.json"),
    )


def main(argv: list[str] | None = None) -> int:
    """Do what the command line says; returns the exit code."""
    options = parse_options(LiteTwinOptions, argv)
    options = replace(options, speech=options.speech.resolve(), voice=options.voice.resolve())
    return exit_code(lambda: lite_twin(options), "stopped; the same command goes on")


if __name__ == "__main__":
    sys.exit(main())
