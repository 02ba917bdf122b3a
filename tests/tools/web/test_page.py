"""The page in a browser: headless Chromium, the real server, real speech, a real conversion."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip
CONVERT_MS = 120_000  # generous: the process may still be importing torch


@pytest.fixture(scope="module")
def url(root: Path) -> Iterator[str]:
    """Address of a running page."""
    page = subprocess.Popen(
        [sys.executable, "infer-web.py", "--no-browser", "--port", "17865"],
        cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    said = ""
    for line in page.stdout:
        said += line
        if found := re.search(r"The page is at (\S+)", line):
            break
    else:
        pytest.fail(f"the page did not start:\n{said}")
    yield found[1]
    page.terminate()
    page.wait(20)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"no browser here: none of {', '.join(BROWSERS)}")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        browser.close()


Opens = Callable[..., Any]


@pytest.fixture
def opened(browser: Any, url: str) -> Iterator[Opens]:
    """Opens the page; at the end, no error was logged and nothing asked beyond this machine."""
    outside: list[str] = []
    errors: list[str] = []
    contexts = []

    def open_page(language: str = "en-US", width: int = 1280) -> Any:
        context = browser.new_context(locale=language, viewport={"width": width, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: outside.append(request.url))
        page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        page.get_by_role("heading", name="RVC WebUI").wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []
    assert [asked for asked in outside if not asked.startswith((url, "data:", "blob:"))] == []


def button(page: Any, name: str) -> Any:
    return page.get_by_role("button", name=name, exact=True)


def test_the_page_is_readable_in_english_and_chinese_on_a_phone_and_a_desk(opened: Opens) -> None:
    for language, convert in (("en-US", "Convert"), ("zh-CN", "转换")):
        for width in (1280, 390):
            page = opened(language, width)
            button(page, convert).wait_for()
            assert "i18n" not in page.locator("body").inner_text()
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_converting_without_a_recording_says_what_is_missing(opened: Opens) -> None:
    page = opened()
    button(page, "Convert").click()
    page.get_by_text(re.compile("Choose (a voice|or record something to convert) first")).wait_for()


@pytest.fixture
def shipped_voice(root: Path) -> None:
    if not (root / "assets/lite/demo.pth").exists():
        pytest.skip("the demo voice is not here")


@pytest.mark.usefixtures("shipped_voice")
def test_an_uploaded_recording_comes_back_in_another_voice(
    opened: Opens, english: Path, tmp_path: Path, root: Path
) -> None:
    upload = tmp_path / "my 录音 (1).flac"
    shutil.copy(english, upload)
    page = opened()
    page.locator("input[type=file]").first.set_input_files(upload)
    page.get_by_label("Semitones").first.fill("3")
    button(page, "Convert").click()
    said = page.get_by_text("Seconds of audio")
    said.wait_for(timeout=CONVERT_MS)
    path = root / re.search(r"results.+\.wav", said.inner_text())[0]
    shown = page.locator(".command textarea").input_value()
    try:
        converted, rate = soundfile.read(path)
        source, source_rate = soundfile.read(english)
        assert abs(len(converted) / rate - len(source) / source_rate) < 0.05
        assert loudness_db(converted) > loudness_db(source) - 12
        assert "--semitones 3" in shown
        with page.expect_download() as download:
            page.get_by_label("Download").last.click()
        of_page = path.read_bytes()
        assert Path(download.value.path()).read_bytes() == of_page
        path.unlink()
        subprocess.run(["bash", "-c", shown], cwd=root, check=True, capture_output=True)
        assert path.read_bytes() == of_page
    finally:
        path.unlink(missing_ok=True)


@pytest.mark.usefixtures("shipped_voice")
def test_a_conversion_can_be_stopped_and_an_example_converted_instead(
    opened: Opens, english: Path, tmp_path: Path, root: Path
) -> None:
    audio, rate = soundfile.read(english)
    soundfile.write(tmp_path / "long.flac", np.tile(audio, 40), rate)
    before = set((root / "results").glob("*"))
    page = opened()
    page.locator("input[type=file]").first.set_input_files(tmp_path / "long.flac")
    page.get_by_text(re.compile("4:0[23]")).first.wait_for()
    button(page, "Convert").click()
    sync_api.expect(button(page, "Stop")).to_be_enabled(timeout=CONVERT_MS)
    button(page, "Stop").click()
    page.get_by_text("Stopped; nothing was written.").wait_for(timeout=CONVERT_MS)
    assert set((root / "results").glob("*")) == before
    button(page, "Italian, a man").click()
    page.get_by_text("0:06").first.wait_for()
    button(page, "Convert").click()
    page.get_by_text("Seconds of audio").wait_for(timeout=CONVERT_MS)
    (made,) = set((root / "results").glob("*")) - before
    assert made.name.startswith("italian_demo_")
    made.unlink()


def loudness_db(audio: np.ndarray) -> float:
    """Return the level of the loudest tenth of 50 ms frames: speech, not the pauses."""
    frames = audio[: len(audio) // 800 * 800].reshape(-1, 800)
    levels = np.sort((frames**2).mean(1))
    return float(10 * np.log10(levels[-len(levels) // 10 :].mean() + 1e-12))
