"""The layout of a folder that a job works in: its commands, logs and locks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class JobFolder:
    """Where a job is followed and stopped, and its worker kept alone."""

    root: Path

    @property
    def name(self) -> str:
        """Name of the folder, also for a relative path such as `.`."""
        return self.root.resolve().name

    @property
    def job_file(self) -> Path:
        """The commands that the page runs in this folder, and how far they are."""
        return self.root / "job.json"

    @property
    def report_file(self) -> Path:
        """What a job that measures recordings finds them good for."""
        return self.root / "dataset_report.json"

    @property
    def stop_file(self) -> Path:
        """Asks the running job to stop."""
        return self.root / "job.stop"

    @property
    def error_file(self) -> Path:
        """Why the job's last command failed."""
        return self.root / "job.error"

    def log_file(self, worker: str) -> Path:
        """Log of one worker."""
        return self.root / f"{worker}.log"

    def lock_file(self, holder: str) -> Path:
        """Locked by the operating system as long as the process called holder lives."""
        return self.root / f"{holder}.lock"

    @property
    def pid_file(self) -> Path:
        """Process number of the worker that holds its lock."""
        return self.root / "worker.pid"
