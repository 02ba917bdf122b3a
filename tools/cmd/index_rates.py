"""Compare index rates from the terminal: five results and a table of what was measured."""

from __future__ import annotations

import sys

from options import parse_options
from tools.cmd.terminal import exit_code
from tools.options import IndexRatesOptions

MEANING = """to index: distance of what is heard from the voice's own features; lower = more its own
to source: distance of the mean voiced spectrum from the recording's in dB; higher = less of it
to training: the same from the clips the voice was trained on, where they are; lower = nearer
melody: median distance from the wanted f0, cents; voiced: share of its voiced frames kept"""


def main(argv: list[str] | None = None) -> int:
    """Convert, measure, print the table; returns the exit code."""
    options = parse_options(IndexRatesOptions, argv)
    from infer.converter import VoiceConverter
    from tools.convert.index_rates import Row, compare_index_rates
    from train.worker import Progress

    def line(row: Row) -> str:
        rate = "source" if row.index_rate is None else f"{row.index_rate:.2f}"
        figures = [
            "-" if value is None else f"{value:.{digits}f}"
            for value, digits in (
                (row.to_index, 3), (row.to_source, 2), (row.to_training, 2), (row.melody, 1),
                (row.voiced, 3),
            )
        ]  # fmt: skip
        return " ".join([f"{rate:>10}", *(f"{figure:>11}" for figure in figures), f" {row.path}"])

    def work() -> None:
        converter = VoiceConverter(options.voice, options.device)
        with Progress(100, "%", "index_rates") as progress:
            rows = compare_index_rates(
                converter,
                options,
                lambda share: progress.advance(int(100 * share) - progress.done),
            )
        heads = ("index rate", "to index", "to source", "to training", "melody", "voiced")
        print(" ".join([f"{heads[0]:>10}", *(f"{head:>11}" for head in heads[1:]), " file"]))
        for row in rows:
            print(line(row))
        print(MEANING)

    return exit_code(work, "stopped; no file is left")


if __name__ == "__main__":
    sys.exit(main())
