"""Recordings checked by a job: it goes on when the page is gone, and is found again by its name.

A check is a folder results/.checks/NAME with the job and its report; the browser keeps the name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from errors import UserError
from tools.datasets.report import DatasetReport, read_report
from tools.jobs import results
from tools.jobs.jobs import Jobs
from tools.jobs.training import Settings, existing_dataset, report_command
from tools.web.views.job_view import JobView


@dataclass(frozen=True)
class Check:
    """A check as it stands; error: why there is no report."""

    view: JobView
    report: DatasetReport | None = None
    error: UserError | None = None

    @property
    def is_running(self) -> bool:
        """Whether the recordings are being measured."""
        return self.view.job is not None and self.view.job.is_active


class Checks:
    """Starts checks and finds them again."""

    def __init__(self, folder: Path = results.CHECKS) -> None:
        self._jobs = Jobs(folder)

    def start(self, dataset: str) -> str:
        """Begin to measure a folder of recordings; returns the check's name. ValueError."""
        settings = Settings(dataset=dataset)
        existing_dataset(settings)
        folder = self._jobs.new_folder()
        self._jobs.start(folder, [report_command(folder, settings)], heavy=False)
        return folder.name

    def find(self, name: str) -> Check | None:
        """The check of that name as it stands; None if there is none."""
        folder = self._jobs.folder(name)
        view = JobView.of(self._jobs, folder) if folder else None
        if folder is None or view is None or view.job is None:
            return None
        if view.job.state == "done":
            return Check(view, read_report(folder.report_file))
        return Check(view, error=view.error)

    def stop(self, name: str) -> None:
        """Give a check up."""
        if folder := self._jobs.folder(name):
            self._jobs.stop(folder)
