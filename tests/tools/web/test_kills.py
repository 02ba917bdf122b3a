"""kill -9 of page, conversion process and training process at random moments, in a browser.

The seed of the moments is printed; KILLS_SEED=NUMBER repeats them.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.tools.web.conftest import start_page
from tests.tools.web.training_page import (
    STEP_MS,
    button,
    expect,
    fill_in,
    open_tab,
    says,
    told,
    wait_until,
)
from tools.jobs.jobs import Jobs
from tools.jobs.runner import RESTARTS
from train.experiment import Experiment
from train.metrics import read_metrics

SAVE_SECONDS = 6.0  # of the form that fill_in leaves
BUSY_SECONDS = 20.0  # that saving itself may take on a machine that has much to do

pytestmark = [
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes in /proc"),
    pytest.mark.usefixtures("shipped_voice"),
]


@pytest.fixture
def moments(capsys: pytest.CaptureFixture[str]) -> random.Random:
    """Random moments that can be had again."""
    seed = int(os.environ.get("KILLS_SEED") or random.randrange(10**6))
    with capsys.disabled():
        print(f"\nKILLS_SEED={seed}")
    return random.Random(seed)


class OwnPage:
    """A page of its own that is killed and started again at its address."""

    def __init__(self, root: Path, browser: Any) -> None:
        self._root = root
        self.process, self.url = start_page(root)
        self.page = browser.new_context(locale="en-US").new_page()
        self.page.set_default_timeout(STEP_MS)
        self.page.goto(self.url)

    def kill(self) -> None:
        """Kill the page's process alone."""
        self.page.evaluate("window.isOld = true")
        self.process.kill()
        self.process.wait()

    def start_again(self) -> None:
        """Start it and wait until the browser has found it by itself."""
        port = self.url.rstrip("/").rpartition(":")[2]
        self.process, url = start_page(self._root, "--port", port)
        assert url == self.url
        self.page.wait_for_function("!window.isOld")
        self.page.get_by_role("tab", selected=True).first.wait_for()

    def converter(self) -> int | None:
        """Process number of its conversion process."""
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                parent = re.search(r"^PPid:\t(\d+)$", status.read_text(), re.MULTILINE)
                words = (status.parent / "cmdline").read_bytes()
            except OSError:
                continue  # it has just ended
            if int(parent[1]) == self.process.pid and b"tools.convert.server" in words:
                return int(status.parent.name)
        return None


@pytest.fixture
def own(root: Path, browser: Any) -> Iterator[OwnPage]:
    own = OwnPage(root, browser)
    yield own
    own.page.context.close()
    own.process.terminate()
    own.process.wait(20)


def is_alive(number: int) -> bool:
    """Whether a process of this number is there and no zombie."""
    try:
        return ") Z " not in Path(f"/proc/{number}/stat").read_text()
    except OSError:
        return False


def step_shown(page: Any) -> int:
    says(page, re.compile(r"[Ss]tep \d of 6"))
    return int(re.search(r"tep (\d) of 6", page.locator(".job").inner_text())[1])


def kill_training(experiment: Experiment) -> int:
    """Kill the training process; returns the step of the state that it must go on from."""
    os.kill(int(experiment.pid_file.read_text()), signal.SIGKILL)
    killed = time.time()
    newest = max(experiment.saved_steps(), default=0)
    if newest:  # a kill may take at most what was done since the last save
        lost = killed - experiment.generator_state(newest).stat().st_mtime
        assert lost < SAVE_SECONDS + BUSY_SECONDS
    return newest


