from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.tools.bad_server import Server
from tools.jobs.jobs import is_held
from train.experiment import Experiment

WAIT_MS = 120_000  # generous: a busy machine first has to import torch


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr("tools.machine.fetch.PAUSE_SECONDS", 0.01)
    monkeypatch.setattr("tools.machine.fetch.READ_SECONDS", 0.5)
    monkeypatch.setattr("tools.machine.fetch.PROBE_SECONDS", 60.0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running = Server()
    threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}).start()
    yield running
    running.shutdown()
    running.server_close()


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for what must happen soon, outside of the browser."""
    deadline = time.monotonic() + WAIT_MS / 1000
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


@pytest.fixture
def shipped_voice(root: Path) -> None:
    """Leaves a test out where the demo voice is not here."""
    if not (root / "assets/lite/demo.pth").exists():
        pytest.skip("the demo voice is not here")


@pytest.fixture
def experiment(data: Path) -> Iterator[Experiment]:
    """A name that nobody has, and everything made under it deleted at the end."""
    experiment = Experiment(data / "logs" / f"page test 声 {os.getpid()}")
    yield experiment
    if experiment.root.exists():
        experiment.stop_file.write_text("kill")
        while is_held(experiment.lock_file("job")):
            time.sleep(0.1)
    for path in (experiment.root, data / "datasets" / experiment.name):
        shutil.rmtree(path, ignore_errors=True)
    for path in (data / "weights").glob(f"{experiment.name}*.pth"):
        path.unlink()
