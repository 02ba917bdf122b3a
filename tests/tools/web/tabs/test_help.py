"""The Help tab in a browser: the check of this machine runs, answers lead on."""

from __future__ import annotations

import os
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.tools.conftest import wait_until
from tests.tools.web.conftest import Opens
from tools.jobs.jobs import Jobs
from tools.jobs.training import Settings, write_settings
from tools.web.tabs.help import QUESTIONS
from train.experiment import Experiment

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect


def test_the_check_runs_and_the_bundle_comes(
    opened: Opens, tmp_path: Path, root: Path, data: Path
) -> None:
    page = opened()
    page.get_by_role("tab", name="Help", exact=True).click()
    page.get_by_role("button", name="Check this computer", exact=True).first.click()
    found = page.locator("#doctor")
    found.get_by_text(re.compile("torch .* computes on")).first.wait_for()
    assert found.get_by_text(re.compile("packages are there")).first.is_visible()
    page.get_by_role("button", name="Make a support bundle", exact=True).click()
    link = page.get_by_role("link", name=re.compile("kB|support-bundle|KB")).first
    link.wait_for()
    with page.expect_download() as download:
        link.click()
    download.value.save_as(tmp_path / "bundle.zip")
    with zipfile.ZipFile(tmp_path / "bundle.zip") as archive:
        assert "torch" in archive.read("doctor.txt").decode()
        assert str(root) not in archive.read("doctor.txt").decode()
    for made in (data / "results").glob("support-bundle*.zip"):
        made.unlink()


def open_question(page: Any, number: int) -> Any:
    """Open Help and one question's fold; gives the fold."""
    page.get_by_role("tab", name="Help", exact=True).click()
    question = page.locator(f"#faq-{number}")
    question.locator("button.label-wrap").click()
    return question


def test_questions_are_found_by_words_and_recordings_can_be_checked(
    opened: Opens, english: Path
) -> None:
    page = opened()
    question = open_question(page, 8)
    question.get_by_role("button", name="Check my recordings").click()
    dataset = page.locator("#faq-9")
    dataset.get_by_label("Folder of recordings").fill(str(english))
    dataset.get_by_role("button", name="Check these recordings", exact=True).click()
    said = page.locator("#dataset-report")
    said.locator(".job").wait_for()
    page.reload()  # which does not disturb it, and the browser finds it again
    open_question(page, 9)
    said.get_by_text(re.compile("minutes are usable")).first.wait_for()
    search = page.get_by_label(re.compile("Search the questions"))
    search.press_sequentially("tensor 17280")
    expect(page.locator(".question:visible")).to_have_count(1)
    search.fill("显存")  # what only the Chinese answer says
    expect(page.locator("#faq-7")).to_be_visible()
    expect(page.locator(".question").first).to_contain_text("How many recordings")
    search.fill("song")
    expect(page.locator("#faq-20")).to_be_visible()
    expect(page.locator("#faq-9")).to_be_hidden()
    search.fill("no such words")
    expect(page.locator(".question:visible")).to_have_count(0)
    page.locator("#search").get_by_text("No question has these words").wait_for()


def test_every_question_has_a_button_that_works_or_commands_to_copy(opened: Opens) -> None:
    page = opened()
    page.get_by_role("tab", name="Help", exact=True).click()
    for number in sorted(set(QUESTIONS) - {21}):  # which only explains words
        question = page.locator(f"#faq-{number}")
        question.locator("button.label-wrap").click()
        answer = question.locator("button:not(.label-wrap):visible, .command textarea:visible")
        expect(answer.first).to_be_visible()
        question.locator("button.label-wrap").click()
    commands = open_question(page, 6).locator(".command textarea").input_value()
    steps = ("preprocess", "extract_f0", "extract_features", "train", "build_index", "infer_cli")
    assert all(f".{step} " in commands for step in steps)


def test_an_index_that_is_missing_is_named_and_built_and_a_voice_is_shared(
    opened: Opens, root: Path, data: Path, shipped_voice: None
) -> None:
    experiment = Experiment(data / "logs" / f"help test {os.getpid()}")
    voice = data / "weights" / f"{experiment.name}.pth"
    write_settings(experiment, Settings(dataset="x"))
    shutil.copy(root / "assets/lite/demo.pth", voice)
    try:
        page = opened()
        first = open_question(page, 1)
        first.get_by_role("button", name="Check my trainings", exact=True).click()
        first.get_by_text(re.compile("its index is not")).first.wait_for()
        third = open_question(page, 3)
        third.get_by_role("button", name="Share as zip", exact=True).click()
        third.get_by_role("link").first.wait_for()
        first.get_by_role("button", name="Build what index is missing", exact=True).click()
        first.get_by_text(re.compile("is being worked on|ended before")).first.wait_for()
        wait_until(lambda: "run train.preprocess first" in Jobs().log(experiment)[1])  # it tries
    finally:
        shutil.rmtree(experiment.root, ignore_errors=True)
        voice.unlink(missing_ok=True)
        for made in (data / "results").glob("help test*.zip"):
            made.unlink()
