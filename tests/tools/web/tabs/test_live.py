"""The tab Live in a browser whose microphone is a recording, behind a password."""

from __future__ import annotations

import base64
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr

from infer.audio.reader import AudioReader
from infer.f0 import SAMPLE_RATE, load_f0_method
from infer.f0.contour import median_f0
from tests.tools.conftest import wait_until
from tests.tools.web.conftest import start_browser, start_page
from tools.live.browse import RATE, RECORDER
from tools.web.i18n import read_texts

LOGIN = {"username": "me", "password": "geheim"}
SAID = read_texts()["en"]
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture
def live_url(root: Path, shipped_voice: None) -> Iterator[str]:
    page, address = start_page(root, "--auth", f"{LOGIN['username']}:{LOGIN['password']}")
    yield address
    page.terminate()
    page.wait(20)


@pytest.fixture
def context(playwright: Any, english: Path, tmp_path: Path) -> Iterator[Any]:
    """A browser that hears a recording over and over."""
    microphone = tmp_path / "microphone.wav"
    with AudioReader(english, RATE, 0.1) as reader:
        soundfile.write(microphone, np.concatenate(list(reader.blocks())), RATE)
    browser = start_browser(
        playwright, "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={microphone}",
    )  # fmt: skip
    context = browser.new_context(locale="en-US", permissions=["microphone"])
    context.set_default_timeout(120_000)
    context.add_init_script(RECORDER.read_text(encoding="utf-8"))
    yield context
    browser.close()


def upgrade(address: str, **headers: str) -> int:
    """The status with which a WebSocket is refused."""
    asked = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
             "Sec-WebSocket-Key": base64.b64encode(b"0" * 16).decode(), **headers}  # fmt: skip
    try:
        return DIRECT.open(
            urllib.request.Request(f"{address}live", headers=asked), timeout=60
        ).status
    except urllib.error.HTTPError as error:
        return error.code


def pitch_of(page: Any) -> Callable[[], float]:
    """What asks for the median f0 (Hz) of the last three seconds that the page played."""
    swift = load_f0_method("swift")

    def ask() -> float:
        page.wait_for_timeout(500)
        data = base64.b64decode(page.evaluate("window.takeRecorded()")[1])
        last = np.frombuffer(data, "<i2")[-3 * RATE :].astype(np.float32) / 32767
        f0 = swift(soxr.resample(last, RATE, SAMPLE_RATE))
        return median_f0(f0) if np.mean(f0 > 0) > 0.2 else 0.0

    return ask


def is_state(page: Any, state: str) -> None:
    page.locator(f".live[data-state={state}]").wait_for()


@pytest.mark.timeout(400)
def test_speech_is_heard_in_another_voice_by_one_page_at_a_time(
    live_url: str, context: Any
) -> None:
    assert upgrade(live_url) == 401
    assert upgrade(live_url, Origin="https://evil.example") == 403
    context.request.post(f"{live_url}login", form=LOGIN)
    page = context.new_page()
    page.goto(f"{live_url}#live")
    page.get_by_label(SAID["live_voice"]).select_option(label="demo_male")
    switch = page.get_by_role("button", name=SAID["live_start"])
    switch.click()
    is_state(page, "on")
    ask = pitch_of(page)
    wait_until(lambda: 75 < ask() < 150)  # the recording speaks around 200 Hz
    page.get_by_label(SAID["live_voice"]).select_option(label="demo")
    wait_until(lambda: 170 < ask() < 280)  # in the same stream
    page.wait_for_function(
        "/^[0-9]+ ms$/.test(document.querySelector('[data-live=latency]').innerText)"
    )
    page.keyboard.press("m")
    assert (
        page.get_by_role("button", name=SAID["live_mute"]).get_attribute("aria-pressed") == "true"
    )
    wait_until(lambda: ask() == 0)

    other = context.new_page()
    other.goto(f"{live_url}#live")
    other.get_by_role("button", name=SAID["live_start"]).click()
    other.get_by_text("another page is live already").first.wait_for()
    other.get_by_role("button", name=SAID["live_take"]).click()
    is_state(other, "on")
    is_state(page, "off")
    page.get_by_text("another page took over").first.wait_for()

    other.reload()
    is_state(other, "off")
    voices = other.get_by_label(SAID["live_voice"])
    wait_until(lambda: (voices.input_value() or "").endswith("demo.pth"))  # remembered
    other.get_by_role("button", name=SAID["live_start"]).click()
    is_state(other, "on")  # the stream of before the reload is gone
    other.get_by_role("button", name=SAID["live_stop"]).click()
    is_state(other, "off")
