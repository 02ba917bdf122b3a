"""Works on one job: its commands one after the other, each a process; lives on without the page."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext, suppress
from dataclasses import replace
from types import FrameType
from typing import Any

from filelock import AcquireReturnProxy, FileLock, Timeout

import config
from errors import ERROR_FILE, read_noted_error
from options import parse_options, printable
from tools.jobs.jobs import (
    PROMPT,
    Job,
    Jobs,
    RunOptions,
    read_job,
    turn_lock,
    write_job,
)
from train.job_folder import JobFolder

LOCK_SECONDS = 5.0  # the page looks at the lock by taking it for a moment
POLL_SECONDS = 0.2
RESTARTS = 3  # of a command that something killed, in one run of a job

logger = logging.getLogger(__name__)


class Runner:
    """Runs the job of one folder until it is done, failed or stopped."""

    def __init__(self, folder: JobFolder, job: Job) -> None:
        self.folder, self.job = folder, job
        self._restarts = 0
        self._was_signalled = False  # by a signal, e.g. when the machine shuts down

    def run(self) -> None:
        """Wait for the turn, then work; every change of state is written at once."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        turn = self._wait_for_turn() if self.job.heavy else nullcontext()
        if turn is None:
            self._change(state="stopped", ended=time.time())
            return
        with turn:
            self._change(state="running", started=self.job.started or time.time())
            while self.job.stage < len(self.job.commands):
                began = time.monotonic()
                code = self._run_command(self.job.commands[self.job.stage])
                if self._stop_request():
                    self._change(state="stopped", exit_code=code, ended=time.time())
                    return
                if code == 0:
                    took = (*self.job.took, round(time.monotonic() - began, 1))
                    self._change(stage=self.job.stage + 1, took=took)
                elif was_killed(code) and self._restarts < RESTARTS:
                    self._restarts += 1
                    logger.warning("the command was killed (exit code %d); starting it again", code)
                else:
                    error = read_noted_error(self.folder.error_file)
                    self._change(
                        state="failed", exit_code=code, ended=time.time(),
                        error=error and error.to_json(),
                    )  # fmt: skip
                    return
            self._change(state="done", exit_code=0, ended=time.time())

    def _wait_for_turn(self) -> AcquireReturnProxy | None:
        """The turn, taken; None if stopped while waiting."""
        parent = self.folder.root.parent
        turn, jobs = turn_lock(parent), Jobs(parent)
        while not self._stop_request():
            if not jobs.ahead(self.folder):
                with suppress(Timeout):
                    return turn.acquire(blocking=False)
            time.sleep(POLL_SECONDS)
        return None

    def _run_command(self, words: tuple[str, ...]) -> int:
        argv, error_file = [sys.executable, "-m", *words], self.folder.error_file
        error_file.unlink(missing_ok=True)
        with self.folder.log_file("job").open("ab") as log:
            log.write(f"{PROMPT}{printable(argv)}\n".encode())
            log.flush()
            worker = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=config.ROOT,
                env={**os.environ, "PYTHONIOENCODING": "utf-8", ERROR_FILE: str(error_file)},
                **_group(),
            )  # fmt: skip
        sent = ""
        while (code := worker.poll()) is None:
            request = self._stop_request()
            if request and request != sent:
                sent = request
                if request == "kill":
                    _kill(worker)
                else:
                    worker.send_signal(
                        signal.CTRL_BREAK_EVENT if os.name == "nt" else signal.SIGTERM
                    )
            time.sleep(POLL_SECONDS)
        if code != 0:
            _kill(worker)  # what it started may still be there
        return code

    def _stop_request(self) -> str:
        """ "stop" or "kill" when the job is to end, else ""."""
        with suppress(FileNotFoundError):
            return self.folder.stop_file.read_text(encoding="ascii") or "stop"
        return "stop" if self._was_signalled else ""

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._was_signalled = True

    def _change(self, **fields: object) -> None:
        self.job = replace(self.job, **fields)
        if not self.job.is_active:
            self.folder.stop_file.unlink(missing_ok=True)
        write_job(self.folder, self.job)


def _group() -> dict[str, Any]:
    """Arguments of Popen for a worker that can be stopped with what it starts.

    On Windows it shares this process's console: Ctrl-Break reaches no process of another one.
    """
    if os.name == "nt":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def was_killed(code: int) -> bool:
    """Whether an exit code is that of a process that another one, or the system, ended."""
    return code < 0 or code > 0xC0000000  # a signal; on Windows an exception such as 0xC0000005


def _kill(worker: subprocess.Popen[bytes]) -> None:
    """End a worker and the processes that it started."""
    if os.name == "nt":
        tree = ["taskkill", "/T", "/F", "/PID", str(worker.pid)]
        subprocess.run(tree, capture_output=True, check=False)
    else:
        with suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)


def main() -> int:
    """Work on the job that the command line names; returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    folder = JobFolder(parse_options(RunOptions).folder)
    lock = FileLock(folder.lock_file("job"))
    try:
        held = lock.acquire(timeout=LOCK_SECONDS)
    except Timeout:
        logger.error("error: %s is being worked on already", folder.name)
        return 1
    with held:
        job = read_job(folder)
        if job is None:
            logger.error("error: %s is not a job of this program", folder.job_file)
            return 1
        Runner(folder, job).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
