"""What every worker process shares: its log, its progress line, its exit code and a clean stop."""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, NoReturn

from filelock import FileLock, Timeout

from config import replacing
from errors import UserError, as_user_error, report_error
from options import Options, command, printable
from train.experiment import Experiment

CONSOLE_SECONDS = 1.0  # between two progress lines on stdout
LOG_SECONDS = 10.0  # between two progress lines in the log
LOCK_SECONDS = 3.0  # to wait for an experiment that another worker has in hand
RATE_SECONDS = 60.0  # that the rate, and so the time left, is taken from
SECONDS = "s"  # unit of work that lasts as long as it was told to
REPEAT_SECONDS = 10.0  # a second stop signal within this time is taken for impatience

logger = logging.getLogger("train.worker")
progress_logger = logging.getLogger("train.progress")  # to the log file only


class WorkerError(UserError):
    """The worker could not do its work."""


class Stopped(KeyboardInterrupt):
    """The worker was asked to stop (Ctrl-C or SIGTERM); catch it to save, then raise it again."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signal_number).name}")
        self.exit_code = 128 + signal_number  # 130 after Ctrl-C, 143 after SIGTERM


@dataclass(frozen=True)
class ProgressLine:
    """One progress line, read back; rate is in units per second, None = not known yet."""

    name: str
    done: int
    total: int
    unit: str
    rate: float
    seconds_left: int | None
    note: str


class Progress:
    """Progress line on stdout, e.g. `extract_f0 12/345 (3%) 3.4 files/s, 1:37 left`.

    The rate is that of the last RATE_SECONDS, and not known before something is finished twice:
    until the first time, most of it was getting ready. done: what an earlier run has finished. Work
    that is measured in SECONDS shows the time instead: `train 2:00/15:00 (13%), 13:00 left`.
    """

    def __init__(self, total: int, unit: str, name: str, done: int = 0) -> None:
        self.total, self.unit, self.name, self.done = total, unit, name, done
        self._recent: deque[tuple[float, int]] = deque()  # when how much was done
        self._console_time = self._log_time = -float("inf")
        self._note: str | Callable[[], str] = ""
        self._width = 0
        self._rewrites = sys.stdout is not None and sys.stdout.isatty()

    def __enter__(self) -> Progress:
        self._show()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._show(last=True)

    def advance(self, count: int = 1, note: str | Callable[[], str] = "") -> None:
        """Count finished work; note (no line breaks) is put at the end of the line.

        A note that is a function is called when the line is shown.
        """
        self.done += count
        self._note = note
        now = time.monotonic()
        if count:
            self._recent.append((now, self.done))
        while len(self._recent) > 2 and self._recent[1][0] < now - RATE_SECONDS:
            self._recent.popleft()
        self._show()

    def line(self) -> str:
        """Return the line as it stands now."""
        rate = 0.0
        if self._recent and (elapsed := time.monotonic() - self._recent[0][0]) > 0:
            rate = (self.done - self._recent[0][1]) / elapsed
        percent = 100 * self.done // self.total if self.total else 100
        left = "?"
        if self.done >= self.total:
            left = "0:00"
        elif self.unit == SECONDS:
            left = clock(self.total - self.done)
        elif rate > 0:
            left = clock((self.total - self.done) / rate)
        note = self._note if isinstance(self._note, str) else self._note()
        note = f", {note}" if note else ""
        if self.unit == SECONDS:
            counts = f"{clock(self.done)}/{clock(self.total)} ({percent}%)"
            return f"{self.name} {counts}, {left} left{note}"
        counts = f"{self.done}/{self.total} ({percent}%)"
        return f"{self.name} {counts} {_rate(rate)} {self.unit}/s, {left} left{note}"

    def _show(self, last: bool = False) -> None:
        now = time.monotonic()
        is_due = last or now - self._console_time >= CONSOLE_SECONDS
        is_due = is_due or now - self._log_time >= LOG_SECONDS
        if not (is_due and is_first()):
            return
        line = self.line()
        if last or now - self._console_time >= CONSOLE_SECONDS:
            self._console_time = now
            with suppress(OSError):  # a console that is gone fails no work
                self._print(line, last)
        if last or now - self._log_time >= LOG_SECONDS:
            self._log_time = now
            progress_logger.info(line)

    def _print(self, line: str, last: bool) -> None:
        if self._rewrites:
            print(f"\r{line:<{self._width}}", end="\n" if last else "", flush=True)
            self._width = len(line)
        else:
            print(line, flush=True)


_PROGRESS = re.compile(
    r"(?P<name>\w+) (?P<done>[\d:]+)/(?P<total>[\d:]+) "
    r"\(\d+%\)(?: (?P<rate>[\d.]+) (?P<unit>\S+)/s)?, "
    r"(?P<left>\?|[\d:]+) left(?:, (?P<note>.*))?"
)


def parse_progress(line: str) -> ProgressLine | None:
    """Read the last progress line in a line of output (also after a time stamp); None if none."""
    for text in reversed(line.rstrip().split("\r")):
        if match := _PROGRESS.search(text.rstrip()):
            return ProgressLine(
                name=match["name"],
                done=_from_clock(match["done"]),
                total=_from_clock(match["total"]),
                unit=match["unit"] or SECONDS,
                rate=float(match["rate"] or 1),
                seconds_left=None if match["left"] == "?" else _from_clock(match["left"]),
                note=match["note"] or "",
            )
    return None


def _from_clock(text: str) -> int:
    """Read a number, or h:mm:ss and m:ss as seconds."""
    number = 0
    for part in text.split(":"):
        number = 60 * number + int(part or 0)
    return number


def is_first() -> bool:
    """Whether this is the one of several processes (torchrun's rank 0) that logs and shows."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def only_worker(experiment: Experiment) -> Iterator[None]:
    """Keep other workers off an experiment that exists; WorkerError if one is at it already."""
    if not experiment.root.is_dir() or not is_first():
        yield  # nothing to protect yet, or protected by the first of torchrun's processes
        return
    lock = FileLock(experiment.lock_file("worker"))
    try:
        lock.acquire(timeout=LOCK_SECONDS)
    except Timeout as error:
        raise WorkerError("busy", folder=experiment.root) from error
    try:
        experiment.remove_unfinished()
        with replacing(experiment.pid_file) as temporary:  # never seen empty
            temporary.write_text(str(os.getpid()), encoding="ascii")
        yield
    finally:
        lock.release()


@contextmanager
def uninterrupted() -> Iterator[list[int]]:
    """Delay a stop until the block is done, so that what it changes is changed as a whole.

    Yields the list of the signals that came; a long block looks there and ends early.
    """
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came  # signals reach the main thread only
        return
    handlers = {
        number: signal.signal(number, lambda number, frame: came.append(number))
        for number in _stop_signals()
    }
    try:
        yield came
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])


