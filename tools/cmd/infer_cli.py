"""Convert a recording, or a folder of recordings, from the terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infer.converter import Conversion, VoiceConverter
    from infer.options import ConvertOptions
    from tools.jobs.outcomes import Outcome


def main(argv: list[str] | None = None) -> int:
    """Convert what the command line asks for; returns the exit code."""
    from infer.options import ConvertOptions
    from options import parse_options
    from tools.cmd.terminal import exit_code

    options = parse_options(ConvertOptions, argv)
    return exit_code(lambda: _convert(options), "stopped; no unfinished file is left")


def _convert(options: ConvertOptions) -> int:
    from errors import NoFile, UserError

    if not options.input.exists():
        raise NoFile("no_file_or_folder", file=options.input)
    for flag in ("--f0-file", "--save-f0", "--into"):
        if getattr(options, flag[2:].replace("-", "_")) and options.input.is_dir():
            raise UserError("one_recording", flag=flag, folder=options.input)
    if options.input.is_file() and not options.output.is_dir():
        jobs = [(options.input, options.output)]
    elif options.input.is_file():
        jobs = _targets(options.input.parent, [options.input], options)
    else:
        from train.recordings import find_recordings

        if options.output.resolve() == options.input.resolve():
            raise UserError("output_is_folder", folder=options.output)
        found = find_recordings(options.input, leave_out=options.output.resolve())
        if not found:
            raise NoFile("folder_empty", folder=options.input)
        jobs = _targets(options.input, found, options)
    return _convert_all(jobs, options)


def _targets(root: Path, sources: list[Path], options: ConvertOptions) -> list[tuple[Path, Path]]:
    from infer.audio.writer import result_suffix
    from tools.jobs.results import result_paths

    return result_paths(
        root, sources, options.output, lambda source: result_suffix(source, options.format)
    )


def _convert_all(jobs: list[tuple[Path, Path]], options: ConvertOptions) -> int:
    """Convert one file after the other; a bad one is named and does not stop the others."""
    from contextlib import nullcontext
    from dataclasses import replace

    from infer.audio.isolated import isolated
    from infer.converter import VoiceConverter
    from tools.jobs.outcomes import DONE, Outcome, read_outcomes

    converter, known = VoiceConverter(options.voice, options.device), read_outcomes(options.report)
    failed = 0
    with isolated() if len(jobs) > 1 else nullcontext():
        for source, target in jobs:
            before = known.get(str(source), Outcome(str(source), str(target)))
            if not (before.state == DONE and target.exists()):
                one = replace(options, input=source, output=target)
                failed += not _convert_one(converter, one, before)
    if failed and len(jobs) > 1:
        print(f"{failed} of {len(jobs)} recordings could not be converted", file=sys.stderr)
    return 1 if failed else 0


def _convert_one(converter: VoiceConverter, options: ConvertOptions, before: Outcome) -> bool:
    """Convert a recording and note what becomes of it; returns whether there is a result."""
    from errors import UserError, as_user_error, report_error
    from tools.cmd.terminal import say
    from tools.jobs.outcomes import BEGUN, DONE, FAILED, STOPPED, Outcome, note
    from train.worker import Progress

    outcome = Outcome(before.input, before.output)
    try:
        if before.state == BEGUN and before.deaths:
            raise UserError("ended_twice", file=options.input)
        say(f"{options.input} -> {options.output}")
        note(options.report, outcome, state=BEGUN)
        with Progress(100, "%", "convert") as progress:
            result = converter.convert_file(
                options, lambda share: progress.advance(int(100 * share) - progress.done)
            )
    except KeyboardInterrupt:
        note(options.report, outcome, state=STOPPED)
        raise
    except (ValueError, OSError, MemoryError) as error:
        note(options.report, outcome, state=FAILED, error=as_user_error(error))
        report_error(error)
        return False
    spent = round(sum(result.seconds.values()), 3)
    note(options.report, outcome, state=DONE, audio_seconds=result.audio_seconds, seconds=spent)
    say(_summary(result))
    return True


def _summary(result: Conversion) -> str:
    spent = sum(result.seconds.values())
    stages = ", ".join(f"{name} {value:.2f}" for name, value in result.seconds.items())
    index = f"index {result.index}" if result.index else "no index"
    return (
        f"{result.audio_seconds:.1f} s of audio in {spent:.1f} s ({stages}), {index}, "
        f"{result.semitones:+g} semitones, {result.sample_rate} Hz"
    )


if __name__ == "__main__":
    if __package__:
        from train.worker import stop_on_signals

        stop_on_signals()
        sys.exit(main())
    # started as a file: start again as a module, which finds the project's other modules
    root = Path(__file__).resolve().parents[2]
    module = [sys.executable, "-m", "tools.cmd.infer_cli", *sys.argv[1:]]
    sys.exit(subprocess.call(module, env={**os.environ, "PYTHONPATH": str(root)}))
