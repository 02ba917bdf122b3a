"""The blind test in a browser: results without names, equally loud; the choice is a preset."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tools.web.conftest import STAGE, WIDTHS, Opens, settle
from tests.tools.web.test_page import faults_of
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


@pytest.fixture
def trained(data: Path, root: Path) -> Iterator[Path]:
    """An experiment with two saved states; it and its voices are gone at the end."""
    folder = data / "logs/mi"
    folder.mkdir(parents=True)
    for step in (3, 7):
        for kind in "GD":
            shutil.copy(root / f"assets/lite/base_{kind}.pth", folder / f"{kind}_{step}.pth")
    (folder / "config.json").write_text('{"version": "lite"}')
    yield folder
    shutil.rmtree(folder)
    for voice in (data / "weights").glob("mi_*"):
        voice.unlink()


@pytest.mark.slow
def test_saved_states_are_compared_and_the_chosen_one_becomes_a_voice(
    opened: Opens, presets: Path, trained: Path, data: Path
) -> None:
    page = opened()
    page.get_by_role("button", name="English, a woman").click()
    page.get_by_text("shifted by").first.wait_for()
    page.get_by_text("Blind test", exact=True).click()
    page.get_by_label("Saved states").click()
    for name in ("mi, G_7", "mi, G_3"):
        page.get_by_role("option", name=name).click()
    page.keyboard.press("Escape")
    for rate in ("0.25", "0.75"):
        page.get_by_label(rate, exact=True).uncheck()
    page.get_by_role("button", name="Make them").click()
    expect(page.get_by_role("button", name=re.compile(r"^▶ \d$"))).to_have_count(3)
    assert "G_" not in page.locator("#blind").inner_text()
    assert list((data / "weights").glob("mi_*")) == []
    assert list((data / "results").rglob("mi_*.pth")) == []
    page.locator("#blind [data-act=choose]").first.click()
    page.get_by_text("Your choice is set").wait_for()
    names = page.locator("#blind .blind-words").all_inner_texts()
    compared = {name.partition(", index")[0] for name in map(str.casefold, names)}
    assert compared == {"demo", "mi, g_3", "mi, g_7"}
    chosen = next(name for name in names if "★" in name)
    kept = [path.name for path in (data / "weights").glob("mi_*.pth")]
    if chosen.startswith("demo"):
        assert kept == []
    else:
        step = chosen[len("mi, G_")]
        assert [name.rpartition("_s")[2] for name in kept] == [f"{step}.pth"]
        page.get_by_text("speaks around").first.wait_for(state="detached")
        expect(page.get_by_label("Voice").first).to_have_value(re.compile(f"mi_e.*_s{step}"))


def test_the_choice_among_unnamed_results_becomes_a_preset_and_is_set(
    opened: Opens, presets: Path
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing")
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
        expect(page.locator("#blind [aria-current]")).to_have_text(f"▶ {number + 1}")
        levels.add(page.evaluate(f"{STAGE}.loudness.toFixed(1)"))
    assert len(levels) == 1  # all are turned down to the same loudness
    assert "0.25" not in page.locator("#blind").inner_text()
    page.get_by_role("button", name="I choose this one").nth(1).click()
    page.get_by_text("Your choice is set").wait_for()
    chosen = json.loads(presets.read_text())[PRESET]["index_rate"]
    expect(page.locator("#blind li").nth(1)).to_contain_text(f"{chosen:g}, ")
    current = page.locator("#blind [aria-current]")
    expect(current).to_have_text("▶ 3")  # it is still on the stage
    buttons.first.click()
    expect(current).to_have_text("▶ 1")
    expect(page.locator("#blind li").nth(1)).to_contain_text("★")  # the names stay told
    page.get_by_role("button", name="More settings").click()
    expect(page.get_by_label("Index rate").first).to_have_value(str(chosen))
    page.get_by_role("button", name="中文").click()
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        settle(page)
        assert list(faults_of(page, axe.Axe(), "zh-CN", width)) == []
