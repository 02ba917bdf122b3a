"""The Train tab as a user drives it, for the tests that train through the page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.tools.conftest import wait_until
from tools.jobs.jobs import Jobs
from train.experiment import Experiment

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect

STEP_MS = 180_000  # generous: every step imports torch first


def button(page: Any, name: str) -> Any:
    """Return the button of that name."""
    return page.get_by_role("button", name=name, exact=True)


def open_tab(page: Any, url: str = "") -> Any:
    """Show the Train tab; from then on nothing is expected to be quick."""
    page.set_default_timeout(STEP_MS)
    if url:
        page.goto(url)
    page.get_by_role("tab", name=re.compile("Train|训练")).first.click()
    return page


def fill_in(page: Any, experiment: Experiment, recordings: list[Path]) -> None:
    """Go from top to bottom of the form."""
    name = page.get_by_label("Name of the voice")
    name.fill(experiment.name)
    name.press("Enter")
    page.locator("#dataset-files input[type=file]").set_input_files(recordings)
    page.get_by_text(re.compile(rf"Files added to .*: {len(recordings)}\.")).wait_for()
    page.get_by_text("minutes are usable").wait_for()
    page.get_by_role("button", name="More settings").last.click()
    for label, value in (
        ("Clips per step", "1"),
        ("Minutes between saves", "0.1"),
    ):
        page.get_by_label(label).fill(value)
        page.get_by_label(label).press("Tab")


def says(page: Any, text: str | re.Pattern[str], timeout: float = STEP_MS) -> None:
    """Wait until the job's view says this, in the language that is seen."""
    expect(page.locator(".job")).to_contain_text(text, use_inner_text=True, timeout=timeout)


def told(experiment: Experiment) -> tuple[int, int]:
    """How far the job on disk is: its stage, and what the running command tells as done."""
    job, progress = Jobs().read(experiment), Jobs().log(experiment)[0]
    return job.stage, progress.done if progress else 0


def start(page: Any, name: str, experiment: Experiment) -> None:
    """Press a button that starts the job, and wait until the training tells of its steps."""
    button(page, name).click()
    says(page, "Step 4 of 6: Training the voice", 3 * STEP_MS)
    wait_until(lambda: told(experiment)[1] > 0)
