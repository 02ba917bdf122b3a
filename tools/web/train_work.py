"""What the Train tab and the endpoints do with trainings; refusals are UserErrors."""

from __future__ import annotations

from typing import Any

from errors import UserError
from options import Options
from tools.jobs.jobs import Jobs
from tools.jobs.training import (
    Settings,
    commands,
    existing_dataset,
    report_command,
    voice_of_state,
    write_settings,
)
from tools.options import DatasetReportOptions
from tools.voices.library import from_root
from tools.web.views.job_view import JobView
from train.experiment import Experiment


def experiment_of(name: str | None) -> Experiment:
    """Return the experiment of a voice's name. UserError: it is none, or not given yet."""
    if not (name or "").strip():
        raise UserError("name_missing")
    return Experiment.named(name or "")


def start_training(
    jobs: Jobs, name: str | None, settings: Settings, step: int | None = None
) -> None:
    """Start all steps, or only one of them; what is done already is skipped by the steps."""
    experiment = experiment_of(name)
    steps = commands(experiment, settings)
    _start(jobs, experiment, settings, steps if step is None else [steps[step]])


def start_check(jobs: Jobs, name: str | None, settings: Settings) -> None:
    """Start the report on an experiment's recordings."""
    experiment = experiment_of(name)
    job = jobs.read(experiment)
    if job is not None and job.is_active and job.module == DatasetReportOptions.MODULE:
        return  # an upload has begun it already
    _start(jobs, experiment, settings, [report_command(experiment, settings)], heavy=False)


def try_state(name: str | None, step: int) -> str:
    """Make a voice of a saved state, so that it can be converted with; returns its file."""
    experiment = experiment_of(name)
    if step not in experiment.saved_steps():
        raise UserError("no_state_of", name=experiment.name, step=step)
    return from_root(voice_of_state(experiment, step))


def training_status(jobs: Jobs, name: str | None) -> dict[str, Any]:
    """Return the state of an experiment's job as plain values."""
    view = JobView.of(jobs, Experiment.named(name or ""))
    if view.job is None:
        return {"state": "none"}
    progress = view.progress
    return {
        "state": view.job.state,
        "step": view.job.module,
        "step_number": view.job.stage + 1,
        "num_steps": len(view.job.commands),
        "exit_code": view.job.exit_code,
        "error": str(view.error or ""),
        "done": progress.done if progress else None,
        "total": progress.total if progress else None,
        "unit": progress.unit if progress else None,
        "seconds_left": progress.seconds_left if progress else None,
        "waits_for": list(view.ahead),
        "voice": view.voice,
        "index": view.index,
        "log": view.log.splitlines()[-20:],
    }


def _start(
    jobs: Jobs, experiment: Experiment, settings: Settings, steps: list[Options], heavy: bool = True
) -> None:
    existing_dataset(settings)
    jobs.start(experiment, steps, heavy)
    write_settings(experiment, settings)  # those of who was refused are not remembered
