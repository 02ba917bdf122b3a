"""Make a cover of a song from the terminal."""

from __future__ import annotations

import json
import sys

from tools.songs.options import CoverOptions


def main(argv: list[str] | None = None) -> int:
    """Make the cover that the command line asks for; returns the exit code."""
    from options import parse_options
    from tools.cmd.terminal import exit_code

    options = parse_options(CoverOptions, argv)
    return exit_code(lambda: _cover(options), "stopped; the same command goes on from here")


def _cover(options: CoverOptions) -> None:
    from tools.jobs.covers import recordings_at_work
    from tools.songs.cover import make_cover
    from tools.songs.kept import forget_oldest
    from train.experiment import write_json

    with _Shown() as shown:
        cover = make_cover(options, shown.on_stage)
    if options.report is not None:
        report = {**vars(cover), "parts": {name: str(path) for name, path in cover.parts.items()}}
        write_json(options.report, json.loads(json.dumps(report, default=str)))
    forget_oldest(options.keep_gb, [*cover.used, *recordings_at_work()])
    made = ", ".join(cover.made) or "nothing"
    print(f"made: {made}; kept in {cover.folder}")
    print(
        f"lead {cover.semitones:+g} semitones; {cover.vocals_lufs:.1f} LUFS before, "
        f"{cover.voice_lufs:.1f} now, accompaniment {cover.accompaniment_lufs:.1f}"
    )
    print(cover.output, flush=True)


class _Shown:
    """A progress line for each stage."""

    def __init__(self) -> None:
        self._name = ""
        self._progress = None

    def __enter__(self) -> _Shown:
        return self

    def __exit__(self, *error: object) -> None:
        if self._progress is not None:
            self._progress.__exit__(None, None, None)

    def on_stage(self, name: str, share: float) -> None:
        """Show how much of a stage is done."""
        from train.worker import Progress

        if name != self._name:
            self.__exit__()
            self._name, self._progress = name, Progress(100, "%", name)
        self._progress.advance(int(100 * share) - self._progress.done)


if __name__ == "__main__":
    from train.worker import stop_on_signals

    stop_on_signals()
    sys.exit(main())
