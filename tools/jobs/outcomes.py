"""What becomes of each recording that a command converts: a line of JSON for every change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from errors import UserError
from tools.records import record

BEGUN, DONE, FAILED, STOPPED = "begun", "done", "failed", "stopped"


@dataclass(frozen=True)
class Outcome:
    """One recording. seconds: spent on it; deaths: how often its process ended in the middle."""

    input: str
    output: str
    state: str = ""
    audio_seconds: float = 0.0
    seconds: float = 0.0
    error: UserError | None = None
    deaths: int = 0


def note(report: Path | None, outcome: Outcome, **changes: object) -> None:
    """Add an outcome to a report, with changes; None = nobody wants one."""
    if report is not None:
        changed = vars(replace(outcome, **changes))
        line = json.dumps({**changed, "error": changed["error"] and changed["error"].to_json()})
        report.parent.mkdir(parents=True, exist_ok=True)
        with report.open("ab") as file:
            file.write(f"{line}\n".encode("ascii"))


def read_outcomes(report: Path | None) -> dict[str, Outcome]:
    """The newest outcome of each recording by its path; half a line of a killed process is ignored.

    What was begun and is begun again without an end between them cost a process its life.
    """
    outcomes: dict[str, Outcome] = {}
    for outcome in _lines(report):
        before = outcomes.get(outcome.input)
        if before is not None:
            died = outcome.state == before.state == BEGUN
            outcome = replace(outcome, deaths=before.deaths + died)
        outcomes[outcome.input] = outcome
    return outcomes


def _lines(report: Path | None) -> Iterator[Outcome]:
    if report is None or not report.is_file():
        return
    for line in report.read_text(encoding="ascii", errors="replace").splitlines():
        try:
            yield record(Outcome, json.loads(line))
        except (ValueError, TypeError, KeyError, RecursionError):
            continue
