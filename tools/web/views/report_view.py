"""A dataset report as HTML: advice in words, then a line per recording."""

from __future__ import annotations

import math
from html import escape

from tools.datasets.report import DatasetReport, Finding, Recording
from tools.web.errors import error_html
from tools.web.i18n import translate

MARKS = {"ok": "✓", "warning": "!", "problem": "✗"}
FILES_NAMED = 5  # of those that a finding is about
MOST_ROWS = 200  # of the table; recordings with problems come first
COLUMNS = ("file", "seconds", "usable", "loudness", "noise", "bandwidth", "pitch", "problems")


def report_html(report: DatasetReport) -> str:
    """Return the findings as a list and the recordings as a table that folds away."""
    findings = "".join(map(_finding, report.findings))
    ordered = sorted(report.recordings, key=lambda each: not each.problems)
    rows = "".join(map(_row, ordered[:MOST_ROWS]))
    head = "".join(f'<th scope="col">{translate(f"column_{name}")}</th>' for name in COLUMNS)
    more = len(ordered) - MOST_ROWS
    rest = f"<p>{translate('report_more', count=more)}</p>" if more > 0 else ""
    return (
        f'<ul class="report">{findings}</ul><details><summary>'
        f"{translate('report_table', count=len(ordered))}</summary>"
        f'<div class="wide" tabindex="0"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{rest}</details>"
    )


def _finding(finding: Finding) -> str:
    files = ", ".join(finding.files[:FILES_NAMED])
    if len(finding.files) > FILES_NAMED:
        files += ", …"
    named = f' <span class="quiet">{escape(files)}</span>' if files else ""
    return (
        f'<li class="report-{finding.level}" data-mark="{MARKS[finding.level]}">'
        f"{translate(finding.text, **finding.values)}{named}</li>"
    )


def _row(recording: Recording) -> str:
    loud = "" if math.isinf(recording.loudness) else f"{recording.loudness:.0f} LUFS"
    problems = ", ".join(map(translate, recording.problems))
    if recording.error or recording.repeats:
        said = error_html(recording.error) if recording.error else escape(recording.repeats)
        problems += f' <span class="quiet">{said}</span>'
    cells = (
        escape(recording.path),
        f"{recording.seconds:.1f}",
        f"{recording.usable_seconds:.1f}",
        loud,
        f"{recording.snr:.0f} dB",
        f"{recording.bandwidth / 1000:.1f} kHz",
        f"{recording.f0_median:.0f} Hz",
        problems,
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
