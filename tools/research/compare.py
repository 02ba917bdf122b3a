"""This program beside an older checkout of it: one training, one batch, one start of the page."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import config
from options import Options, option, parse_options

TRAINING = (
    "import importlib, pathlib; "
    "room = 'research' if pathlib.Path('tools/research/bench.py').exists() else 'cmd'; "
    "b = importlib.import_module('tools.' + room + '.bench'); b.TRAINING_STEPS = {steps}; "
    "b.bench(b.BenchOptions(training='lite', batch_size=4))"
)
PAGE_SECONDS = 300


@dataclass(frozen=True, kw_only=True)
class CompareOptions(Options):
    """Compare with an older checkout, in turns: by the clock and in processor time."""

    MODULE = "tools.research.compare"

    old: Path = option("folder of the older checkout")
    rounds: int = option("times that each is measured; the least counts", 3, within=(1, 100))
    steps: int = option("of training", 20, within=(1, 1000))
    recordings: int = option("in the batch, 6 s each", 10, within=(1, 1000))


def compare(options: CompareOptions) -> None:
    """Print what each takes, and the ratio to the older one."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        for number in range(options.recordings):
            speech = config.EXAMPLE
            shutil.copy(speech, folder / "in" / f"{number}.flac")
        batch = ["-m", "tools.cmd.infer_cli", "--voice", "assets/lite/demo.pth"]
        batch += ["--input", str(folder / "in"), "--output"]
        trees = {"old": options.old.resolve(), "new": config.ROOT}
        for what in ("batch", "page", "training"):
            figures: dict[str, list[tuple[float, float]]] = {tree: [] for tree in trees}
            for _ in range(options.rounds):
                for tree, root in trees.items():
                    port = _free_port()
                    argv = {
                        "batch": [*batch, str(folder / tree)],
                        "page": ["infer-web.py", "--no-browser", "--port", str(port)],
                        "training": ["-c", TRAINING.format(steps=options.steps)],
                    }[what]
                    ready = port if what == "page" else None
                    figures[tree].append(_run(root, argv, folder / f"data-{tree}", ready))
            old, new = (np.min(figures[tree], axis=0) for tree in trees)
            for label, before, after in zip(("clock", "processor"), old, new, strict=True):
                print(
                    f"{what:10} {label:10} {before:8.2f} s {after:8.2f} s {after / before:6.2f} x"
                )


def _run(root: Path, argv: list[str], data: Path, port: int | None) -> tuple[float, float]:
    """Seconds by the clock and of the processor; of a page, until it answers on its port."""
    import resource  # not on Windows

    environment = {**os.environ, "RVC_DATA": str(data), "PYTHONDONTWRITEBYTECODE": "1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, *argv], cwd=root, env=environment, stdout=subprocess.DEVNULL
    ) as process:
        if port is None:
            process.wait()
        else:
            _answers(port)
        clock = time.perf_counter() - started
        process.terminate()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert port is not None or process.returncode == 0
    return clock, spent


def _answers(port: int) -> None:
    """Wait until a page is there."""
    deadline = time.monotonic() + PAGE_SECONDS
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=PAGE_SECONDS).read()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


if __name__ == "__main__":
    compare(parse_options(CompareOptions))
