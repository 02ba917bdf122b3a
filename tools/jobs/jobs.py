"""Long work: ordered worker commands that go on without the page; their state is on disk.

A job is a list of commands in one folder, kept in its job.json. A process of its own
(tools/jobs/runner.py) works on it, so the page may end, be opened twice or be reloaded. Whether
that process lives is told by a lock that the operating system lets go when it dies.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from filelock import FileLock, Timeout

import config
from errors import UserError, from_json
from infer.options import ConvertOptions
from moved import MOVED
from options import Options, command, option
from tools.machine.hardware import has_gpu
from tools.options import DatasetReportOptions
from tools.records import record
from tools.songs.options import CoverOptions
from train import options as workers
from train.experiment import write_json
from train.job_folder import JobFolder
from train.worker import ProgressLine, parse_progress

STATES = ("waiting", "running", "done", "failed", "stopped")
RUNNABLE = frozenset(  # a job file may name these and nothing else
    value.MODULE
    for value in [*vars(workers).values(), ConvertOptions, DatasetReportOptions, CoverOptions]
    if isinstance(value, type) and issubclass(value, Options) and value.MODULE
)
START_SECONDS = 30.0  # for the runner to take its job
PRESS_SECONDS = 1.0  # a second press within this time is a double click
TAIL_BYTES = 64 * 1024  # of the log that are looked at
TAIL_LINES = 200  # of the log that are shown
WATCH_SECONDS = 1.0  # between two looks whether heavy work has begun
SECRET_NAME = re.compile(r"[\w-]{16}", re.ASCII)
PROMPT = "$ "  # before the command that a log tells of

logger = logging.getLogger(__name__)


class JobError(UserError):
    """A job cannot be started, or gone on with."""


@dataclass(frozen=True, kw_only=True)
class RunOptions(Options):
    """Work on the job of a folder; the page starts this by itself."""

    MODULE = "tools.jobs.runner"

    folder: Path = option("the job's folder, e.g. logs/mi")


@dataclass(frozen=True)
class Job:
    """Commands, each a module and its arguments; stage: which of them runs or is next.

    took: seconds of those before it.
    state: waiting, running, done, failed, stopped or, never on disk, interrupted. Times are
    seconds since 1970. heavy jobs run one at a time. error: what the command that failed said, as
    JSON.
    """

    commands: tuple[tuple[str, ...], ...]
    heavy: bool = True
    state: str = "waiting"
    stage: int = 0
    took: tuple[float, ...] = ()
    queued: float = 0.0
    started: float | None = None
    ended: float | None = None
    exit_code: int | None = None
    error: dict[str, Any] | None = None

    @property
    def is_active(self) -> bool:
        """Whether a process waits or works."""
        return self.state in ("waiting", "running")

    @property
    def module(self) -> str:
        """The worker that runs, is next, or was the last."""
        return module_of(self.commands[min(self.stage, len(self.commands) - 1)])


def argv_of(options: Options) -> list[str]:
    """The argv of a job's command; training on several devices is started by torchrun."""
    is_training = isinstance(options, workers.TrainOptions)
    return workers.train_command(options) if is_training else command(options)


def module_of(words: Sequence[str]) -> str:
    """The worker that a command of a job runs, also through torchrun; "" if it is none."""
    match list(words):
        case [workers.LAUNCHER, "--nproc-per-node", number, "-m", module, *_]:
            return module if number.isdecimal() else ""
        case [module, *_]:
            return module
    return ""


def read_job(folder: JobFolder) -> Job | None:
    """Read job.json; None if there is none, or none that this program wrote."""
    try:
        job = record(Job, json.loads(folder.job_file.read_text(encoding="utf-8")))
        if job.error is not None:
            from_json(job.error)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        logger.warning("%s is ignored: %s", folder.job_file, error)
        return None
    job = replace(job, commands=tuple(tuple(_by_new_name(words)) for words in job.commands))
    foreign = {module_of(words) for words in job.commands} - RUNNABLE
    if foreign or not job.commands or not 0 <= job.stage <= len(job.commands):
        logger.warning("%s is ignored: it asks for %s", folder.job_file, foreign or job.stage)
        return None
    if job.state not in STATES:
        logger.warning("%s is ignored: no job is %r", folder.job_file, job.state)
        return None
    return job


