"""The report of a folder that is converted."""

from __future__ import annotations

from pathlib import Path

from errors import UserError
from tools.jobs.outcomes import BEGUN, DONE, FAILED, STOPPED, Outcome, note, read_outcomes


def test_the_newest_line_counts_and_half_a_line_does_not(tmp_path: Path) -> None:
    report, one = tmp_path / "report.jsonl", Outcome("in/声 1.wav", "out/1.wav")
    assert read_outcomes(report) == read_outcomes(None) == {}
    note(None, one)
    note(report, one, state=BEGUN)
    note(report, one, state=DONE, audio_seconds=6.5)
    note(report, Outcome("2", "o"), state=FAILED, error=UserError("no_sound", file=Path("a.wav")))
    with report.open("a") as file:
        file.write('{"input": "in/声 1.wav", "out')
    outcomes = read_outcomes(report)
    assert (outcomes[one.input].state, outcomes[one.input].audio_seconds) == (DONE, 6.5)
    assert str(outcomes["2"].error) == "a.wav: there is no sound in this file (0 samples)"


def test_only_a_recording_that_was_never_ended_counts_as_a_death(tmp_path: Path) -> None:
    report, one = tmp_path / "report.jsonl", Outcome("1", "o")
    note(report, one, state=BEGUN)
    note(report, one, state=STOPPED)
    note(report, one, state=BEGUN)
    assert read_outcomes(report)["1"].deaths == 0
    note(report, one, state=BEGUN)
    assert read_outcomes(report)["1"].deaths == 1
