"""The page in a browser: headless Chromium and the real server with its real processes."""

from __future__ import annotations

import os
import random
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tools.conftest import WAIT_MS
from tools.jobs.jobs import Job, argv_of, write_job
from tools.jobs.training import Settings, commands, write_settings
from tools.web.i18n import read_texts
from train.experiment import Experiment
from train.metrics import append_metrics

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip
WIDTHS = (1280, 390)
SETTLED = """() => {
  const isBusy = (mark) => [...document.querySelectorAll(mark)].some((e) => e.checkVisibility());
  return !isBusy('.pending') && !isBusy('[data-testid=status-tracker]:not(.hide)')
    && document.getAnimations().every((animation) => animation.playState !== 'running');
}"""

# a page that is left closes its connections, and gradio logs each as an error (that its session is
# unknown, too, where a timer asks once more); the page that follows is listened to from its start
LEFT = "addEventListener('beforeunload', () => { console.error = () => {}; })"

STAGE = "document.querySelector('.stage').stage.state()"  # what plays, in the browser

Opens = Callable[..., Any]


def free_port() -> str:
    """A port that nobody listens at, below those that systems give to outgoing connections."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return str(port)


def start_page(
    root: Path, *arguments: str, env: dict[str, str] | None = None
) -> tuple[subprocess.Popen[str], str]:
    """Start infer-web.py on a free port; gives the process and the page's address."""
    page = subprocess.Popen(
        [sys.executable, "infer-web.py", "--no-browser", "--port", free_port(), *arguments],
        cwd=root, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        encoding="utf-8",
    )  # fmt: skip
    said = ""
    for line in page.stdout:
        said += line
        if found := re.search(r"The page is at (\S+)", line):
            return page, found[1]
    page.wait(20)
    pytest.fail(f"the page did not start:\n{said}")


def settle(page: Any) -> None:
    """Wait until nothing that is seen is being renewed or moves."""
    page.wait_for_function(SETTLED)


@pytest.fixture(scope="session")
def url(root: Path) -> Iterator[str]:
    """Address of a running page."""
    page, address = start_page(root)
    yield address
    page.terminate()
    page.wait(20)


@pytest.fixture(scope="session")
def playwright() -> Iterator[Any]:
    """What starts browsers; there can be one at a time."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    sync_api.expect.set_options(timeout=WAIT_MS)
    with sync_api.sync_playwright() as playwright:
        yield playwright


def start_browser(playwright: Any, *arguments: str) -> Any:
    """Start a browser; where there is none the test is left out and says why."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"left out, no browser here: none of {', '.join(BROWSERS)}")
    return playwright.chromium.launch(executable_path=path, args=[*QUIET, *arguments])


@pytest.fixture(scope="module")
def browser(playwright: Any) -> Iterator[Any]:
    """A browser for several tests."""
    browser = start_browser(playwright)
    yield browser
    browser.close()


@pytest.fixture
def opened(browser: Any, url: str) -> Iterator[Opens]:
    """Opens the page; at the end, no error was logged and nothing was asked of other machines."""
    yield from watched(browser, url)


def watched(browser: Any, url: str) -> Iterator[Opens]:
    """Yield what opens the page in a language, width and shade, and check what it asked for."""
    asked: list[str] = []
    errors: list[str] = []
    contexts = []

    def open_page(language: str = "en-US", width: int = WIDTHS[0], shade: str = "light") -> Any:
        context = browser.new_context(
            locale=language, viewport={"width": width, "height": 900}, color_scheme=shade,
            reduced_motion="reduce",
        )  # fmt: skip
        context.set_default_timeout(WAIT_MS)
        context.add_init_script(LEFT)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        page.locator(".modes").wait_for()
        page.get_by_text(read_texts()["en"]["voice_reading"]).wait_for(state="detached")
        settle(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []
    assert asked
    assert [each for each in asked if not each.startswith((url, "data:", "blob:"))] == []


@pytest.fixture
def finished(data: Path, root: Path, shipped_voice: None) -> Iterator[Experiment]:
    """A training that has come to its end, with a voice; both are gone at the end."""
    experiment = Experiment(data / "logs" / f"finished-training-{os.getpid()}")
    settings = Settings(dataset=str(root / "assets/examples"))
    write_settings(experiment, settings)
    steps = tuple(tuple(argv_of(each)[2:]) for each in commands(experiment, settings))
    job = Job(steps, state="done", stage=len(steps), queued=1.0, started=2.0, ended=3.0)
    write_job(experiment, job)
    for step, loss in ((300, 0.9), (600, 0.5), (900, 0.52)):
        values = {"held_out": loss, "words": 0.97, "loss/mel": loss}
        append_metrics(experiment, step, seconds=step / 5, **values)
    (index,) = (root / "assets/lite").glob("added_*_demo_lite.index")
    shutil.copy(index, experiment.root / f"added_IVF205_SQ8_nprobe_8_{experiment.name}_lite.index")
    voice = data / "weights" / f"{experiment.name}.pth"
    shutil.copy(root / "assets/lite/demo.pth", voice)
    yield experiment
    shutil.rmtree(experiment.root)
    voice.unlink()


@pytest.fixture
def own_page(root: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """A page that may be killed and started again at the same port; its processes in order."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for page in started:
        page.kill()
        page.wait(20)
