"""Machines that train one voice together are lost and come; a drill of minutes."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.train.test_processes import SECONDS, contents, options_of
from tests.train.tiny_standard import make_experiment
from train.experiment import Experiment
from train.options import train_command
from train.train import train


def wait_for(condition: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.1)


def children_of(process: int) -> list[int]:
    return list(map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split()))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="finds processes in /proc")
def test_machines_go_and_come_and_the_batches_stay_the_same(tmp_path: Path, root: Path) -> None:
    """Three machines, as three processes of torchrun here; one is lost, later there is another."""
    experiment, steps = make_experiment(tmp_path / "small", SECONDS), 60
    whole = Experiment(experiment.root.with_name("whole"))
    shutil.copytree(experiment.root, whole.root)
    train(options_of(whole, 1))
    start = dict(torch.load(whole.generator_state(1), weights_only=True)["model"])
    train(options_of(whole, steps))
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    line = train_command(options_of(experiment, steps), 1, "2:3", f"localhost:{port}")

    def start_machine() -> subprocess.Popen[bytes]:
        with (tmp_path / f"machine {len(list(tmp_path.glob('machine*')))}").open("wb") as log:
            return subprocess.Popen(
                line, cwd=root, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=log, stderr=log
            )

    def newest() -> int:
        return max(experiment.saved_steps(), default=0)

    def is_open() -> bool:
        try:
            socket.create_connection(("localhost", port)).close()
        except OSError:
            return False
        return True

    machines = [start_machine()]
    try:
        wait_for(is_open, "nobody keeps the list of the machines")  # who does must live
        machines += [start_machine() for _ in range(2)]
        wait_for(lambda: newest() >= 4, "three machines do not train")
        lost = machines.pop()
        workers = children_of(lost.pid)
        for process in (lost.pid, *workers):
            os.kill(process, signal.SIGKILL)
        lost.wait()
        left = newest()
        wait_for(lambda: newest() >= left + 4, "two machines do not go on")
        machines.append(start_machine())
        for machine in machines:
            assert machine.wait(timeout=600) == 0
    finally:
        for machine in machines:
            machine.kill()
    log = experiment.log_file("train").read_text(encoding="utf-8")
    assert log.count("going on from step") >= 2 and "begins anew" not in log
    found, wanted = (dict(contents(each, steps)[0]["model"]) for each in (experiment, whole))
    moved = sum(float((wanted[name] - start[name]).square().sum()) for name in wanted)
    apart = sum(float((wanted[name] - found[name]).square().sum()) for name in wanted)
    print(f"apart by {(apart / moved) ** 0.5:.2g} of the way that training went")
    assert apart < 0.01 * moved  # noise of sums in another order; other batches lead elsewhere
