"""The line that tells on every tab of what works, waits and has just ended."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from tests.tools.web.views.test_job_view import JOB, english
from tools.convert.client import End, Session
from tools.jobs import results
from tools.jobs.jobs import Job, Jobs, write_job
from tools.web.views.job_chip import LONG_SECONDS, TOLD_SECONDS, JobChip
from train.job_folder import JobFolder


@pytest.fixture
def chip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JobChip:
    for name in ("BATCHES", "COVERS"):
        monkeypatch.setattr(results, name, tmp_path / name)
    return JobChip(Session(), Jobs(tmp_path / "logs"))


def links(html: str) -> list[tuple[str, str]]:
    """Where each link leads, and what it says."""
    return [
        (tab, english(said)) for tab, said in re.findall(r'href="#(\w+)">(.*?)</a>', html, re.S)
    ]


def test_all_that_works_and_waits_is_told_and_leads_to_its_tab(
    chip: JobChip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = []
    for place, name, state in (
        ("logs", "mi", "running"), ("logs", "ma", "waiting"), ("logs", "mo", "waiting"),
        ("COVERS", "x", "running"), ("COVERS", "y", "waiting"), ("BATCHES", "z", "waiting"),
    ):  # fmt: skip
        folder = JobFolder(tmp_path / place / name)
        folder.root.mkdir(parents=True)
        queued = 2.0 if name == "ma" else 1.0
        write_job(folder, replace(JOB, state=state, queued=queued))
        held.append(FileLock(folder.lock_file("job")))
        held[-1].acquire()  # as its process does
    assert links(chip.html()) == [
        ("train", "Working on mi"), ("song", "Making a cover"), ("train", "Waiting: ma, mo"),
        ("convert", "Batches waiting: 1"), ("song", "Covers waiting: 1"),
    ]  # fmt: skip
    monkeypatch.setattr(Session, "is_converting", True)
    assert ("convert", "Converting") in links(chip.html())
    for lock in held:
        lock.release()
    monkeypatch.setattr(Session, "is_converting", False)
    assert chip.html() == ""


def test_the_end_of_a_long_conversion_is_told_like_that_of_a_job(chip: JobChip) -> None:
    now = time.time()
    for seconds, state, said in (
        (LONG_SECONDS - 1, "done", []),
        (LONG_SECONDS, "done", [("convert", "The recording is converted")]),
        (LONG_SECONDS, "failed", [("convert", "The conversion failed: see why")]),
    ):
        chip._session.end = End(state, now, seconds)
        html = chip.html()
        assert links(html) == said
        assert ("chip-ended" in html) is bool(said) and ("chip-failed" in html) is (
            state == "failed"
        )
    chip._session.end = End("done", now - TOLD_SECONDS, LONG_SECONDS)
    assert chip.html() == ""


def test_the_end_of_a_job_is_told_for_a_while_and_leads_to_its_tab(
    chip: JobChip, tmp_path: Path
) -> None:
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