def _by_new_name(words: Sequence[Any]) -> Iterator[str]:
    """Yield the words of a command; a module that has moved since goes by its new name."""
    return (MOVED.get(str(word), str(word)) for word in words)


def write_job(folder: JobFolder, job: Job) -> None:
    """Write job.json: complete, or not at all."""
    write_json(folder.job_file, asdict(job))


def failure(job: Job) -> UserError | None:
    """Why a job that failed went no further, None for any other job."""
    if job.state != "failed":
        return None
    return from_json(job.error) if job.error else UserError("exit_code", code=job.exit_code)


def is_held(path: Path) -> bool:
    """Whether a living process holds this lock."""
    if not path.exists():
        return False
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return True
    lock.release()
    return False


def turn_lock(parent: Path) -> FileLock:
    """The lock that all jobs below a folder share: its holder may do heavy work."""
    return FileLock(parent / ".turn.lock")


class Jobs:
    """The jobs below a folder, each in one of its own, as the page sees and changes them."""

    def __init__(self, parent: Path = config.LOGS) -> None:
        self._parent = parent
        self._runners: dict[str, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()

    def new_folder(self) -> JobFolder:
        """Make a folder for a job of one user, by a name that nobody else guesses."""
        folder = JobFolder(self._parent / secrets.token_urlsafe(12))
        folder.root.mkdir(parents=True)
        return folder

    def folder(self, name: str) -> JobFolder | None:
        """The folder that `new_folder` made by that name; None if there is none."""
        root = self._parent / name
        return JobFolder(root) if SECRET_NAME.fullmatch(name) and root.is_dir() else None

    def start(self, folder: JobFolder, commands: Sequence[Options], heavy: bool = True) -> None:
        """Start a job, or queue it behind the heavy one that runs. JobError says why not."""
        words = tuple(tuple(argv_of(options)[2:]) for options in commands)
        folder.root.mkdir(parents=True, exist_ok=True)
        with self._exclusively():
            self._refuse_if_active(folder)
            folder.log_file("job").write_bytes(b"")
            self._launch(folder, Job(words, heavy))

    def resume(self, folder: JobFolder) -> None:
        """Go on with the stage at which a job failed or stopped."""
        with self._exclusively():
            self._refuse_if_active(folder)
            job = read_job(folder)
            if job is None or job.stage == len(job.commands):
                raise JobError("job_over", name=folder.name)
            self._launch(
                folder, replace(job, state="waiting", ended=None, exit_code=None, error=None)
            )

    def stop(self, folder: JobFolder) -> None:
        """Ask a job to save and stop; asked again, it is ended at once."""
        job = self.read(folder)
        if job is None or not job.is_active:
            return
        file, pressed = folder.stop_file, None
        with suppress(FileNotFoundError):
            pressed = file.stat().st_mtime
        if pressed is not None and time.time() - pressed < PRESS_SECONDS:
            return
        is_second = pressed is not None
        request = "kill" if is_second else "stop"
        file.write_text(request, encoding="ascii")
        if not is_held(folder.lock_file("job")):  # its runner died, nobody reads the file
            _end_orphan(folder, at_once=is_second)

    def read(self, folder: JobFolder) -> Job | None:
        """The folder's last job as it stands; None if it never had one."""
        job = read_job(folder)
        if job is None or not job.is_active or is_held(folder.lock_file("job")):
            return job
        job = read_job(folder)  # it may have ended between the two looks
        if job is None or not job.is_active:
            return job
        if is_held(folder.lock_file("worker")):
            return replace(job, state="running")
        return replace(job, state="interrupted")

    def is_stopping(self, folder: JobFolder) -> bool:
        """Whether a job was asked to stop and is at it."""
        return folder.stop_file.exists()

    def all(self) -> dict[str, Job]:
        """The last job of every folder by its name, the newest first."""
        found = {}
        for file in self._parent.glob("*/" + JobFolder(self._parent).job_file.name):
            folder = JobFolder(file.parent)
            if job := self.read(folder):
                found[folder.name] = job
        return dict(sorted(found.items(), key=lambda item: -item[1].queued))

    def ahead(self, folder: JobFolder) -> list[str]:
        """Names of the jobs that a waiting one waits for, the running one first."""
        jobs = self.all()
        own = jobs[folder.name]
        before = [
            (job.state != "running", job.queued, name)
            for name, job in jobs.items()
            if job.heavy and job.is_active and name != folder.name
            and (job.state == "running" or job.queued < own.queued)
        ]  # fmt: skip
        return [name for _, _, name in sorted(before)]

    def log(self, folder: JobFolder) -> tuple[ProgressLine | None, str]:
        """How far the running command is, None = not told yet; and the newest lines of the log."""
        path = folder.log_file("job")
        if not path.is_file():
            return None, ""
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
        if size > TAIL_BYTES:
            del lines[0]  # most likely not whole
        progress, shown = None, []
        for line in lines:
            if found := parse_progress(line):
                progress = found
                continue
            if line.startswith(PROMPT):
                progress = None
            shown.append(line)
        return progress, "\n".join(shown[-TAIL_LINES:])

    def watch(self, make_room: Callable[[], bool]) -> NoReturn:
        """Whenever heavy work begins, call make_room until it says that it did; never returns.

        A conversion process that idles on a GPU holds memory that the training needs.
        """
        turn = turn_lock(self._parent)
        is_made = False
        while True:
            if not is_held(Path(turn.lock_file)):
                is_made = False
            elif not is_made and has_gpu():
                is_made = make_room()
            time.sleep(WATCH_SECONDS)

    def _exclusively(self) -> FileLock:
        self._parent.mkdir(parents=True, exist_ok=True)
        return FileLock(self._parent / ".jobs.lock", timeout=START_SECONDS)

    def _refuse_if_active(self, folder: JobFolder) -> None:
        job = self.read(folder)
        if job is not None and job.is_active:
            raise JobError("job_busy", name=folder.name)

    def _launch(self, folder: JobFolder, job: Job) -> None:
        """Write the job and start its runner; returns when that has taken it."""
        folder.stop_file.unlink(missing_ok=True)
        write_job(folder, replace(job, queued=time.time()))
        with folder.log_file("job").open("ab") as log:
            runner = subprocess.Popen(
                command(RunOptions(folder=folder.root.resolve())),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=config.ROOT,
                **detached(),
            )  # fmt: skip
        with self._lock:  # also ends the zombies of those that are done
            self._runners = {n: p for n, p in self._runners.items() if p.poll() is None}
            self._runners[folder.name] = runner
        deadline = time.monotonic() + START_SECONDS
        while not is_held(folder.lock_file("job")):
            if runner.poll() is not None and read_job(folder).state == "waiting":
                raise JobError("job_start", log=folder.log_file("job"))
            if runner.poll() is not None or time.monotonic() > deadline:
                return
            time.sleep(0.02)


def detached() -> dict[str, Any]:
    """Arguments of Popen for a process that outlives this one, and can be stopped as a group."""
    if os.name == "nt":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}


def _end_orphan(folder: JobFolder, at_once: bool) -> None:
    """Stop a worker whose runner died; the lock it holds proves that the number is its own."""
    if is_held(folder.lock_file("worker")) and folder.pid_file.is_file():
        number = int(folder.pid_file.read_text(encoding="ascii"))
        kill = signal.SIGKILL if at_once and os.name == "posix" else signal.SIGTERM
        os.kill(number, kill)
