"""The tab that trains: from recordings to a voice and its index, guided from top to bottom."""

from __future__ import annotations

import shutil
from dataclasses import astuple
from pathlib import Path
from typing import Any

import gradio as gr

import config
from infer.f0 import F0_METHODS
from infer.options import Options, command, printable
from tools import hardware
from tools.web.choices import from_root
from tools.web.curves import held_out_html, losses_html
from tools.web.frame import Frame
from tools.web.i18n import spoken
from tools.web.job_view import JobView
from tools.web.jobs import JobError
from tools.web.training import (
    STEPS,
    Settings,
    commands,
    experiments,
    kinds,
    read_settings,
    write_settings,
)
from train.experiment import Experiment, plain_name
from train.metrics import ORIGINAL, read_metrics, sampled_steps

LOOK_SECONDS = 1.0  # between two looks at the job on disk
DEFAULTS = Settings()
PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
Updates = dict[Any, Any]


class TrainTab:
    """Widgets whose values become Settings, and a view of the experiment's job."""

    def __init__(self, frame: Frame) -> None:
        self._jobs = frame.jobs
        self._text = frame.text
        with gr.Row():
            with gr.Column():
                self._build_name()
                self._build_recordings()
                self._build_training()
            with gr.Column():
                self._build_progress(frame)
                self._build_quality()
        self.seen = gr.State({})
        self.settings = [
            self.kind, self.dataset, self.minutes, self.device, self.batch_size, self.processes,
            self.f0_method, self.save_minutes, self.parent,
        ]  # fmt: skip
        self._connect(frame)

    # layout

    def _build_name(self) -> None:
        text = self._text
        gr.HTML(f"<h2 class='step-head'>1 · {spoken('train_name_head')}</h2>")
        self.name = gr.Dropdown(
            experiments(), value=None, allow_custom_value=True,
            label=text("experiment"), info=text("experiment_info"),
        )  # fmt: skip
        self.kind = gr.Dropdown(
            kinds(), value=DEFAULTS.kind, label=text("kind"), info=text("kind_info")
        )

    def _build_recordings(self) -> None:
        text = self._text
        gr.HTML(f"<h2 class='step-head'>2 · {spoken('train_dataset_head')}</h2>")
        self.dataset = gr.Textbox(label=text("dataset"), info=text("dataset_info"))
        self.files = gr.File(file_count="multiple", label=text("dataset_files"), height=140)
        self.added = gr.HTML(elem_classes="quiet")

    def _build_training(self) -> None:
        text = self._text
        gr.HTML(f"<h2 class='step-head'>3 · {spoken('train_how_head')}</h2>")
        self.hardware = gr.HTML()
        self.minutes = gr.Number(
            DEFAULTS.minutes, minimum=0.1, label=text("minutes"), info=text("minutes_info")
        )
        with gr.Accordion(text("more_training"), open=False):
            self.device = gr.Dropdown(
                ["auto"], value="auto", allow_custom_value=True,
                label=text("device"), info=text("device_info"),
            )  # fmt: skip
            with gr.Row():
                self.batch_size = self._number("batch_size", 1)
                self.processes = self._number("processes", 1)
            self.f0_method = gr.Dropdown(
                list(F0_METHODS), value=DEFAULTS.f0_method,
                label=text("train_f0_method"), info=text("train_f0_method_info"),
            )  # fmt: skip
            self.save_minutes = gr.Number(
                DEFAULTS.save_minutes, minimum=0.1,
                label=text("save_minutes"), info=text("save_minutes_info"),
            )  # fmt: skip
            self.parent = gr.Dropdown(
                ["", *experiments()], value="", label=text("parent"), info=text("parent_info")
            )
        with gr.Accordion(text("train_commands"), open=False):
            self.commands = gr.Textbox(
                show_label=False, lines=8, interactive=False, buttons=["copy"],
                info=text("train_commands_info"), elem_classes="command",
            )  # fmt: skip
            gr.HTML(f'<p class="quiet">{spoken("one_step_info")}</p>')
            with gr.Row():
                self.one_step = [
                    gr.Button(text(f"button_{step}"), size="sm", min_width=120) for step in STEPS
                ]

    def _number(self, name: str, minimum: int) -> gr.Number:
        label, info = self._text(name), self._text(f"{name}_info")
        value = getattr(DEFAULTS, name)
        return gr.Number(value, minimum=minimum, precision=0, label=label, info=info)

    def _build_progress(self, frame: Frame) -> None:
        text = self._text
        with gr.Row():
            self.start = gr.Button(text("train"), variant="primary", scale=3, min_width=120)
            self.stop = gr.Button(text("stop_job"), interactive=False, scale=1, min_width=90)
            self.resume = gr.Button(text("resume_job"), interactive=False, scale=1, min_width=90)
        self.status = gr.HTML(JobView(None).html())
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
                self.made = gr.Audio(label=text("sample_made"), interactive=False, min_width=240)
                self.original = gr.Audio(
                    label=text("sample_original"), interactive=False, min_width=240
                )
            with gr.Accordion(text("losses"), open=False):
                self.losses = gr.HTML()

    def _connect(self, frame: Frame) -> None:
        view = [
            self.status, self.log, self.start, self.stop, self.resume, self.held_out,
            self.losses, self.quality, self.sample, self.original, self.seen,
        ]  # fmt: skip
        shown = [self.name, *self.settings, self.hardware, self.commands]
        frame.page.load(self.open_page, self.name, shown, **PRIVATE)
        self.name.change(
            self.open_experiment, [self.name, *self.settings], shown[1:], **PRIVATE
        ).then(self.look, [self.name, self.seen], view, **PRIVATE)
        self.kind.input(self.recommend, self.kind, [self.hardware, self.batch_size], **PRIVATE)
        for widget in self.settings:
            widget.change(self.preview, [self.name, *self.settings], self.commands, **PRIVATE)
        self.files.upload(
            self.add_files, [self.name, self.files], [self.dataset, self.files, self.added],
            **PRIVATE,
        )  # fmt: skip
        given = [self.name, *self.settings]
        self.start.click(self.train, given, view, api_name="train")
        for number, button in enumerate(self.one_step):
            button.click(
                lambda name, *values, number=number: self.train(name, *values, only=number),
                given, view, **PRIVATE,
            )  # fmt: skip
        self.stop.click(self.stop_job, self.name, view, api_name="stop_training")
        self.resume.click(self.resume_job, self.name, view, api_name="resume_training")
        self.sample.change(self.play, [self.name, self.sample], self.made, **PRIVATE)
        gr.Timer(LOOK_SECONDS).tick(
            self.look, [self.name, self.seen], view, concurrency_limit=None, **PRIVATE
        )
        gr.api(self.training_status, api_name="training_status")

    # what the page does

    def open_page(self, name: str | None) -> Updates:
        """Show the experiment that is worked on, else the one chosen, else the last one."""
        known = experiments()
        active = [each for each, job in self._jobs.all().items() if job.is_active]
        chosen = next(iter([*active, *filter(None, [name]), *known]), None)
        return {
            self.name: gr.update(choices=known, value=chosen),
            **self.open_experiment(chosen, *astuple(DEFAULTS)),
        }

    def open_experiment(self, name: str | None, *values: Any) -> Updates:
        """Show the settings that an experiment was left with; a new one keeps what stands."""
        experiment = named(name)
        saved = read_settings(experiment) if experiment else None
        settings = saved or Settings(*values)
        choice = hardware.choose(settings.version, settings.sample_rate)
        updates: Updates = dict(zip(self.settings, astuple(settings), strict=True))
        if saved is None and settings == DEFAULTS:
            updates[self.batch_size] = choice.batch_size
            updates[self.processes] = choice.processes
        updates[self.device] = gr.update(choices=["auto", *choice.devices], value=settings.device)
        others = [each for each in experiments() if each != name]
        updates[self.parent] = gr.update(choices=["", *others], value=settings.parent)
        updates[self.hardware] = _reasons_html(choice)
        updates[self.commands] = self.preview(name, *astuple(settings))
        return updates

    def recommend(self, kind: str) -> Updates:
        """Say what the chosen family runs with here."""
        settings = Settings(kind=kind)
        choice = hardware.choose(settings.version, settings.sample_rate)
        return {self.hardware: _reasons_html(choice), self.batch_size: choice.batch_size}

    def preview(self, name: str | None, *values: Any) -> str:
        """Return the commands that Train runs, one a line; or what is still missing."""
        try:
            options = self._options(name, values)
        except (ValueError, TypeError) as error:
            return f"# {error}"
        return "\n".join(printable(command(each)) for each in options)

    def add_files(self, name: str | None, files: list[str]) -> Updates:
        """Put uploaded recordings into the experiment's own dataset folder."""
        experiment = named(name)
        if experiment is None:
            raise gr.Error("Give the experiment a name first.", print_exception=False)
        folder = config.DATASETS / plain_name(experiment.name)
        folder.mkdir(parents=True, exist_ok=True)
        for file in map(Path, files):
            shutil.move(file, _free_name(folder / file.name))
        return {
            self.dataset: from_root(folder),
            self.files: None,
            self.added: spoken("files_added", count=len(files), folder=from_root(folder)),
        }

    def train(self, name: str | None, *values: Any, only: int | None = None) -> Updates:
        """Start all steps, or only one of them; what is done already is skipped by the steps."""
        try:
            options = self._options(name, values)
            dataset = config.ROOT / options[0].dataset
            if not dataset.exists():
                raise ValueError(f"no folder {dataset}; give one that exists, or add files")
            experiment = Experiment.named(name)
            write_settings(experiment, Settings(*values))
            self._jobs.start(experiment, options if only is None else [options[only]])
        except (ValueError, TypeError, OSError) as error:
            raise gr.Error(str(error), print_exception=False) from error
        return self.look(name, {})

    def stop_job(self, name: str | None) -> Updates:
        """Ask the experiment's job to save and stop; asked twice, it ends at once."""
        if experiment := named(name):
            self._jobs.stop(experiment)
        return self.look(name, {})

    def resume_job(self, name: str | None) -> Updates:
        """Go on with the experiment's job where it stopped."""
        try:
            self._jobs.resume(Experiment.named(name or ""))
        except (JobError, ValueError) as error:
            raise gr.Error(str(error), print_exception=False) from error
        return self.look(name, {})

    def look(self, name: str | None, seen: dict[str, Any]) -> Updates:
        """Return what has changed since it was last seen."""
        experiment = named(name)
        if experiment is None:
            return {self.status: JobView(None).html(), self.seen: {}} if seen else {self.seen: {}}
        view = JobView.of(self._jobs, experiment)
        now = {
            "name": name,
            "status": view.html(),
            "log": view.log,
            "buttons": [bool(view.job and view.job.is_active), view.is_stopping, view.can_resume],
            "metrics": _modified(experiment.metrics_file),
            "samples": sampled_steps(experiment),
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
        if "samples" in changed:
            steps = [str(step) for step in reversed(now["samples"])]
            original = experiment.sample_file(ORIGINAL)
            updates[self.sample] = gr.update(choices=steps, value=next(iter(steps), None))
            updates[self.original] = str(original) if original.is_file() else None
        return updates

    def play(self, name: str | None, step: str | None) -> str | None:
        """Return the sample of a step."""
        experiment = named(name)
        if experiment is None or not step or int(step) not in sampled_steps(experiment):
            return None
        return str(experiment.sample_file(str(int(step))))

    def training_status(self, name: str) -> dict[str, Any]:
        """State of an experiment's job, as plain values."""
        experiment = Experiment.named(name)
        view = JobView.of(self._jobs, experiment)
        if view.job is None:
            return {"state": "none"}
        progress = view.progress
        return {
            "state": view.job.state,
            "step": view.job.commands[min(view.job.stage, len(view.job.commands) - 1)][0],
            "step_number": view.job.stage + 1,
            "num_steps": len(view.job.commands),
            "exit_code": view.job.exit_code,
            "done": progress.done if progress else None,
            "total": progress.total if progress else None,
            "unit": progress.unit if progress else None,
            "seconds_left": progress.seconds_left if progress else None,
            "waits_for": list(view.ahead),
            "log": view.log.splitlines()[-20:],
        }

    def _options(self, name: str | None, values: tuple[Any, ...]) -> list[Options]:
        return commands(Experiment.named(name or ""), Settings(*values))

    def _button_updates(self, is_active: bool, is_stopping: bool, can_resume: bool) -> Updates:
        label = "stop_now" if is_stopping else "stop_job"
        return {
            self.start: gr.update(interactive=not is_active),
            self.stop: gr.update(interactive=is_active, value=self._text(label)),
            self.resume: gr.update(interactive=can_resume),
        }


def named(name: str | None) -> Experiment | None:
    """The experiment of that name; None while it is no name yet."""
    try:
        return Experiment.named(name or "")
    except ValueError:
        return None


def _modified(path: Path) -> int:
    return path.stat().st_mtime_ns if path.is_file() else 0


def _free_name(path: Path) -> Path:
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_stem(f"{path.stem}_{number}")
    return free


def _reasons_html(choice: hardware.Choice) -> str:
    told = " ".join(spoken(name, **values) for name, values in choice.reasons)
    return f'<p class="quiet">{told}</p>'
