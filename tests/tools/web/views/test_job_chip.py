"""The line that tells on every tab of what works, waits and has just ended."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.tools.web.views.test_job_view import JOB, english
from tools.convert.client import Session
from tools.jobs import results
from tools.jobs.jobs import Job, Jobs, write_job
from tools.web.views.job_chip import TOLD_SECONDS, JobChip
from train.job_folder import JobFolder


def test_the_end_of_a_job_is_told_for_a_while_and_leads_to_its_tab(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BATCHES", "COVERS"):
        monkeypatch.setattr(results, name, tmp_path / name)
    chip = JobChip(Session(), Jobs(tmp_path / "logs"))
    assert chip.html() == ""

    def ended(place: str, state: str, seconds_ago: float) -> str:
        folder = JobFolder(tmp_path / place / "mi")
        folder.root.mkdir(parents=True, exist_ok=True)
        write_job(folder, Job(JOB.commands, state=state, ended=time.time() - seconds_ago))
        return chip.html()

    assert ended("logs", "done", TOLD_SECONDS + 1) == ended("logs", "stopped", 1) == ""
    html = ended("COVERS", "done", 1)
    assert english(html) == "The cover is made" and 'href="#song"' in html and "chip-ended" in html
    assert "chip-failed" not in html
    html = ended("logs", "failed", 1)
    assert "mi failed" in english(html) and "chip-failed" in html
