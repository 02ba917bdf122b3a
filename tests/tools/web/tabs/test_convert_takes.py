"""The tray of takes in a browser: kept over a reload, played, compared, set again, thrown away."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tools.web.conftest import STAGE, Opens, settle
from tests.tools.web.test_page import violations

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect

pytestmark = pytest.mark.usefixtures("shipped_voice")


@pytest.fixture
def results(data: Path) -> Iterator[Path]:
    """The folder of results, empty."""
    shutil.rmtree(data / "results", ignore_errors=True)
    yield data / "results"
    shutil.rmtree(data / "results", ignore_errors=True)


def test_takes_are_kept_played_compared_starred_set_again_and_thrown_away(
    opened: Opens, results: Path
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing")
    page = opened()
    cards = page.locator("#takes li:not(.making)")
    page.get_by_role("button", name="English, a woman").click()
    page.get_by_text("shifted by").first.wait_for()
    for number, semitones in enumerate(("2", "-3"), 1):
        page.get_by_label("Semitones").first.fill(semitones)
        page.get_by_role("button", name="Convert", exact=True).click()
        expect(cards).to_have_count(number)
        page.wait_for_function(f"{STAGE}.curves.b > 0")
    settle(page)
    page.reload()
    expect(cards).to_have_count(2)
    expect(cards.first).to_contain_text("demo, from english")
    expect(cards.first).to_contain_text("Semitones -3", use_inner_text=True)

    page.get_by_label("Play this").nth(1).click()
    page.wait_for_function(f"{STAGE}.isPlaying && {STAGE}.heard === 'b'")
    page.get_by_label("Put on the other side (A)").first.click()
    expect(page.locator("[data-side=a]")).to_have_text(re.compile(r"demo \d\d:\d\d:\d\d"))
    with page.expect_download() as download:
        page.get_by_label("Download this").first.click()
    made = results / download.value.suggested_filename
    assert Path(download.value.path()).read_bytes() == made.read_bytes()

    page.get_by_label("Star").nth(1).click()
    expect(cards.first).to_contain_text("Semitones 2", use_inner_text=True)  # it leads now
    assert list(violations(page, axe.Axe())) == []
    page.get_by_label("These settings again").nth(1).click()
    expect(page.get_by_label("Semitones").first).to_have_value("-3")
    expect(page.get_by_label("By hand")).to_be_checked()
    page.get_by_label("Delete this").nth(1).click()
    expect(cards).to_have_count(1)
    assert not made.exists()
    settle(page)
    page.reload()  # what was thrown away can be brought back after it, too
    page.get_by_role("button", name="Bring it back").click()
    expect(cards).to_have_count(2)
    assert made.exists()
