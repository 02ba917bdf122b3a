"""What the Help tab does for a question: checks that run, and work that is done in place."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

import config
from infer.options import ConvertOptions
from options import command, printable
from tools.convert.client import ConversionError
from tools.jobs.results import RESULTS, new_result, unused_name
from tools.jobs.training import Settings, commands, experiments, read_settings
from tools.options import LiteTwinOptions
from tools.voices import choices
from tools.voices.library import Library, from_root
from tools.voices.zips import pack
from tools.web.errors import chosen_voice, error_html, page_error
from tools.web.frame import POLL_SECONDS, PRIVATE, Frame
from tools.web.i18n import translate
from tools.web.theme import WAVEFORM
from tools.web.views.dataset_check import Check, Checks
from tools.web.views.job_view import JobView, step_name
from tools.web.views.report_view import MARKS, report_html
from train.experiment import Experiment
from train.options import BuildIndexOptions

RATES = (0.0, 1.0)  # of the index, to be compared


class Answers:
    """Builds what stands below an answer; `connect` keeps its lists of voices new."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._session = frame.session
        self._jobs = frame.jobs
        self._checks = Checks()
        self._text = frame.text
        self._voices: list[gr.Dropdown] = []
        self._parts = {
            1: self._build_index, 2: self._build_trainings, 3: self._build_share,
            6: lambda: self._build_commands(_example_commands(), 8), 9: self._build_dataset,
            10: self._build_compare,
            12: self._build_go, 13: self._build_trainings, 15: self._build_go,
            18: self._build_trainings, 19: self._build_live, 20: self._build_song,
            22: lambda: self._build_commands(_twin_command(), 2),
        }  # fmt: skip

    def build(self, number: int) -> None:
        """Lay out what a question is answered with beside its words, inside its fold."""
        if number in self._parts:
            self._parts[number]()

    def connect(self, frame: Frame) -> None:
        """Read the voices again when the page or a tab is opened."""
        for event in (frame.page.load, frame.tabs.change):
            event(self._refresh, outputs=self._voices, show_progress="hidden", **PRIVATE)

    # layout

    def _build_go(self) -> None:
        go = gr.Button(self._text("help_go_train"), size="sm")
        go.click(lambda: gr.Tabs(selected="train"), outputs=self._frame.tabs, **PRIVATE)

    def _build_song(self) -> None:
        go = gr.Button(self._text("help_go_song"), size="sm")
        go.click(lambda: gr.Tabs(selected="song"), outputs=self._frame.tabs, **PRIVATE)

    def _build_live(self) -> None:
        go = gr.Button(self._text("help_go_live"), size="sm")
        go.click(lambda: gr.Tabs(selected="live"), outputs=self._frame.tabs, **PRIVATE)

    def _build_trainings(self) -> gr.HTML:
        check = gr.Button(self._text("help_trainings"), size="sm")
        found = gr.HTML()
        check.click(self.trainings, outputs=found, **PRIVATE)
        return found

    def _build_index(self) -> None:
        found = self._build_trainings()
        build = gr.Button(self._text("help_build_indexes"), size="sm")
        build.click(self.build_indexes, outputs=found, **PRIVATE)

    def _build_voice(self) -> gr.Dropdown:
        self._voices.append(gr.Dropdown([], label=self._text("help_voice")))
        return self._voices[-1]

    def _build_share(self) -> None:
        voice = self._build_voice()
        share = gr.Button(self._text("voices_share"), size="sm")
        zip_file = gr.File(label=self._text("voices_zip"), visible=False, interactive=False)
        share.click(self.share, voice, zip_file, **PRIVATE)

    def _build_commands(self, shown: str, lines: int) -> None:
        gr.Textbox(
            shown, label=self._text("help_commands"), lines=lines, interactive=False,
            buttons=["copy"], elem_classes="command",
        )  # fmt: skip

    def _build_dataset(self) -> None:
        folder = gr.Textbox(label=self._text("help_dataset"), max_lines=1)
        with gr.Row():
            start = gr.Button(self._text("help_dataset_check"), size="sm", scale=3)
            stop = gr.Button(
                self._text("stop"), size="sm", scale=1, min_width=80, interactive=False
            )
        found = gr.HTML(elem_id="dataset-report")
        mine = gr.BrowserState("", storage_key="rvc-dataset-check")
        timer = gr.Timer(POLL_SECONDS, active=False)
        refresh = {"fn": self.refresh_check, "inputs": mine, "outputs": [found, start, stop, timer],
                "show_progress": "hidden", **PRIVATE}  # fmt: skip
        start.click(self.begin_check, folder, mine, **PRIVATE)
        mine.change(**refresh)  # also when the browser remembers one, after the page's load
        stop.click(self._checks.stop, mine, queue=False, **PRIVATE)
        timer.tick(**refresh)

    def _build_compare(self) -> None:
        voice = self._build_voice()
        start = gr.Button(self._text("help_compare"), size="sm")
        with gr.Row(visible=False) as made:
            players = [
                gr.Audio(
                    waveform_options=WAVEFORM,
                    label=f"{self._text('index_rate')} {rate:g}",
                    interactive=False,
                    buttons=[],
                )
                for rate in RATES
            ]
        start.click(
            self.compare_index_rates, voice, [made, *players],
            concurrency_limit=1, concurrency_id="conversion", **PRIVATE,
        )  # fmt: skip

    # what is done

    def _refresh(self) -> list[dict[str, Any]]:
        known = choices.voices()
        first = known[0][1] if known else None
        return [gr.update(choices=known, value=first) for _ in self._voices]

    def trainings(self) -> str:
        """Say of every training what there is of voice and index, and where it failed."""
        rows = [self._training(Experiment.named(name)) for name in experiments()]
        if not rows:
            return f'<p class="waiting">{translate("training_none")}</p>'
        items = (
            f'<li class="report-{level}" data-mark="{MARKS[level]}">{said}</li>'
            for level, said in rows
        )
        return f'<ul class="report">{"".join(items)}</ul>'

    def _training(self, experiment: Experiment) -> tuple[str, str]:
        settings = read_settings(experiment)
        view = JobView.of(self._jobs, experiment)
        kind = settings.kind if settings else ""
        head = f"<strong>{escape(experiment.name)}</strong> {escape(kind)}: "
        job = view.job
        if job is not None and job.is_active:
            return "ok", f"{head}{translate('training_runs')}"
        if job is not None and job.state in ("failed", "interrupted", "stopped"):
            step = step_name(job.module)
            return (
                "problem",
                f"{head}{translate('training_ended_in')} {step}. {translate('training_go_on')}",
            )
        voice, indexes = _voice_of(experiment), experiment.indexes()
        if not voice.is_file():
            return "warning", f"{head}{translate('training_no_voice')}"
        if not indexes:
            return "problem", f"{head}{translate('training_no_index')}"
        there = translate("training_ready", voice=from_root(voice), index=indexes[0].name)
        return "ok", f"{head}{there}"

    def build_indexes(self) -> str:
        """Start building the index of every voice that lacks one; says what every training has."""
        lacking = [
            experiment
            for experiment in map(Experiment.named, experiments())
            if _voice_of(experiment).is_file() and not experiment.indexes()
        ]
        if not lacking:
            gr.Info(translate("training_none_lacks"))
        for experiment in lacking:
            folder = Path(from_root(experiment.root))
            try:
                self._jobs.start(experiment, [BuildIndexOptions(experiment=folder)])
            except ValueError as error:
                raise page_error(error) from error
        return self.trainings()

    def share(self, voice: str | None) -> Any:
        """Write a zip of voice, index, presets and picture."""
        path = chosen_voice(voice, "voices_choose")
        target = unused_name(RESULTS, path.stem, "zip")
        try:
            pack(Library(), path, target)
        except (ValueError, OSError) as error:
            raise page_error(error) from error
        return gr.update(value=str(target), visible=True)

    def compare_index_rates(self, voice: str | None) -> list[Any]:
        """Convert the example once without the index and once with it alone."""
        path = chosen_voice(voice, "voices_choose")
        made = []
        for rate in RATES:
            output = new_result(config.EXAMPLE, path, "wav")
            options = ConvertOptions(
                voice=path, input=config.EXAMPLE, output=output, index_rate=rate
            )
            try:
                self._session.convert(options).result()
            except ConversionError as error:
                raise page_error(error) from error
            made.append(str(output))
        return [gr.update(visible=True), *made]

    def begin_check(self, folder: str) -> str:
        """Start checking recordings; gives the name by which the browser finds the check again."""
        if not folder.strip():
            raise gr.Error(translate("help_dataset_none"), print_exception=False)
        try:
            return self._checks.start(folder)
        except (ValueError, OSError) as error:
            raise page_error(error) from error

    def refresh_check(self, name: str) -> list[Any]:
        """Return how far the browser's check is."""
        check = self._checks.find(name)
        is_running = check is not None and check.is_running
        return [
            _check_html(check),
            gr.update(interactive=not is_running),
            gr.update(interactive=is_running),
            gr.Timer(active=is_running),
        ]


def _check_html(check: Check | None) -> str:
    if check is None:
        return ""
    if check.report:
        return report_html(check.report)
    return (
        f'<p class="alert" role="alert">{error_html(check.error)}</p>'
        if check.error
        else (check.view.html())
    )


def _voice_of(experiment: Experiment) -> Path:
    return config.WEIGHTS / f"{experiment.name}.pth"


def _example_commands() -> str:
    """Training and converting from a terminal, with names to be replaced."""
    voice, recordings = Path("weights/NAME.pth"), Settings(dataset="FOLDER")
    steps = [
        *commands(Experiment.named("NAME"), recordings),
        ConvertOptions(voice=voice, input=Path("INPUT.wav"), output=Path("OUTPUT.wav")),
    ]
    return "\n".join(printable(command(each)) for each in steps)


def _twin_command() -> str:
    """A lite voice like another one, with names to be replaced."""
    asked = LiteTwinOptions(voice=Path("weights/NAME.pth"), speech=Path("FOLDER"))
    return printable(command(asked))
