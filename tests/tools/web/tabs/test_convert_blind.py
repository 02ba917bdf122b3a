"""The blind test in a browser: results without names, equally loud; the choice is a preset."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tools.web.conftest import STAGE, Opens
from tools.web.tabs.convert_blind import PRESET

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect

pytestmark = pytest.mark.usefixtures("shipped_voice")


@pytest.fixture
def presets(data: Path) -> Iterator[Path]:
    """The presets of the demo voice; they and all results are gone at the end."""
    kept = data / "assets/lite/demo.presets.json"
    kept.unlink(missing_ok=True)
    yield kept
    kept.unlink(missing_ok=True)
    shutil.rmtree(data / "results", ignore_errors=True)


def test_the_choice_among_unnamed_results_becomes_a_preset_and_is_set(
    opened: Opens, presets: Path
) -> None:
    page = opened()
    page.get_by_role("button", name="English, a woman").click()
    page.get_by_text("shifted by").first.wait_for()
    page.get_by_text("Blind test", exact=True).click()
    page.get_by_role("button", name="Make them").click()
    buttons = page.get_by_role("button", name=re.compile(r"^▶ \d$"))
    expect(buttons).to_have_count(3)
    levels = set()
    for number in range(3):
        buttons.nth(number).click()
        page.wait_for_function(f"{STAGE}.isPlaying && {STAGE}.gains.b > 0")
        expect(page.locator("[data-side=b]")).to_have_text(f"№ {number + 1}")
        levels.add(page.evaluate(f"{STAGE}.loudness.toFixed(1)"))
    assert len(levels) == 1  # all are turned down to the same loudness
    assert "0.25" not in page.locator("#blind").inner_text()
    page.get_by_role("button", name="I choose this one").nth(1).click()
    page.get_by_text("Your choice is set").wait_for()
    chosen = json.loads(presets.read_text())[PRESET]["index_rate"]
    expect(page.locator("#blind li").nth(1)).to_contain_text(f"{chosen:g}, ")
    page.get_by_role("button", name="More settings").click()
    expect(page.get_by_label("Index rate").first).to_have_value(str(chosen))
