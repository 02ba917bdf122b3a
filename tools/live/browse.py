"""The page's live tab in headless Chromium, spoken to by a recording, and what it then plays."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

import config
from errors import UserError
from infer.audio.reader import AudioReader
from tools.live.play import cpu_seconds
from tools.voices.library import from_root

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")
RATE = 48000  # Hz, of the recording that stands for the microphone
RECORDER = Path(__file__).with_name("recorder.js")
START_MS = 180_000  # a busy machine first has to import torch
SETTLE_SECONDS = 3.0  # at the start, in which the page finds its slack
PORT = 7965


@dataclass(frozen=True)
class Heard:
    """What one clock recorded: (N,) float32 from the microphone and from the page.

    gaps: dropouts that the page counted. bridged: late parts that spare sound stood in for.
    load: of the conversion process, share of one core.
    told: latency that the page showed, in words.
    """

    spoken: np.ndarray
    played: np.ndarray
    rate: int
    gaps: int
    bridged: int
    load: float
    told: str
    mode: str


def listen_to_page(speech: Path, voice: Path, mode: str, seconds: float) -> Heard:
    """Start a page, speak to it for so long. UserError: no browser, or the page failed."""
    with tempfile.TemporaryDirectory() as folder:
        microphone = Path(folder) / "microphone.wav"
        with AudioReader(speech, RATE, 0.1) as reader:
            soundfile.write(microphone, np.concatenate(list(reader.blocks())), RATE)
        with _page() as (address, process), _browser(microphone) as browser:
            page = browser.new_context(permissions=["microphone"]).new_page()
            settings = json.dumps({"voice": from_root(voice.resolve()), "mode": mode})
            page.add_init_script(f"localStorage.setItem('rvc-live', {json.dumps(settings)})")
            page.add_init_script(RECORDER.read_text(encoding="utf-8"))
            return _listen(page, address, process, seconds)


def _listen(page: Any, address: str, process: int, seconds: float) -> Heard:
    page.goto(f"{address}#live", timeout=START_MS)
    page.locator("[data-live=voice] option").first.wait_for(state="attached", timeout=START_MS)
    page.locator(".live-switch").click(timeout=START_MS)
    page.wait_for_function(
        "['on', 'off'].includes(document.querySelector('.live').dataset.state)", timeout=START_MS
    )
    if page.locator(".live").get_attribute("data-state") != "on":
        raise UserError("live_page", reason=page.locator("[data-live=status]").inner_text())
    server = _server_of(process)
    page.wait_for_timeout(1000 * SETTLE_SECONDS)
    gaps = int(page.locator("[data-live=gaps]").inner_text().replace("–", "0"))
    bridged = int(page.locator(".live").get_attribute("data-bridged"))
    page.evaluate("window.recorded = [[], []]")
    computed = cpu_seconds(server)
    page.wait_for_timeout(1000 * seconds)
    load = (cpu_seconds(server) - computed) / seconds
    spoken, played = map(_samples, page.evaluate("window.takeRecorded()"))
    return Heard(
        spoken,
        played,
        round(len(spoken) / seconds / 1000) * 1000,
        int(page.locator("[data-live=gaps]").inner_text()) - gaps,
        int(page.locator(".live").get_attribute("data-bridged")) - bridged,
        load,
        page.locator("[data-live=latency]").inner_text(),
        page.locator("[data-live=mode]:checked").get_attribute("value"),
    )


def _samples(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<i2").astype(np.float32) / 32767


@contextmanager
def _page() -> Iterator[tuple[str, int]]:
    """A page of its own: its address and its process."""
    arguments = [sys.executable, "infer-web.py", "--no-browser", "--port", str(PORT)]
    page = subprocess.Popen(
        arguments, cwd=config.ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        for line in page.stdout:
            if found := re.search(r"The page is at (\S+)", line):
                yield found[1], page.pid
                return
        raise UserError("exit_code", code=page.wait())
    finally:
        page.terminate()
        page.wait()


@contextmanager
def _browser(microphone: Path) -> Iterator[Any]:
    """Chromium whose microphone is a file, over and over."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError as error:
        raise UserError("live_no_playwright") from error
    if path is None:
        raise UserError("live_no_browser", names=list(BROWSERS))
    arguments = [
        "--no-sandbox", "--disable-gpu", "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream", f"--use-file-for-fake-audio-capture={microphone}",
    ]  # fmt: skip
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


def _server_of(page: int) -> int:
    """The process of the networks of a page's live stream; 0 where the system does not tell."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == page and b"tools.live.server" in (folder / "cmdline").read_bytes():
                return int(folder.name)
        except OSError:
            continue
    return 0
