"""The look of every tab: both languages, both widths, both shades, with keyboard and reader."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.tools.web.conftest import WIDTHS, Opens
from tools.web.app import TABS
from tools.web.i18n import read_texts

LANGUAGES = {"en": "en-US", "zh-CN": "zh-CN"}  # of the page -> of the browser
SERIOUS = ("serious", "critical")


def show(page: Any, tab: str, language: str) -> None:
    """Open a tab of the page."""
    page.get_by_role("tab", name=read_texts()[language][f"{tab}_tab"], exact=True).click()
    page.wait_for_timeout(300)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("width", WIDTHS)
def test_every_tab_is_whole_and_in_one_language(
    opened: Opens, tmp_path: Path, language: str, width: int
) -> None:
    page = opened(LANGUAGES[language], width)
    for tab in TABS:
        show(page, tab, language)
        seen = page.locator("body").inner_text()
        assert "i18n" not in seen
        has_chinese = re.search(r"[\u4e00-\u9fff]", seen.replace("中文", "")) is not None
        assert has_chinese == (language == "zh-CN")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, tab
        page.screenshot(path=tmp_path / f"{tab}-{language}-{width}.png", full_page=True)
        assert (tmp_path / f"{tab}-{language}-{width}.png").stat().st_size > 10_000


@pytest.mark.parametrize("shade", ["light", "dark"])
def test_axe_finds_no_serious_fault_in_any_tab(opened: Opens, shade: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing")
    page = opened(shade=shade)
    faults = {}
    for tab in TABS:
        show(page, tab, "en")
        found = axe.Axe().run(page).response["violations"]
        faults[tab] = [
            (fault["id"], node["target"], node["failureSummary"])
            for fault in found
            if fault["impact"] in SERIOUS
            for node in fault["nodes"]
        ]
    assert faults == {tab: [] for tab in TABS}


def test_language_and_shade_are_switched_in_place_and_remembered(opened: Opens) -> None:
    page = opened()
    page.get_by_role("slider", name="Semitones").wait_for()
    page.get_by_label("Semitones").first.fill("5")
    page.get_by_role("button", name="中文").click()
    convert = page.get_by_role("button", name=read_texts()["zh-CN"]["convert"], exact=True)
    convert.wait_for()
    assert page.locator("html").get_attribute("lang") == "zh-CN"
    assert page.get_by_label("变调").first.input_value() == "5"  # nothing was loaded again
    page.get_by_role("button", name="明 / 暗").click()
    assert "dark" in page.locator("body").get_attribute("class")
    page.reload()
    convert.wait_for()
    assert "dark" in page.locator("body").get_attribute("class")


@pytest.mark.parametrize("code", ["zh", "zh-TW", "de-DE"])
def test_other_languages_get_the_nearest_one(opened: Opens, code: str) -> None:
    page = opened(code)
    nearest = "zh-CN" if code.startswith("zh") else "en"
    page.get_by_role("button", name=read_texts()[nearest]["convert"], exact=True).wait_for()


def test_everything_in_convert_is_reached_with_the_keyboard_and_has_a_name(opened: Opens) -> None:
    page = opened()
    page.get_by_role("button", name="Convert", exact=True).wait_for()
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "(e => e.ariaLabel || e.labels?.[0]?.innerText || e.innerText || e.tagName)"
                "(document.activeElement)"
            ).strip()
        )
        if reached[-1] == "BODY":
            break
    text = " | ".join(reached)
    wanted = ("English", "Convert", "Voice", "Refresh", "Semitones", "More settings", "Presets")
    assert [name for name in wanted if name not in text] == [], text
