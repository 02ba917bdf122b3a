"""The Help tab in a browser: the check of this machine runs, answers lead on."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from tests.tools.web.conftest import Opens

RUN_MS = 120_000  # the check starts torch


def test_the_check_runs_and_the_bundle_comes(opened: Opens, tmp_path: Path, root: Path) -> None:
    page = opened()
    page.get_by_role("tab", name="Help", exact=True).click()
    page.get_by_role("button", name="Check this computer", exact=True).first.click()
    found = page.locator("#doctor")
    found.get_by_text(re.compile("torch .* computes on")).first.wait_for(timeout=RUN_MS)
    assert found.get_by_text(re.compile("packages are there")).first.is_visible()
    page.get_by_role("button", name="Make a support bundle", exact=True).click()
    link = page.get_by_role("link", name=re.compile("kB|support-bundle|KB")).first
    link.wait_for(timeout=RUN_MS)
    with page.expect_download() as download:
        link.click()
    download.value.save_as(tmp_path / "bundle.zip")
    with zipfile.ZipFile(tmp_path / "bundle.zip") as archive:
        assert "torch" in archive.read("doctor.txt").decode()
        assert str(root) not in archive.read("doctor.txt").decode()
    for made in (root / "results").glob("support-bundle*.zip"):
        made.unlink()


def test_every_question_is_answered_and_recordings_can_be_checked(
    opened: Opens, english: Path
) -> None:
    page = opened()
    page.get_by_role("tab", name="Help", exact=True).click()
    for number in range(1, 19):
        page.get_by_role("button", name=re.compile(rf"^{number}\. ")).first.click()
    page.get_by_text("In Voices, “Share as zip” makes one file").first.wait_for()
    page.get_by_label("Folder of recordings").last.fill(str(english))
    page.get_by_role("button", name="Check these recordings", exact=True).click()
    page.locator("#dataset-report").get_by_text(re.compile("minutes are usable")).first.wait_for(
        timeout=RUN_MS
    )
    page.get_by_role("button", name="Open Voices", exact=True).first.click()
    page.locator("#voices").wait_for()
