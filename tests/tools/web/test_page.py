"""The look of every tab: both languages, both widths, both shades, with keyboard and reader."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tools.web.conftest import WIDTHS, Opens, settle
from tools.web.app import TABS
from tools.web.i18n import read_texts
from train.experiment import Experiment

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

LANGUAGES = {"en": "en-US", "zh-CN": "zh-CN"}  # of the page -> of the browser
SERIOUS = ("serious", "critical")
MARKS = {
    "convert": ".modes", "live": ".live", "song": "#song-status", "train": "#dataset-files",
    "voices": "#voices", "help": "#search",
}  # fmt: skip
MAIN = {
    "convert": "convert", "live": "live_start", "song": "song_make", "train": "train",
    "voices": "voices_add_button", "help": "help_check",
}  # fmt: skip
NAME_OF = """e => (e.ariaLabel || e.labels?.[0]?.innerText || e.innerText || e.title
  || document.getElementById(e.getAttribute('aria-labelledby'))?.innerText || '').trim()"""
UNNAMED = f"""() => [...document.querySelectorAll('button, input, textarea, select, [role=button]')]
  .filter((e) => !e.disabled && e.checkVisibility() && !({NAME_OF})(e))
  .map((e) => e.outerHTML.slice(0, 200))"""
RING = """() => { const focused = document.activeElement;
  return [focused, focused.closest('.wrap-inner') || focused].map((e) => getComputedStyle(e))
    .some((style) => style.outlineStyle !== 'none' || style.boxShadow !== 'none'); }"""
UNFOLD = "document.querySelectorAll('.label-wrap:not(.open)').forEach((fold) => fold.click())"


def text_of(language: str, name: str) -> str:
    return read_texts()[language][name]


def show(page: Any, tab: str, language: str = "en") -> None:
    """Open a tab of the page and see that it is the one."""
    page.get_by_role("tab", name=text_of(language, f"{tab}_tab"), exact=True).click()
    page.locator(MARKS[tab]).wait_for()
    assert [page.locator(mark).is_visible() for mark in MARKS.values()].count(True) == 1
    settle(page)


def faults_of(page: Any, axe: Any, language: str, width: int) -> Iterator[str]:
    """What is wrong with what is seen now."""
    found = page.evaluate("document.documentElement.scrollWidth")
    if found > width:
        yield f"is {found} pixels wide"
    yield from (f"has no name: {each}" for each in page.evaluate(UNNAMED))
    seen = page.locator("body").inner_text()
    if "i18n" in seen:
        yield "shows the name of a text"
    chinese = re.findall(r"[\u4e00-\u9fff]+", seen.replace("中文", ""))
    if language == "en":
        yield from (f"says {each}" for each in chinese)
    else:
        own = "\n".join(read_texts()[language].values())  # quotes error messages, for instance
        sentences = re.findall(r"[A-Za-z']+(?: [A-Za-z']+){2,}", seen)
        yield from (f"says {each}" for each in sentences if each not in own)
        if not chinese:
            yield "says nothing in Chinese"
    yield from violations(page, axe)


def violations(page: Any, axe: Any) -> Iterator[str]:
    """What axe holds against the page: the element, and what it has and ought to have."""
    for fault in axe.run(page, options={"resultTypes": ["violations"]}).response["violations"]:
        if fault["impact"] in SERIOUS:
            for node in fault["nodes"]:
                yield f"{fault['id']} {node['html'][:120]}: {node['failureSummary']}"


@pytest.mark.timeout(900)  # axe reads eight pages, on a busy machine
@pytest.mark.parametrize(
    ("language", "shade", "widths"),  # colours know no language
    [
        ("en", "light", WIDTHS[:1]),
        ("zh-CN", "dark", WIDTHS[1:]),
        pytest.param("en", "dark", WIDTHS[:1], marks=pytest.mark.slow),
        pytest.param("en", "light", WIDTHS[1:], marks=pytest.mark.slow),
        pytest.param("zh-CN", "light", WIDTHS[:1], marks=pytest.mark.slow),
    ],
)
def test_every_tab_is_whole_readable_named_and_in_one_language(
    opened: Opens, finished: Experiment, language: str, shade: str, widths: tuple[int, ...]
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing")
    page = opened(LANGUAGES[language], shade=shade)
    page.locator("body.dark" if shade == "dark" else "body:not(.dark)").wait_for()
    faults = []
    for width in widths:
        page.set_viewport_size({"width": width, "height": 800})
        for tab in TABS:
            show(page, tab, language)
            if tab == "train":  # with a finished training in it
                page.get_by_text(finished.indexes()[0].name).locator("visible=true").wait_for()
            page.evaluate(UNFOLD)
            settle(page)
            found = faults_of(page, axe.Axe(), language, width)
            faults += [f"{tab} {width} {fault}" for fault in found]
    assert faults == []


def test_what_is_renewed_is_never_half_faded(opened: Opens, shipped_voice: None) -> None:
    page = opened()
    page.route(  # no answer comes to what describes the voice
        "**/queue/join*",
        lambda route: None if "demo" in (route.request.post_data or "") else route.continue_(),
    )
    page.get_by_label("Voice", exact=True).click()
    page.get_by_role("option").last.click()
    page.locator(".pending").first.wait_for()
    assert page.locator(".pending .translated").count() > 0
    sync_api.expect(page.locator(".pending .translated").filter(visible=True)).to_have_count(0)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_main_action_of_a_tab_is_seen_without_scrolling(opened: Opens, language: str) -> None:
    page = opened(LANGUAGES[language])
    page.set_viewport_size({"width": 1280, "height": 800})
    for tab, name in MAIN.items():
        show(page, tab, language)
        main = page.get_by_role("button", name=text_of(language, name), exact=True).first
        box = main.bounding_box()
        assert box["y"] > 0 and box["y"] + box["height"] <= 800, tab
        assert "primary" in main.get_attribute("class"), tab


SAYS = "(s) => [...document.querySelectorAll('.sr-only')].some((e) => e.textContent.trim() === s)"


def test_language_and_shade_are_switched_in_place_and_remembered(
    opened: Opens, english: Path
) -> None:
    page = opened()
    page.get_by_text(re.compile("speaks around")).first.wait_for()  # all has come
    page.get_by_label("Semitones").first.fill("5")
    page.get_by_role("button", name="中文").click()
    convert = page.get_by_role("button", name=text_of("zh-CN", "convert"), exact=True)
    convert.wait_for()
    assert page.locator("html").get_attribute("lang") == "zh-CN"
    assert page.get_by_label("变调").first.input_value() == "5"  # nothing was loaded again
    page.get_by_role("button", name="用麦克风录音").wait_for()  # gradio's own words
    held: list[Any] = []
    page.route("**/upload?*", lambda request: held.append(request))
    page.locator("input[type=file]").first.set_input_files(english)
    page.get_by_text("正在上传 1 个文件").wait_for()
    for request in held:
        request.continue_()
    page.get_by_text("0:06").first.wait_for()
    page.get_by_role("button", name=text_of("zh-CN", "reread"), exact=True).click()
    page.wait_for_function(SAYS, arg="已完成")  # what is read out
    page.get_by_role("button", name=text_of("zh-CN", "source_another")).click()
    page.get_by_role("button", name="明 / 暗").click()
    page.locator("body.dark").wait_for()
    page.reload()
    convert.wait_for()
    page.locator("body.dark").wait_for()
    page.get_by_role("button", name="English").click()
    page.get_by_role("button", name="Record audio").wait_for()
    page.get_by_text("Drop Audio Here").first.wait_for()  # of gradio, which had drawn it before
    page.get_by_label("Drop an audio file here to upload").first.wait_for()
    show(page, "song")  # drawn after the switch, with what it was called before
    page.get_by_role("tab", name=text_of("en", "song_stems"), exact=True).wait_for()


@pytest.mark.parametrize("code", ["zh", "zh-TW", "de-DE"])
def test_other_languages_get_the_nearest_one(opened: Opens, code: str) -> None:
    page = opened(code)
    nearest = "zh-CN" if code.startswith("zh") else "en"
    page.get_by_role("button", name=text_of(nearest, "convert"), exact=True).wait_for()


def walk_to(page: Any, name: str, steps: int = 60) -> list[str]:
    """Press Tab until something of that name has the focus, which is seen at every stop."""
    passed = []
    for _ in range(steps):
        page.keyboard.press("Tab")
        passed.append(page.evaluate(f"() => ({NAME_OF})(document.activeElement)"))
        if passed[-1] == name:
            assert page.evaluate(RING), f"no ring around {name}"
            return passed
    pytest.fail(f"{name} is not reached with Tab: {passed}")


def test_a_recording_is_chosen_and_converted_with_the_keyboard_alone(
    opened: Opens, shipped_voice: None, english: Path, tmp_path: Path, root: Path
) -> None:
    recording = tmp_path / f"keyboard {tmp_path.name}.flac"
    shutil.copy(english, recording)
    page = opened()
    page.get_by_text(re.compile("speaks around")).first.wait_for()
    passed = walk_to(page, "Drop an audio file here to upload")
    assert [name for name in ("English", "Convert", "Train", "Voice") if name not in passed] == []
    choosers: list[Any] = []
    page.on("filechooser", lambda chooser: choosers.append(chooser))
    while not choosers:  # the first press after loading is at times lost in gradio's box
        page.keyboard.press("Space")  # which does not listen to Enter
        for _ in range(100):
            if not choosers:
                page.wait_for_timeout(50)
    choosers[0].set_files(recording)
    page.get_by_text("0:06").first.wait_for()
    passed = walk_to(page, "Convert")
    assert any("Semitones" in name for name in passed)
    page.keyboard.press("Space")
    made = page.locator(".summary code:visible")
    made.wait_for()
    path = root / made.inner_text()
    assert path.stat().st_size > 10_000
    path.unlink()


def test_the_main_action_of_every_other_tab_is_reached_with_the_keyboard(opened: Opens) -> None:
    page = opened()
    for tab in ("train", "voices", "help"):
        page.get_by_role("tab", name=text_of("en", f"{tab}_tab"), exact=True).focus()
        page.keyboard.press("Enter")
        page.locator(MARKS[tab]).wait_for()
        walk_to(page, text_of("en", MAIN[tab]))
