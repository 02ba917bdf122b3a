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


SPY = """const devices = navigator.mediaDevices;
const give = devices.getUserMedia.bind(devices);
devices.getUserMedia = async (wanted) => (window.microphone = await give(wanted));"""
UNPLUG_MICROPHONE = "window.microphone.getTracks()[0].dispatchEvent(new Event('ended'))"
UNPLUG_OUTPUTS = """async () => {
  const all = await navigator.mediaDevices.enumerateDevices();
  const left = all.filter((each) => each.kind === 'audioinput');
  navigator.mediaDevices.enumerateDevices = async () => left;
  navigator.mediaDevices.dispatchEvent(new Event('devicechange'));
}"""


@pytest.mark.timeout(400)
def test_what_was_heard_is_saved_devices_may_go_and_settings_stay(
    live_url: str, context: Any, tmp_path: Path
) -> None:
    context.request.post(f"{live_url}login", form=LOGIN)
    context.add_init_script(SPY)
    page = context.new_page()
    page.goto(f"{live_url}#live")
    page.get_by_label(SAID["live_mode_best"]).check()
    page.get_by_label(SAID["live_fit_pitch"]).uncheck()
    page.get_by_label(SAID["live_semitones"]).fill("-3")
    start = page.get_by_role("button", name=SAID["live_start"])
    start.click()
    is_state(page, "on")
    ask = pitch_of(page)
    wait_until(lambda: ask() > 0)
    with page.expect_download() as saving:
        page.get_by_role("button", name=SAID["live_save"]).click()
    saving.value.save_as(tmp_path / "saved.wav")
    saved, rate = soundfile.read(tmp_path / "saved.wav")
    assert rate in (44100, 48000) and len(saved) > rate and np.abs(saved).max() > 0.01

    page.evaluate(UNPLUG_MICROPHONE)
    is_state(page, "off")
    page.get_by_text(SAID["live_said_unplugged"]).first.wait_for()
    start.click()
    is_state(page, "on")
    page.locator("[data-live=output]").select_option(index=1)
    is_state(page, "on")
    page.evaluate(UNPLUG_OUTPUTS)
    is_state(page, "off")
    page.get_by_text(SAID["live_said_output_gone"]).first.wait_for()

    page.reload()
    wait_until(lambda: page.get_by_label(SAID["live_mode_best"]).is_checked())
    assert not page.get_by_label(SAID["live_fit_pitch"]).is_checked()
    assert page.get_by_label(SAID["live_semitones"]).input_value() == "-3"


def test_half_a_minute_is_kept_to_be_saved(playwright: Any, root: Path) -> None:
    browser = start_browser(playwright)
    source = (root / "tools/web/live/socket.js").read_text(encoding="utf-8")
    size = browser.new_page().evaluate(
        """(source) => {
          const give = "return { keep, recording, begin: (asked) => { rate = asked; } };";
          const worker = new Function("onmessage", `${source};${give}`)();
          worker.begin(48000);
          for (let i = 0; i < 400; i++) worker.keep(new Float32Array(4800));
          return worker.recording().size;
        }""",
        source,
    )
    browser.close()
    assert 30 <= (size - 44) / 2 / 48000 <= 30.1  # whole parts