def run_worker(function: Callable[[Any], object], options: Options) -> NoReturn:
    """Run a worker as this process: log to <experiment>/<worker>.log, then exit with its code.

    Exit codes: 0 done, 1 failed, 130 stopped by Ctrl-C, 143 by SIGTERM. An error is one line on
    stderr; its traceback goes to the log.
    """
    name = function.__name__
    experiment = Experiment(options.experiment)  # type: ignore[attr-defined]
    log = _open_logs(experiment, name)
    sys.excepthook = _unexpected_error
    stop_on_signals()
    logger.info("%s", printable(command(options)), extra={"log_only": True})
    started = time.monotonic()
    try:
        with only_worker(experiment):
            function(options)
    except KeyboardInterrupt as stop:
        logger.warning("stopped; run the same command to go on")
        code = stop.exit_code if isinstance(stop, Stopped) else 130
    except (ValueError, OSError) as error:  # wrong input: the message says what to do
        _report(error, error)
        code = 1
    else:
        logger.info("%s finished in %s", name, clock(time.monotonic() - started))
        code = 0
    log.close()
    sys.exit(code)


class _ExperimentLog(logging.FileHandler):
    """Log file that begins when the experiment's folder exists, so that it is never made by us."""

    def emit(self, record: logging.LogRecord) -> None:
        if not is_first() and record.levelno < logging.ERROR:
            return
        if self.stream is not None or self.folder.is_dir():
            super().emit(record)

    def __init__(self, experiment: Experiment, worker: str) -> None:
        self.folder = experiment.root
        super().__init__(
            experiment.log_file(worker), encoding="utf-8", delay=True, errors="backslashreplace"
        )
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))


class _ConsoleFormatter(logging.Formatter):
    """Message only: no time, no traceback."""

    def format(self, record: logging.LogRecord) -> str:
        return record.getMessage()


def _open_logs(experiment: Experiment, worker: str) -> _ExperimentLog:
    console = logging.StreamHandler(sys.stderr)
    console.setFormatter(_ConsoleFormatter())
    console.addFilter(
        lambda record: (
            record.name != progress_logger.name
            and not hasattr(record, "log_only")
            and (is_first() or record.levelno >= logging.ERROR)
        )
    )
    log = _ExperimentLog(experiment, worker)
    logging.basicConfig(level=logging.INFO, handlers=[console, log], force=True)
    return log


def stop_on_signals() -> None:
    """Turn SIGINT, SIGTERM and Windows' SIGBREAK into Stopped, raised in the main thread."""
    last_time = -float("inf")

    def stop(signal_number: int, frame: FrameType | None) -> None:
        nonlocal last_time
        now = time.monotonic()
        if now - last_time < REPEAT_SECONDS:
            return  # the first one is being obeyed; do not break into the saving
        last_time = now
        raise Stopped(signal_number)

    for number in _stop_signals():
        signal.signal(number, stop)


def _stop_signals() -> list[int]:
    names = ("SIGINT", "SIGTERM", "SIGBREAK")  # the last exists on Windows only
    return [getattr(signal, name) for name in names if hasattr(signal, name)]


def _unexpected_error(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    said = UserError("unexpected", kind=kind.__name__, message=as_user_error(error))
    _report(said, error)


def _report(said: BaseException, error: BaseException) -> None:
    """Say an error on stderr and in the log, where the traceback of the error follows."""
    report_error(said)
    logger.error("error: %s", as_user_error(said), exc_info=error, extra={"log_only": True})


def _rate(rate: float) -> str:
    """Three digits without an exponent, e.g. 0.0123, 3.4, 250."""
    if rate >= 100:
        return f"{rate:.0f}"
    return f"{rate:.1f}" if rate >= 1 else f"{rate:.3g}" if rate >= 0.0001 else "0"


def clock(seconds: float) -> str:
    """Write a duration as m:ss or h:mm:ss."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
