"""What every tab has in a browser: addresses, errors beside their fields, one player, languages."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tools.web.conftest import Opens, settle
from tools.web.i18n import read_texts

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect


def is_open(page: Any, tab: str) -> None:
    expect(page.locator(f"button[data-tab-id={tab}]")).to_have_attribute("aria-selected", "true")


def test_tabs_have_addresses_and_back_and_reload_keep_them(opened: Opens, url: str) -> None:
    page = opened()
    for tab in ("train", "voices", "help"):
        page.locator(f"button[data-tab-id={tab}]").click()
        page.wait_for_url(f"{url}#{tab}")
    page.go_back()
    page.wait_for_url(f"{url}#voices")
    is_open(page, "voices")
    page.go_back()
    is_open(page, "train")
    again = page.context.new_page()  # as after a reload
    again.goto(page.url)
    is_open(again, "train")


def test_tabs_inside_tabs_have_no_address_whatever_they_are_called(opened: Opens, url: str) -> None:
    page = opened()
    page.get_by_role("tab", name="Many recordings").click()
    page.locator("#recordings").wait_for()
    assert page.url == url
    page.locator("button[data-tab-id=song]").click()
    page.wait_for_url(f"{url}#song")
    page.get_by_role("tab", name="Two stems").click()
    page.locator("#song-vocals").wait_for()
    page.evaluate(  # one of a name that a tab of the page has
        """async () => {
          const inner = document.querySelector("button[data-tab-id=stems]");
          inner.dataset.tabId = "voices";
          for (const is of ["false", "true"]) inner.setAttribute("aria-selected", is);
          await new Promise(requestAnimationFrame); // what watches has seen it
          inner.dataset.tabId = "stems";
        }"""
    )
    assert page.url == f"{url}#song"
    ids = page.evaluate("[...document.querySelectorAll('[data-tab-id]')].map(e => e.dataset.tabId)")
    assert len(ids) == len(set(ids)) and {"one", "many", "whole", "stems"} <= set(ids)


def test_an_error_stands_beside_what_was_pressed_and_covers_nothing(opened: Opens) -> None:
    page = opened()
    page.get_by_role("button", name="Convert", exact=True).click()
    note = page.locator(".field-error")
    expect(note).to_have_text(read_texts()["en"]["source_missing"], use_inner_text=True)
    expect(page.locator(".toast-body").filter(visible=True)).to_have_count(0)
    assert page.locator("[data-testid=status-tracker] .error").filter(visible=True).count() == 0
    button = page.get_by_role("button", name="Convert", exact=True).bounding_box()
    assert 0 < note.bounding_box()["y"] - button["y"] < 200
    page.get_by_role("button", name="English, a woman").click()
    expect(note).to_have_count(0)


def test_an_error_of_what_nobody_pressed_is_a_toast_that_goes(opened: Opens) -> None:
    page = opened()
    # a click by a script: nothing was used that the error could be beside
    page.get_by_role("button", name="Convert", exact=True).evaluate("button => button.click()")
    toast = page.locator(".toast-body").filter(visible=True)
    expect(toast).to_contain_text(read_texts()["en"]["source_missing"], use_inner_text=True)
    expect(page.locator(".field-error")).to_have_count(0)
    page.locator("button[data-tab-id=help]").click()
    expect(toast).to_have_count(0)  # by itself, on another tab too


def test_a_name_that_is_none_is_told_beside_the_name_and_seen(opened: Opens) -> None:
    page = opened(width=390)
    page.locator("button[data-tab-id=train]").click()
    name = page.get_by_label("Name of the voice")
    name.fill("a/b")
    name.press("Enter")
    page.get_by_role("button", name="Train", exact=True).click()
    note = page.locator("#train-name + .field-error")
    expect(note).to_contain_text("'a/b' cannot be a name", use_inner_text=True)
    for each in (note, name):
        expect(each).to_be_in_viewport(ratio=1)


def test_a_preset_without_a_name_says_so_beside_its_field(opened: Opens) -> None:
    page = opened()
    page.get_by_role("button", name="Presets").click()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".field-error")).to_have_text(
        read_texts()["en"]["preset_needs_name"], use_inner_text=True
    )
    page.get_by_label("Preset", exact=False).last.click()  # nothing lies over it


def test_a_switch_of_language_changes_tabs_that_were_not_opened(opened: Opens) -> None:
    page = opened()
    for language, code in (("zh-CN", "zh-CN"), ("en", "en")):
        page.locator(f"button[data-language={language}]").click()
        texts = read_texts()[code]
        for name in ("train_tab", "voices_tab", "help_tab", "many_recordings"):
            expect(page.get_by_role("tab", name=texts[name], exact=True)).to_be_visible()
        expect(page.locator(".upload-container").first).to_contain_text(texts["late_drop_audio"])
    advised = "document.body.append(Object.assign(document.createElement('p'), {innerHTML: SAID}))"
    page.evaluate(advised.replace("SAID", "'<code>.launch(mcp_server=True)</code>'"))
    page.get_by_text("--mcp", exact=True).wait_for()
    page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    page.evaluate(advised.replace("SAID", "'<a class=chip-ended>done</a>'"))
    page.wait_for_function("document.title === '✓ RVC WebUI'")  # seen from other browser tabs
    settle(page)


def test_what_works_is_told_without_an_event_of_gradio(opened: Opens) -> None:
    page = opened()
    settle(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    said = ["first"]
    page.route(
        "**/chip", lambda route: route.fulfill(body=f"<a class=chip href='#train'>{said[0]}</a>")
    )
    link = page.locator("#job-chip").get_by_role("link")
    expect(link).to_have_text("first")
    said[0] = "second"
    expect(link).to_have_text("second")
    assert not [url for url in asked if "/queue/" in url]
    link.click()
    expect(page.get_by_role("tab", name="Train", exact=True)).to_have_attribute(
        "aria-selected", "true"
    )
    page.unroute_all()


def test_one_recording_plays_at_a_time(opened: Opens) -> None:
    page = opened()
    paused = page.evaluate(
        """async () => {
          const data = new Uint8Array(44 + 32000);
          const view = new DataView(data.buffer);
          const write = (at, text) =>
            [...text].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
          write(0, "RIFF"); view.setUint32(4, 36 + 32000, true); write(8, "WAVEfmt ");
          view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
          view.setUint32(24, 8000, true); view.setUint32(28, 16000, true);
          view.setUint16(32, 2, true); view.setUint16(34, 16, true);
          write(36, "data"); view.setUint32(40, 32000, true);
          const make = () =>
            new Audio(URL.createObjectURL(new Blob([data], { type: "audio/wav" })));
          const [one, other] = [make(), make()];
          one.muted = other.muted = true;
          await one.play();
          await other.play();
          return [one.paused, other.paused];
        }"""
    )
    assert paused == [True, False]
