"""The side of the Train tab that shows a job and what it has brought so far."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

import config
from tools.datasets.report import read_report
from tools.web.errors import shown_errors
from tools.web.frame import POLL_SECONDS, Frame
from tools.web.i18n import translate
from tools.web.theme import WAVEFORM
from tools.web.train_work import try_state
from tools.web.views.curves import held_out_html, losses_html
from tools.web.views.job_view import JobView
from tools.web.views.report_view import report_html
from train.experiment import Experiment
from train.metrics import ORIGINAL, read_metrics, sampled_steps

PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
Updates = dict[Any, Any]


class ProgressPanel:
    """Buttons of a job, its state, its log, and curves and samples of the training.

    `view` are the components that `refresh` gives updates of.
    """

    def __init__(self, frame: Frame, report: gr.HTML) -> None:
        """report: where the report on the recordings is shown."""
        self._frame = frame
        self._jobs = frame.jobs
        self._text = frame.text
        self.report = report
        self.seen = gr.State({})
        self._build_job()
        self._build_quality()
        self.view = [
            self.report, self.status, self.log, self.start, self.stop, self.resume, self.use,
            self.held_out, self.losses, self.quality, self.sample, self.original, self.state,
            self.try_state, self.seen,
        ]  # fmt: skip

    def connect(self, name: gr.Dropdown) -> None:
        """Follow the experiment of that name."""
        self.stop.click(self.stop_job, name, self.view, **PRIVATE)
        self.resume.click(self.resume_job, name, self.view, **PRIVATE)
        self.use.click(self.use_voice, name, [self._frame.use, self._frame.tabs], **PRIVATE)
        self.sample.change(self.play, [name, self.sample], self.made, **PRIVATE)
        gr.Timer(POLL_SECONDS).tick(
            self.refresh, [name, self.seen], self.view, concurrency_limit=None, **PRIVATE
        )
        self.try_state.click(self.try_saved_state, [name, self.state], self.tried, **PRIVATE)

    def _build_job(self) -> None:
        text = self._text
        with gr.Row():
            self.start = gr.Button(text("train"), variant="primary", scale=3, min_width=120)
            self.stop = gr.Button(text("stop_job"), interactive=False, scale=1, min_width=90)
            self.resume = gr.Button(text("resume_job"), interactive=False, scale=1, min_width=90)
        self.status = gr.HTML(JobView(None).html())
        self.use = gr.Button(text("train_use"), variant="primary", visible=False)
        with gr.Accordion(text("job_log"), open=False):
            self.log = gr.Textbox(
                show_label=False, label=text("job_log"), lines=12, max_lines=12,
                interactive=False, autoscroll=True, buttons=["copy"], elem_classes="command",
            )  # fmt: skip

    def _build_quality(self) -> None:
        text = self._text
        with gr.Column(visible=False) as self.quality:
            self.held_out = gr.HTML()
            self.sample = gr.Dropdown(
                [], label=text("sample"), info=text("sample_info"), interactive=True
            )
            with gr.Row():
                self.made = gr.Audio(
                    waveform_options=WAVEFORM,
                    label=text("sample_made"),
                    interactive=False,
                    min_width=240,
                    buttons=["download"],
                )
                self.original = gr.Audio(
                    waveform_options=WAVEFORM,
                    label=text("sample_original"),
                    interactive=False,
                    min_width=240,
                    buttons=["download"],
                )
            with gr.Row(elem_classes="inline"):
                self.state = gr.Dropdown(
                    [], label=text("saved_state"), info=text("saved_state_info"), scale=3
                )
                self.try_state = gr.Button(text("try_state"), scale=1, min_width=120)
            self.tried = gr.HTML(elem_classes="quiet")
            with gr.Accordion(text("losses"), open=False):
                self.losses = gr.HTML()

    def stop_job(self, name: str | None) -> Updates:
        """Ask the experiment's job to save and stop; asked twice, it ends at once."""
        if experiment := named(name):
            self._jobs.stop(experiment)
        return self.refresh(name, {})

    def resume_job(self, name: str | None) -> Updates:
        """Go on with the experiment's job where it stopped."""
        with shown_errors():
            self._jobs.resume(Experiment.named(name or ""))
        return self.refresh(name, {})

    def use_voice(self, name: str | None) -> list[Any]:
        """Convert with the voice that was made."""
        voice = config.WEIGHTS / f"{Experiment.named(name or '').name}.pth"
        return [self._frame.chosen(voice), gr.Tabs(selected="convert")]

    def refresh(self, name: str | None, seen: dict[str, Any]) -> Updates:
        """Return what has changed since it was last seen."""
        experiment = named(name)
        if experiment is None:
            return self._nothing() if seen else {self.seen: {}}
        view = JobView.of(self._jobs, experiment)
        now = {
            "name": name,
            "status": view.html(),
            "log": view.log,
            "buttons": [
                bool(view.job and view.job.is_active),
                view.is_stopping,
                view.can_resume,
                view.is_done and (config.WEIGHTS / f"{experiment.name}.pth").is_file(),
            ],  # fmt: skip
            "metrics": _modified(experiment.metrics_file),
            "samples": sampled_steps(experiment),
            "states": experiment.saved_steps(),
            "report": _modified(experiment.report_file),
        }
        if seen.get("name") != name:
            seen = {}
        changed = {key for key, value in now.items() if seen.get(key) != value}
        updates: Updates = {self.seen: now}
        if "status" in changed:
            updates[self.status] = now["status"]
        if "log" in changed:
            updates[self.log] = view.log
        if "buttons" in changed:
            updates |= self._button_updates(*now["buttons"])
        if "metrics" in changed:
            entries = read_metrics(experiment)
            updates[self.held_out] = held_out_html(entries)
            updates[self.losses] = losses_html(entries)
            updates[self.quality] = gr.update(visible=bool(entries))
        if "report" in changed:
            updates[self.report] = _report_html(experiment)
        if "samples" in changed:
            steps = [str(step) for step in reversed(now["samples"])]
            original = experiment.sample_file(ORIGINAL)
            updates[self.sample] = gr.update(choices=steps, value=next(iter(steps), None))
            updates[self.original] = str(original) if original.is_file() else None
        if "states" in changed:
            steps = [str(step) for step in reversed(now["states"])]
            updates[self.state] = gr.update(choices=steps, value=next(iter(steps), None))
            updates[self.try_state] = gr.update(interactive=bool(steps))
        return updates

    def try_saved_state(self, name: str, step: str | None) -> str:
        """Make a voice of a saved state, so that Convert can use it."""
        with shown_errors():
            return translate("state_tried", voice=try_state(name, int(step or 0)))

    def play(self, name: str | None, step: str | None) -> str | None:
        """Return the sample of a step."""
        experiment = named(name)
        if experiment is None or not step or int(step) not in sampled_steps(experiment):
            return None
        return str(experiment.sample_file(str(int(step))))

    def _nothing(self) -> Updates:
        """What is shown of no voice, so that nothing of the one before stays."""
        return {
            self.seen: {},
            self.status: JobView(None).html(),
            self.report: "",
            self.log: "",
            self.held_out: "",
            self.losses: "",
            self.quality: gr.update(visible=False),
            **self._button_updates(False, False, False, False),
        }

    def _button_updates(
        self, is_active: bool, is_stopping: bool, can_resume: bool, is_usable: bool
    ) -> Updates:
        label = "stop_now" if is_stopping else "stop_job"
        return {
            self.start: gr.update(interactive=not is_active),
            self.stop: gr.update(interactive=is_active, value=self._text(label)),
            self.resume: gr.update(interactive=can_resume),
            self.use: gr.update(visible=is_usable),
        }


def named(name: str | None) -> Experiment | None:
    """The experiment of that name; None while it is no name yet."""
    try:
        return Experiment.named(name or "")
    except ValueError:
        return None


def _report_html(experiment: Experiment) -> str:
    try:
        return report_html(read_report(experiment.report_file))
    except (OSError, ValueError, KeyError, TypeError):
        return ""  # there is none, or another version wrote it


def _modified(path: Path) -> int:
    return path.stat().st_mtime_ns if path.is_file() else 0
