"""The tab that trains: from recordings to a voice and its index, guided from top to bottom."""

from __future__ import annotations

from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import gradio as gr

import config
from infer.content import installed_embedders
from infer.f0 import F0_METHODS, default_f0_method
from infer.voice.traits import traits
from options import printable
from tools.datasets.recordings import are_aside, bring_back, set_aside, take_recordings
from tools.datasets.report import read_report
from tools.jobs.jobs import argv_of
from tools.jobs.training import (
    STEPS,
    Settings,
    commands,
    experiments,
    kinds,
    read_settings,
)
from tools.machine import hardware
from tools.voices.library import from_root
from tools.web.errors import error_html, shown_errors
from tools.web.frame import Frame
from tools.web.i18n import sentences, translate
from tools.web.tabs.train_progress import PRIVATE, ProgressPanel, Updates, named
from tools.web.train_work import experiment_of, start_check, start_training
from train.experiment import Experiment, plain_name

DEFAULTS = Settings()
NAME_ID = "train-name"
SUSPECT = {f"report_file_{name}" for name in ("unreadable", "silent", "duplicate", "other_voice")}
# runs in the browser, between two keystrokes: what was changed since it was seen stays, and a name
# that was changed since then has an offer of its own to come
TAKE_OFFER = """(offer, ...now) => {
  const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);
  if (!offer || !same(now[0], offer.seen[0])) return now;
  return now.map((value, i) => same(value, offer.seen[i]) ? offer.wanted[i] : value);
}"""


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
                self.progress = ProgressPanel(frame, self.report)
        self.settings = [
            self.kind, self.dataset, self.minutes, self.epochs, self.device, self.batch_size,
            self.processes, self.f0_method, self.save_minutes, self.parent, self.parent_step,
            self.embedder, self.denoise,
        ]  # fmt: skip
        self._connect(frame)

    # layout

    def _build_name(self) -> None:
        text = self._text
        gr.HTML(_head(1, "train_name_head"))
        self.name = gr.Dropdown(
            experiments(), value=None, allow_custom_value=True,
            label=text("experiment"), info=text("experiment_info"), elem_id=NAME_ID,
        )  # fmt: skip
        self.kind = gr.Dropdown(
            kinds(), value=DEFAULTS.kind, label=text("kind"), info=text("kind_info")
        )

    def _build_recordings(self) -> None:
        text = self._text
        gr.HTML(_head(2, "train_dataset_head"))
        self.dataset = gr.Textbox(label=text("dataset"), info=text("dataset_info"))
        self.files = gr.File(
            file_count="multiple", label=text("dataset_files"), height=140, elem_id="dataset-files"
        )
        self.added = gr.HTML(elem_classes="quiet")
        self.check = gr.Button(text("check_dataset"), size="sm")
        self.report = gr.HTML()
        with gr.Row():
            self.aside = gr.Button(text("set_aside"), size="sm", visible=False)
            self.back = gr.Button(text("bring_back"), size="sm", visible=False)
        self.denoise = gr.Checkbox(
            DEFAULTS.denoise, label=text("train_denoise"), info=text("train_denoise_info")
        )

    def _build_training(self) -> None:
        text = self._text
        gr.HTML(_head(3, "train_how_head"))
        self.hardware = gr.HTML()
        self.minutes = gr.Number(
            DEFAULTS.minutes, minimum=0.1, label=text("minutes"), info=text("minutes_info")
        )
        self.epochs = self._number("epochs", 1, visible=False)
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
            with gr.Row():
                self.parent = gr.Dropdown(
                    ["", *experiments()], value="", label=text("parent"), info=text("parent_info")
                )
                self.parent_step = gr.Dropdown(
                    self._states(""), value=0,
                    label=text("parent_step"), info=text("parent_step_info"),
                )  # fmt: skip
            self.embedder = gr.Dropdown(
                [""], value="", label=text("embedder"), info=text("embedder_info"), visible=False
            )
        with gr.Accordion(text("train_commands"), open=False) as self.fold:
            self.commands = gr.Textbox(
                label=text("train_commands_info"), lines=8, interactive=False, buttons=["copy"],
                elem_classes="command",
            )  # fmt: skip
            self.missing = gr.HTML(elem_classes="quiet")
            gr.HTML(f'<p class="quiet">{translate("one_step_info")}</p>')
            with gr.Row():
                self.one_step = [
                    gr.Button(text(f"button_{step}"), size="sm", min_width=120) for step in STEPS
                ]

    def _number(self, name: str, minimum: int, visible: bool = True) -> gr.Number:
        label, info = self._text(name), self._text(f"{name}_info")
        value = getattr(DEFAULTS, name)
        return gr.Number(
            value, minimum=minimum, precision=0, label=label, info=info, visible=visible
        )

    def _states(self, parent: str) -> list[tuple[str, int]]:
        """The states that one can branch from."""
        experiment = named(parent)
        steps = experiment.saved_steps() if experiment else []
        return [(self._text("newest_state"), 0), *((str(step), step) for step in reversed(steps))]

    def _connect(self, frame: Frame) -> None:
        progress, view = self.progress, self.progress.view
        progress.connect(self.name)
        given = [self.name, *self.settings]
        self.loaded = gr.State([])  # the settings that an experiment was opened with
        self.offer = gr.JSON(visible=False)  # what is to be put into the form
        limits = [self.minutes, self.epochs]
        shown = [self.offer, self.device, self.parent, self.parent_step, *limits, self.hardware,
                 self.loaded, self.embedder]  # fmt: skip
        take = {"fn": None, "js": TAKE_OFFER, "inputs": [self.offer, *given], "outputs": given}
        self.is_open = gr.State(False)
        frame.tab.select(
            self.open_tab, [self.is_open, *given], [self.is_open, self.name, *shown], **PRIVATE
        ).then(**take, **PRIVATE)
        self.name.change(self.open_experiment, [*given, self.loaded], shown, **PRIVATE).then(
            **take, **PRIVATE
        ).then(progress.refresh, [self.name, progress.seen], view, **PRIVATE)
        self.kind.input(
            self.recommend, self.kind,
            [self.hardware, self.embedder, self.device, self.batch_size, *limits],
            **PRIVATE,
        )  # fmt: skip
        self.parent.input(
            lambda parent: gr.update(choices=self._states(parent), value=0),
            self.parent, self.parent_step, **PRIVATE,
        )  # fmt: skip
        # of changes in one moment gradio asks for each at once, and an older one may arrive last
        asked, answered = gr.Number(visible=False), gr.State(0.0)
        gr.on(
            [self.fold.expand, *(widget.change for widget in self.settings)], self.preview,
            [answered, asked, *given], [answered, self.commands, self.missing],
            js="(answered, asked, ...given) => [answered, performance.now(), ...given]",
            trigger_mode="always_last", **PRIVATE,
        )  # fmt: skip
        self.check.click(self.check_dataset, given, view, **PRIVATE)
        self.files.upload(
            self.add_files, [self.name, self.files], [self.dataset, self.files, self.added],
            **PRIVATE,
        ).success(self.check_dataset, given, view, **PRIVATE)  # fmt: skip
        self.report.change(
            self.offer_to_set_aside, [self.name, self.dataset], [self.aside, self.back], **PRIVATE
        )
        for button, function in ((self.aside, self.set_aside), (self.back, self.bring_back)):
            button.click(function, [self.name, self.dataset], self.added, **PRIVATE).success(
                self.check_dataset, given, view, **PRIVATE
            )
        progress.start.click(self.train, given, view, **PRIVATE)
        for number, button in enumerate(self.one_step):
            button.click(
                lambda name, *values, number=number: self.train(name, *values, only=number),
                given, view, **PRIVATE,
            )  # fmt: skip

    # what the page does

    def open_tab(self, is_open: bool, name: str | None, *values: Any) -> Updates:
        """Show the experiment that is worked on, else the one chosen, else the last one.

        Once: an opened tab stays as its user left it.
        """
        if is_open:
            return {self.offer: None}
        known = experiments()
        active = [each for each, job in self._jobs.all().items() if job.is_active]
        chosen = next(iter([*active, *filter(None, [name]), *known]), None)
        updates = self.open_experiment(chosen, *values, [])
        updates[self.offer]["seen"][0] = name
        return {self.is_open: True, self.name: gr.update(choices=known), **updates}

    def open_experiment(self, name: str | None, *values: Any) -> Updates:
        """Offer the settings that an experiment was left with; values: the form, what was loaded.

        A new one keeps what the user has filled in, but nothing that was loaded with another.
        """
        *values, loaded = values
        experiment = named(name)
        saved = read_settings(experiment) if experiment else None
        is_untouched = values == (loaded or list(astuple(DEFAULTS)))
        settings = saved or (DEFAULTS if is_untouched else Settings(*values))
        choice = hardware.choose(settings.version, settings.sample_rate)
        if settings is DEFAULTS:
            settings = replace(
                DEFAULTS, batch_size=choice.batch_size, processes=choice.processes,
                f0_method=default_f0_method(),
                device=choice.device if len(choice.devices) > 2 else DEFAULTS.device,
            )  # fmt: skip
        others = [each for each in experiments() if each != name]
        states = self._states(settings.parent)
        if settings.parent not in others:  # it is gone, and so may be a state of it
            settings = replace(settings, parent="", parent_step=0)
        elif settings.parent_step not in [step for _, step in states]:
            settings = replace(settings, parent_step=0)
        return {
            self.offer: {"seen": [name, *values], "wanted": [name, *astuple(settings)]},
            self.parent: gr.update(choices=["", *others]),
            self.parent_step: gr.update(choices=states),
            self.loaded: list(astuple(settings)),
            **self._machine(settings, choice),
        }

    def recommend(self, kind: str) -> Updates:
        """Say what the chosen family runs with here."""
        settings = Settings(kind=kind)
        choice = hardware.choose(settings.version, settings.sample_rate)
        return {**self._machine(settings, choice), self.batch_size: choice.batch_size}

    def _machine(self, settings: Settings, choice: hardware.Choice) -> Updates:
        """What a family can be trained on here, and for how long."""
        embedders = installed_embedders()
        is_free = traits(settings.version).takes_embedders and len(embedders) > 1
        return {
            self.embedder: gr.update(choices=["", *embedders], visible=is_free),
            self.hardware: _reasons_html(choice),
            self.device: gr.update(choices=[("auto", "auto"), *choice.devices]),
            self.minutes: gr.update(visible=not settings.counts_epochs),
            self.epochs: gr.update(visible=settings.counts_epochs),
        }

    def preview(self, answered: float, asked: float, name: str | None, *values: Any) -> list[Any]:
        """Return the commands that Train runs, one a line, or else what is still missing.

        asked: when, in milliseconds; what was asked before the last answer changes nothing.
        """
        if asked < answered:
            return [gr.skip()] * 3
        try:
            steps = commands(experiment_of(name), Settings(*values))
        except (ValueError, TypeError) as error:
            return [asked, "", error_html(error)]
        return [asked, "\n".join(printable(argv_of(each)) for each in steps), ""]

    def add_files(self, name: str | None, files: list[str]) -> Updates:
        """Put uploaded recordings into the experiment's own dataset folder."""
        experiment = _experiment_of(name)
        folder = config.DATASETS / plain_name(experiment.name)
        with shown_errors():
            taken = take_recordings(map(Path, files), folder)
        for problem in taken.problems:
            gr.Warning(error_html(problem))
        return {
            self.dataset: from_root(folder),
            self.files: None,
            self.added: translate("files_added", count=len(taken.paths), folder=from_root(folder)),
        }

    def offer_to_set_aside(self, name: str | None, dataset: str | None) -> list[Any]:
        """Offer to set suspects aside, or to bring them back, where the recordings are ours."""
        folder = _own_dataset(name, dataset)
        suspects = len(_suspects(name)) if folder else 0
        return [
            gr.update(visible=bool(suspects)),
            gr.update(visible=bool(folder and are_aside(folder))),
        ]

    def set_aside(self, name: str | None, dataset: str | None) -> str:
        """Set what the report suspects aside; nothing is deleted."""
        folder = _own_dataset(name, dataset)
        with shown_errors():
            moved = set_aside(folder, _suspects(name)) if folder else []
        return translate("were_set_aside", names=", ".join(path.name for path in moved))

    def bring_back(self, name: str | None, dataset: str | None) -> str:
        """Bring back what was set aside."""
        folder = _own_dataset(name, dataset)
        with shown_errors():
            moved = bring_back(folder) if folder else []
        return translate("were_brought_back", names=", ".join(path.name for path in moved))

    def train(self, name: str | None, *values: Any, only: int | None = None) -> Updates:
        """Start all steps, or only one of them; what is done already is skipped by the steps."""
        _experiment_of(name)
        with shown_errors():
            start_training(self._jobs, name, Settings(*values), only)
        return self.progress.refresh(name, {})

    def check_dataset(self, name: str | None, *values: Any) -> Updates:
        """Start the report on the recordings; it is shown when it is ready."""
        _experiment_of(name)
        with shown_errors():
            start_check(self._jobs, name, Settings(*values))
        return self.progress.refresh(name, {})


def _experiment_of(name: str | None) -> Experiment:
    """The experiment of that name; that it is none is shown beside the name."""
    with shown_errors(NAME_ID):
        return experiment_of(name)


def _own_dataset(name: str | None, dataset: str | None) -> Path | None:
    """The folder of uploaded recordings, None for one elsewhere: that is the user's own."""
    experiment = named(name)
    if experiment is None:
        return None
    folder = config.DATASETS / plain_name(experiment.name)
    return folder if folder.is_dir() and dataset == from_root(folder) else None


def _suspects(name: str | None) -> list[str]:
    """Recordings of the newest report that a training is better without."""
    experiment = named(name)
    try:
        report = read_report(experiment.report_file) if experiment else None
    except (OSError, ValueError, KeyError, TypeError):
        return []  # there is none, or another version wrote it
    recordings = report.recordings if report else ()
    return [each.path for each in recordings if SUSPECT & set(each.problems)]


def _head(number: int, name: str) -> str:
    return f'<h2 class="step-head" data-step="{number}">{translate(name)}</h2>'


def _reasons_html(choice: hardware.Choice) -> str:
    reasons = sentences(*(translate(name, **values) for name, values in choice.reasons))
    return f'<p class="quiet">{reasons}</p>'
