"""The layout of a folder that a job works in: its commands, logs and locks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class Inside:
    """A file or folder of a fixed name in the folder that has it as an attribute."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, folder: JobFolder, kind: type) -> Path:
        return folder.root / self.name


@dataclass(frozen=True)
class JobFolder:
    """Where a job is followed and stopped, and its worker kept alone."""

    root: Path

    job_file = Inside("job.json")  # the commands that the page runs here, and how far they are
    report_file = Inside("dataset_report.json")  # what recordings are good for
    stop_file = Inside("job.stop")  # asks the running job to stop
    error_file = Inside("job.error")  # why the job's last command failed
    pid_file = Inside("worker.pid")  # process number of the worker that holds its lock

    @property
    def name(self) -> str:
        """Name of the folder, also for a relative path such as `.`."""
        return self.root.resolve().name

    def log_file(self, worker: str) -> Path:
        """Log of one worker."""
        return self.root / f"{worker}.log"

    def lock_file(self, holder: str) -> Path:
        """Locked by the operating system as long as the process called holder lives."""
        return self.root / f"{holder}.lock"
