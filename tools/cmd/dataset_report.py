"""Say what a dataset is good for, from the terminal."""

from __future__ import annotations

import json
import sys

import config
from options import parse_options
from tools.cmd.terminal import exit_code
from tools.datasets.report import DatasetReport, report_dataset, write_report
from tools.options import DatasetReportOptions
from train.worker import Progress

MARKS = {"ok": "  ", "warning": "! ", "problem": "!!"}
TEXTS = config.ROOT / "tools/web/i18n/en/report.json"
FILES_SHOWN = 5


def main(argv: list[str] | None = None) -> int:
    """Print the report; returns the exit code, 1 where the dataset cannot be read."""
    options = parse_options(DatasetReportOptions, argv)
    return exit_code(lambda: _report(options), "stopped; nothing was changed")


def _report(options: DatasetReportOptions) -> None:
    with Progress(1, "files", "dataset_report") as progress:

        def on_progress(done: int, total: int) -> None:
            progress.total = total
            progress.advance(done - progress.done)

        report = report_dataset(options.dataset, on_progress)
    if options.json is not None:
        write_report(report, options.json)
    _show(report)


def _show(report: DatasetReport) -> None:
    texts = json.loads(TEXTS.read_text(encoding="utf-8"))
    print(
        f"{'file':40} {'seconds':>8} {'usable':>7} {'LUFS':>6} {'SNR':>4} {'clipped':>8} "
        f"{'kHz':>5} {'f0':>4}"
    )
    for each in report.recordings:
        name = each.path if len(each.path) <= 40 else "..." + each.path[-37:]
        faults = ", ".join(texts[text] for text in each.problems)
        said = each.error or each.repeats
        detail = f" ({said})" if said else ""
        print(
            f"{name:40} {each.seconds:8.1f} {each.usable_seconds:7.1f} {each.loudness:6.1f} "
            f"{each.snr:4.0f} {each.clipped:8.2%} {each.bandwidth / 1000:5.1f} "
            f"{each.f0_median:4.0f}  {faults}{detail}".rstrip()
        )
    print()
    for finding in report.findings:
        print(MARKS[finding.level], texts[finding.text].format(**finding.values))
        for name in finding.files[:FILES_SHOWN]:
            print(f"      {name}")
        if len(finding.files) > FILES_SHOWN:
            print(f"      and {len(finding.files) - FILES_SHOWN} more")


if __name__ == "__main__":
    sys.exit(main())
