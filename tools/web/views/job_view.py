"""A job as HTML: what it does, how far it is, how it ended and what to do then."""

from __future__ import annotations

from dataclasses import dataclass, replace
from html import escape

import config
from errors import UserError
from tools.jobs.ahead import seconds_left
from tools.jobs.jobs import Job, Jobs, failure, module_of
from tools.voices.library import from_root
from tools.web.errors import error_html
from tools.web.i18n import translate
from tools.web.units import duration_text
from tools.web.views.said import said_html
from train.experiment import Experiment
from train.job_folder import JobFolder
from train.metrics import read_metrics
from train.worker import ProgressLine

KILLED = (-9, 137)  # exit codes of a process that was ended from outside


@dataclass(frozen=True)
class JobView:
    """Everything that is shown of a job; ahead: names of the jobs that it waits for.

    index, voice: what a training makes, as paths to show. left: seconds until all its steps are
    done, None where that is not known.
    """

    job: Job | None
    progress: ProgressLine | None = None
    log: str = ""
    is_stopping: bool = False
    ahead: tuple[str, ...] = ()
    index: str = ""
    voice: str = ""
    left: float | None = None

    @classmethod
    def of(cls, jobs: Jobs, folder: JobFolder) -> JobView:
        """Look at a folder's job as it stands now."""
        job = jobs.read(folder)
        if job is None:
            return cls(None)
        progress, log = jobs.log(folder)
        ahead = tuple(jobs.ahead(folder)) if job.state == "waiting" else ()
        is_stopping = job.is_active and jobs.is_stopping(folder)
        view = cls(job, progress, log, is_stopping, ahead)
        if not isinstance(folder, Experiment):
            return view
        left = None
        if job.state == "running" and len(job.took) == job.stage < len(job.commands) - 1:
            trained = max((e.get("seconds", 0.0) for e in read_metrics(folder)), default=0.0)
            left = seconds_left(job.commands, job.took, progress, trained)
        index = next(map(from_root, folder.indexes()), "")
        voice = from_root(config.WEIGHTS / f"{folder.name}.pth")
        return replace(view, index=index, voice=voice, left=left)

    @property
    def can_resume(self) -> bool:
        """Whether there is something left to go on with."""
        return self.job is not None and self.job.state in ("failed", "stopped", "interrupted")

    @property
    def is_done(self) -> bool:
        """Whether it came to its end."""
        return self.job is not None and self.job.state == "done"

    @property
    def error(self) -> UserError | None:
        """Why it failed, None if it did not."""
        return failure(self.job) if self.job is not None else None

    def html(self) -> str:
        """Return the whole as HTML."""
        if self.job is None:
            return f'<p class="quiet">{translate("job_none")}</p>'
        parts = [f'<p class="job-state" id="job-state" role="status">{self._state()}</p>']
        if self.job.state != "waiting":
            parts += [self._bar(), self._steps()]
        if way_out := self._way_out():
            mark = ' class="alert"' if self.job.state == "failed" else ""
            parts.append(f"<p{mark}>{way_out}</p>")
        return f'<div class="job job-{self.job.state}">{"".join(parts)}</div>'

    def _state(self) -> str:
        job = self.job
        total = len(job.commands)
        number = min(job.stage + 1, total)
        step = step_name(job.module)
        if self.is_stopping:
            return translate("job_stopping")
        values = {"number": number, "total": total}
        said = f"{translate(f'job_{job.state}', **values, ahead=', '.join(self.ahead))} {step}"
        if self.left is not None:
            said += " · " + translate("job_left", time=duration_text(self.left))
        return said

    def _bar(self) -> str:
        share = 1.0 if self.job.state == "done" else 0.0
        amounts = ""
        if self.progress is not None and self.job.state != "done":
            share = self.progress.done / self.progress.total if self.progress.total else 1.0
            amounts = (
                f"<p>{progress_text(self.progress, is_running=self.job.state == 'running')}</p>"
            )
        percent = round(100 * share)
        return (
            f'<div class="job-bar" role="progressbar" aria-labelledby="job-state" '
            f'aria-valuenow="{percent}" aria-valuemin="0" aria-valuemax="100">'
            f'<div style="width:{percent}%"></div></div>{amounts}'
        )

    def _steps(self) -> str:
        items = []
        for number, words in enumerate(self.job.commands):
            kind = "next"
            if number < self.job.stage:
                kind = "done"
            elif number == self.job.stage:
                kind = "now" if self.job.is_active else self.job.state
            current = ' aria-current="step"' if kind == "now" else ""
            items.append(f'<li class="step-{kind}"{current}>{step_name(module_of(words))}</li>')
        return f'<ol class="job-steps">{"".join(items)}</ol>'

    def _way_out(self) -> str:
        job = self.job
        if job.state == "failed":
            if job.exit_code in KILLED:
                return translate("job_killed")
            reason = error_html(self.error)
            if not job.error and self.log.strip():  # it fell over: its last words
                reason += f"<br><code>{escape(self.log.strip().splitlines()[-1])}</code>"
            return f"<strong>{reason}</strong><br>{translate('job_failed_way_out')}"
        if job.state in ("stopped", "interrupted", "done"):
            last = module_of(job.commands[-1]).split(".")[-1]
            if job.state == "done" and last != "verify":
                return ""
            return translate(f"job_{job.state}_way_out", voice=self.voice, index=self.index)
        return ""


def step_name(module: str) -> str:
    """Return HTML of what a worker does."""
    return translate(f"step_{module.split('.')[-1]}")


def progress_text(progress: ProgressLine, is_running: bool) -> str:
    """Return HTML of how far a command is: amounts, rate, time left and its own note."""
    if progress.unit == "s":  # work that lasts as long as it was told to
        amount = f"{duration_text(progress.done)} / {duration_text(progress.total)}"
    else:
        amount = translate(f"amount_{progress.unit}", done=progress.done, total=progress.total)
        if is_running and progress.rate:
            amount += " · " + translate(f"rate_{progress.unit}", rate=f"{progress.rate:.2g}")
    parts = [amount]
    if is_running and progress.seconds_left is not None:
        parts.append(translate("time_left", time=duration_text(progress.seconds_left)))
    elif is_running:
        parts.append(translate("time_unknown"))
    if progress.note:
        parts.append(f'<span class="quiet">{said_html(progress.note)}</span>')
    return " · ".join(parts)
