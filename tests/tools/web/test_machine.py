"""The page on real machines: no sound card, two pages at once, open to the network."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile

from tests.tools.web.conftest import Opens, free_port, start_page
from tools.web.i18n import read_texts
from train.experiment import Experiment

WAIT_SECONDS = 240  # generous: processes import torch first


@pytest.fixture
def made(data: Path) -> Iterator[Any]:
    """Lists the results of a test, and deletes them at the end."""
    before = set((data / "results").glob("[!.]*.*"))
    yield lambda: set((data / "results").glob("*.wav")) - before
    for path in set((data / "results").glob("[!.]*.*")) - before:
        path.unlink()


@pytest.mark.usefixtures("shipped_voice")
def test_without_any_audio_device_the_page_says_so_and_converts(
    opened: Opens, english: Path, made: Any
) -> None:
    page = opened()
    page.set_default_timeout(1000 * WAIT_SECONDS)
    kinds = page.evaluate("navigator.mediaDevices.enumerateDevices().then(d => d.map(e => e.kind))")
    if "audioinput" in kinds:
        pytest.skip("this machine has a microphone")
    page.get_by_label("Record audio", exact=False).first.click()
    page.locator("select", has_text="No microphone found").wait_for()
    page.get_by_label("Upload file", exact=False).first.click()
    page.locator("input[type=file]").first.set_input_files(english)
    page.get_by_text("0:06").first.wait_for()
    page.get_by_role("button", name="Convert", exact=True).click()
    page.locator(".summary code:visible").wait_for()
    (result,) = made()
    assert soundfile.info(result).duration == pytest.approx(6.07, abs=0.05)


@pytest.mark.usefixtures("shipped_voice")
def test_another_data_root_takes_everything_that_is_written(
    root: Path, english: Path, tmp_path: Path
) -> None:
    from gradio_client import Client, handle_file

    other = tmp_path / "other disk 盘"
    (tmp_path / "temporary").mkdir()  # elsewhere: gradio hands out all that is temporary
    environment = {
        **os.environ, "RVC_DATA": str(other), "GRADIO_TEMP_DIR": str(tmp_path / "uploads"),
        "TMPDIR": str(tmp_path / "temporary"), "NO_PROXY": "127.0.0.1",
    }  # fmt: skip
    page, url = start_page(root, env=environment)
    try:
        client = Client(url, verbose=False)
        made = client.predict(handle_file(english), "demo", f0_method="swift", api_name="/convert")
        client.predict("demo", "high", {"semitones": 4}, api_name="/save_preset")
    finally:
        page.terminate()
        page.wait(20)
    (result,) = (other / "results").glob("*.wav")
    assert soundfile.read(made)[0].shape == soundfile.read(result)[0].shape
    assert (other / "assets/lite/demo.presets.json").is_file()


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("shipped_voice")
def test_two_pages_work_side_by_side_and_share_the_jobs(
    root: Path, english: Path, tmp_path: Path, experiment: Experiment, made: Any
) -> None:
    from gradio_client import Client, handle_file
    from gradio_client.exceptions import AppError

    recordings = tmp_path / "recordings"
    recordings.mkdir()
    for number in range(40):
        shutil.copy(english, recordings / f"{number}.flac")
    port = free_port()
    pages = [start_page(root, "--port", port) for _ in range(2)]
    try:
        assert pages[0][1] != pages[1][1]
        clients = [Client(url, verbose=False) for _, url in pages]
        asked = [
            client.submit(handle_file(english), "demo", f0_method="swift", api_name="/convert")
            for client in clients
        ]
        lengths = [soundfile.info(each.result(WAIT_SECONDS)).frames for each in asked]
        assert lengths[0] == lengths[1] and len(made()) == 2  # a file each

        started = [
            client.submit(experiment.name, str(recordings), api_name="/check_dataset")
            for client in clients
        ]
        refused = [each.exception(WAIT_SECONDS) for each in started]
        (error,) = filter(None, refused)
        assert isinstance(error, AppError) and "is being worked on already" in str(error)
        deadline = time.monotonic() + WAIT_SECONDS
        while (told := states(clients, experiment))[0] in ("waiting", "running"):
            assert time.monotonic() < deadline
        assert told == ["done", "done"]
        assert experiment.report_file.exists()
    finally:
        for page, _ in pages:
            page.terminate()
            page.wait(20)


def states(clients: list[Any], experiment: Experiment) -> list[str]:
    """What each page tells of the job."""
    return [
        client.predict(experiment.name, api_name="/training_status")["state"] for client in clients
    ]


def test_a_page_without_a_password_that_the_network_can_reach_warns_there_and_in_the_terminal(
    browser: Any, root: Path
) -> None:
    warning = read_texts()["en"]["open_warning"]
    page = subprocess.Popen(
        [sys.executable, "infer-web.py", "--no-browser", "--host=0.0.0.0", "--port", free_port()],
        cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8",
    )  # fmt: skip
    try:
        said = []
        for line in page.stdout:
            said.append(line)
            if found := re.search(r"The page is at http://\S+:(\d+)/", line):
                break
        assert f"WARNING: {warning}\n" in said
        context = browser.new_context(locale="en-US")
        seen = context.new_page()
        seen.set_default_timeout(1000 * WAIT_SECONDS)
        seen.goto(f"http://127.0.0.1:{found[1]}/")
        seen.get_by_role("alert").filter(has_text=warning).locator("visible=true").wait_for()
        context.close()
    finally:
        page.terminate()
        page.wait(20)