def goes_on(experiment: Experiment, step: int, times: int) -> None:
    """Wait until the training has said that it goes on from there, and has done a step."""
    said = f"going on from step {step}\n" if step else "starting from "
    wait_until(lambda: Jobs().log(experiment)[1].count(said) >= times)
    wait_until(lambda: told(experiment)[1] > 0)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_page_and_training_are_killed_at_random_moments_and_nothing_but_seconds_is_lost(
    own: OwnPage,
    experiment: Experiment,
    root: Path,
    data: Path,
    tmp_path: Path,
    moments: random.Random,
) -> None:
    recordings = []
    for name in ("english", "italian"):
        for number in range(3):
            recordings.append(tmp_path / f"{name} {number}.flac")
            shutil.copy(root / "assets/examples" / f"{name}.flac", recordings[-1])
    page = open_tab(own.page)
    fill_in(page, experiment, recordings)
    button(page, "Train").click()
    says(page, re.compile("Step . of 6"))

    # the page, from the first step on; its conversion process ends with it, the job does not
    for _ in range(5):
        time.sleep(moments.uniform(0, 15))
        converter, before = own.converter(), told(experiment)
        own.kill()
        time.sleep(moments.uniform(0, 3))
        assert Jobs().read(experiment).is_active
        own.start_again()
        open_tab(page)
        expect(page.get_by_label("Name of the voice")).to_have_value(experiment.name)
        assert step_shown(page) >= before[0] + 1
        wait_until(lambda before=before: told(experiment) > before)
        wait_until(lambda converter=converter: converter is None or not is_alive(converter))

    # the training: started again by itself, until it was too often
    says(page, "Step 4 of 6: Training the voice")
    for number in range(RESTARTS + 1):
        wait_until(lambda: told(experiment)[1] > 0)
        time.sleep(moments.uniform(0, 15))
        old = experiment.pid_file.read_text()
        step = kill_training(experiment)
        if number < RESTARTS:
            wait_until(lambda old=old: experiment.pid_file.read_text() != old)
            goes_on(experiment, step, 1)
    says(page, "Failed in step 4 of 6")
    says(page, "was killed again and again")
    button(page, "Go on").click()
    says(page, "Step 4 of 6: Training the voice")
    goes_on(experiment, step, 1)

    # both at once, then to the end with what is left
    time.sleep(moments.uniform(0, 10))
    kill_training(experiment)
    own.kill()
    own.start_again()
    open_tab(page)
    says(page, "Step 4 of 6: Training the voice")
    wait_until(lambda: told(experiment)[1] > 0)
    button(page, "Stop").click()
    says(page, "Stopped in step 4 of 6")
    page.get_by_label("Minutes to train in all").fill("0.1")
    button(page, "Train").click()
    says(page, "Done.", 6 * STEP_MS)
    says(page, str(data / f"weights/{experiment.name}.pth"))
    seconds = [entry["seconds"] for entry in read_metrics(experiment)]
    assert seconds == sorted(seconds)
    assert not [path.name for path in experiment.root.rglob("*.part")]


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("rounds", [1, pytest.param(6, marks=pytest.mark.slow)])
def test_the_conversion_process_is_killed_at_a_random_moment_and_the_next_click_works(
    own: OwnPage, english: Path, data: Path, tmp_path: Path, moments: random.Random, rounds: int
) -> None:
    speech, rate = soundfile.read(english)
    soundfile.write(tmp_path / "long.flac", np.tile(speech, 20), rate)
    page, before = own.page, set((data / "results").glob("[!.]*"))
    try:
        for _ in range(rounds):
            page.reload()
            page.get_by_text("speaks around").first.wait_for()
            page.locator("input[type=file]").first.set_input_files(tmp_path / "long.flac")
            page.get_by_text(re.compile("2:0[12]")).first.wait_for()
            wait_until(own.converter)
            idle = own.converter()
            button(page, "Convert").click()
            expect(button(page, "Stop")).to_be_enabled(timeout=STEP_MS)
            time.sleep(moments.uniform(0, 2))
            os.kill(own.converter(), signal.SIGKILL)
            page.get_by_text("ended by itself").first.wait_for()
            assert set((data / "results").glob("[!.]*")) == before
            button(page, "English, a woman").click()
            page.get_by_text("0:06").first.wait_for()
            button(page, "Convert").click()
            wait_until(lambda: len(set((data / "results").glob("*.wav")) - before) == 1)
            (made,) = set((data / "results").glob("*.wav")) - before
            page.locator(".summary code:visible", has_text=made.name).wait_for()
            assert soundfile.info(made).duration == pytest.approx(6.07, abs=0.05)
            assert own.converter() != idle
            made.unlink()
    finally:
        for path in set((data / "results").glob("[!.]*")) - before:
            path.unlink()
