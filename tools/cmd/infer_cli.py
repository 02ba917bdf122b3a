"""Convert a recording, or a folder of recordings, from the terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infer.converter import Conversion
    from infer.options import ConvertOptions


def main(argv: list[str] | None = None) -> int:
    """Convert what the command line asks for; returns the exit code."""
    from infer.options import ConvertOptions, parse_options

    options = parse_options(ConvertOptions, argv)
    try:
        return _convert(options)
    except (ValueError, OSError, MemoryError) as error:
        return _fail(error)
    except KeyboardInterrupt:
        print("stopped; no unfinished file is left", file=sys.stderr)
        return 130


def _convert(options: ConvertOptions) -> int:
    if not options.input.exists():
        raise FileNotFoundError(f"{options.input}: no such file or folder")
    if options.input.is_file() and not options.output.is_dir():
        jobs = [(options.input, options.output)]
    elif options.input.is_file():
        jobs = _targets(options.input.parent, [options.input], options)
    else:
        from train.preprocess import find_recordings

        if options.output.resolve() == options.input.resolve():
            raise ValueError(f"--output is the folder of the recordings, {options.output}")
        found = find_recordings(options.input, leave_out=options.output.resolve())
        if not found:
            raise FileNotFoundError(f"{options.input}: no recordings in this folder")
        jobs = _targets(options.input, found, options)
    return _convert_all(jobs, options)


def _targets(root: Path, sources: list[Path], options: ConvertOptions) -> list[tuple[Path, Path]]:
    """Each source with its output: same folders and names, another suffix; all different."""
    from infer.audio import OUTPUT_SUFFIXES

    targets: dict[Path, Path] = {}
    for source in sources:
        suffix = f".{options.format}" if options.format else source.suffix.lower()
        suffix = suffix if suffix in OUTPUT_SUFFIXES else ".wav"
        target = options.output / source.relative_to(root).with_suffix(suffix)
        if target in targets:  # a.wav beside a.mp3
            target = target.with_name(f"{source.name}{suffix}")
        targets[target] = source
    return [(source, target) for target, source in targets.items()]


def _convert_all(jobs: list[tuple[Path, Path]], options: ConvertOptions) -> int:
    """Convert one file after the other; a bad one is named and does not stop the others."""
    from dataclasses import replace

    from infer.converter import VoiceConverter
    from train.worker import Progress

    converter = VoiceConverter(options.voice, options.device)
    failed = 0
    for source, target in jobs:
        print(f"{source} -> {target}", flush=True)
        try:
            with Progress(100, "%", "convert") as progress:
                result = converter.convert_file(
                    replace(options, input=source, output=target),
                    lambda share, progress=progress: progress.advance(
                        int(100 * share) - progress.done
                    ),
                )
            print(_summary(result), flush=True)
        except (ValueError, OSError) as error:
            if len(jobs) == 1:
                raise
            failed += 1
            _fail(error)
    if failed:
        print(f"{failed} of {len(jobs)} recordings could not be converted", file=sys.stderr)
    return 1 if failed else 0


def _summary(result: Conversion) -> str:
    spent = sum(result.seconds.values())
    stages = ", ".join(f"{name} {value:.2f}" for name, value in result.seconds.items())
    index = f"index {result.index}" if result.index else "no index"
    return (
        f"{result.audio_seconds:.1f} s of audio in {spent:.1f} s ({stages}), {index}, "
        f"{result.sample_rate} Hz"
    )


def _fail(error: Exception) -> int:
    said = " ".join(str(error).split()) or type(error).__name__
    print(f"error: {said}", file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    if __package__:
        sys.exit(main())
    # started as a file: start again as a module, which finds the project's other modules
    root = Path(__file__).resolve().parents[2]
    module = [sys.executable, "-m", "tools.cmd.infer_cli", *sys.argv[1:]]
    sys.exit(subprocess.call(module, env={**os.environ, "PYTHONPATH": str(root)}))
