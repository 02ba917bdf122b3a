"""The tab that converts: a voice, recordings, settings, and what came of them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

import config
from errors import UserError
from infer.f0 import QUICK_METHOD
from infer.options import EXACT_SUFFIXES
from options import command, printable
from tools.convert.client import ConversionCancelled, ConversionError
from tools.jobs.results import new_result
from tools.jobs.takes import BY_HAND, recording_of
from tools.voices import choices
from tools.voices.library import from_root
from tools.web.errors import chosen_voice, error_html, page_error, shown_errors
from tools.web.frame import Frame, reread_voices
from tools.web.i18n import explained, translate
from tools.web.tabs.convert_batch import BatchPanel
from tools.web.tabs.convert_blind import BlindPanel
from tools.web.tabs.convert_settings import (
    NAMES,
    PRIVATE,
    SettingsPanel,
    options_of,
    speakers_of,
)
from tools.web.tabs.convert_takes import TakesPanel
from tools.web.units import clock_text, duration_text
from tools.web.views.stage import BROWSERS_PLAY, build_stage, track
from tools.web.views.voice_cards import pitch_html

EXAMPLES = config.ASSETS / "examples"
START_ID = "convert-start"
QUIET_LUFS = -33.0  # below it a recording is too quiet to be heard beside others


class ConvertTab:
    """One recording or many, to one voice."""

    def __init__(self, frame: Frame) -> None:
        self._session = frame.session
        self._text = frame.text
        self.facts = gr.State(None)  # of the voice, as the conversion process describes it
        self.measured = gr.State(None)  # of the recording, as tools.convert.listen describes it
        self.last = gr.State(None)  # name of the newest take
        self.running = gr.State(None)  # number of the request that this page waits for
        with gr.Row():
            with gr.Column():
                self._build_voice()
                with gr.Tabs(elem_classes="modes"):
                    with gr.Tab(frame.text("one_recording"), id="one") as one:
                        self._build_source()
                    with gr.Tab(frame.text("many_recordings"), id="many") as many:
                        self.batch = BatchPanel(frame)
                self.settings = SettingsPanel(frame)
                with gr.Row() as single_start:
                    self._build_start()
                self.queued = gr.HTML(elem_classes="quiet")
                with gr.Column(visible=False) as batch_start:
                    self.batch.build_start()
                self.settings.build_more()
            with gr.Column():
                with gr.Column() as single_side:
                    self._build_result()
                    self.tray = TakesPanel(frame, self.stage)
                    self.blind = BlindPanel(frame, self.stage, self.tray.wanted)
                    self._build_command()
                with gr.Column(visible=False) as batch_side:
                    self.batch.build_results()
        parts = {single_start: True, single_side: True, self.settings.advice: True,
                 batch_start: False, batch_side: False}  # fmt: skip
        for tab, is_single in ((one, True), (many, False)):
            tab.select(
                lambda single=is_single: {
                    part: gr.update(visible=of_single == single)
                    for part, of_single in parts.items()
                },
                outputs=list(parts),
                **PRIVATE,
            )
        self._connect(frame)

    def _build_voice(self) -> None:
        text = self._text
        with gr.Row(elem_classes="inline"):
            self.voice = gr.Dropdown(
                choices.voices(), label=text("voice"), info=text("voice_info"), scale=5
            )
            self.reread = gr.Button(text("reread"), size="sm", scale=1, min_width=80)
        self.about = gr.HTML(translate("voice_reading"), elem_classes="quiet")

    def _build_source(self) -> None:
        text = self._text
        self.source = gr.Audio(type="filepath", label=text("source"), editable=False, buttons=[])
        with gr.Row(visible=False, elem_classes="inline") as self.chosen:  # the stage plays it
            self.chosen_name = gr.HTML()
            self.another = gr.Button(text("source_another"), size="sm", min_width=120)
        self.problem = gr.HTML()
        with gr.Row(elem_classes="inline offers"):
            gr.HTML(translate("examples"), elem_classes="quiet")
            for name in ("english", "italian"):
                example = gr.Button(text(f"example_{name}"), size="sm", min_width=120)
                path = str(EXAMPLES / f"{name}.flac")
                example.click(lambda path=path: path, outputs=self.source, **PRIVATE)
            # the player itself takes audio only
            other = gr.UploadButton(
                text("source_other"), size="sm", min_width=120, elem_id="source-other"
            )
            other.upload(lambda file: file, other, self.source, **PRIVATE)

    def _build_start(self) -> None:
        text = self._text
        self.start = gr.Button(
            text("convert"), variant="primary", scale=3, min_width=120, elem_id=START_ID
        )
        self.stop = gr.Button(text("stop"), interactive=False, scale=1, min_width=80)

    def _build_result(self) -> None:
        self.stage = build_stage()
        self.summary = gr.HTML(
            f'<p class="waiting">{translate("result_empty")}</p>', elem_classes="quiet summary"
        )

    def _build_command(self) -> None:
        text = self._text
        with gr.Accordion(text("command_line"), open=False):
            self.command = gr.Textbox(
                label=text("command"),
                info=text("command_info"),
                lines=3,
                interactive=False,
                buttons=["copy"],
                elem_classes="command",
            )

    def _connect(self, frame: Frame) -> None:
        settings = self.settings
        settings.follow(self.voice)
        speaker = settings.widgets["speaker"]
        described = [self.about, self.facts, *settings.fitted]
        fit = {
            "fn": settings.fit_pitch,
            "inputs": [self.facts, self.measured, speaker, settings.pitch],
            "outputs": [settings.fitting, settings.semitones],
            **PRIVATE,
        }
        renew = {  # what was set by hand was for another voice or recording
            "fn": lambda way, automatic: automatic if way == BY_HAND else gr.skip(),
            "inputs": [settings.pitch, settings.automatic],
            "outputs": settings.pitch,
            **PRIVATE,
        }
        describe = {"fn": self.describe, "inputs": self.voice, "outputs": described, **PRIVATE}
        reread = {"fn": reread_voices, "inputs": self.voice, "outputs": self.voice, **PRIVATE}
        self.voice.input(**renew).then(**describe).then(**fit)
        for event in (frame.page.load, self.reread.click):
            event(**reread).then(**describe).then(**fit)
        frame.tabs.change(**reread, show_progress="hidden")  # another tab may have made a voice
        frame.use.change(
            lambda use: gr.update(choices=choices.voices(), value=use[0]), frame.use, self.voice,
            **PRIVATE,
        ).then(**describe).then(**renew).then(**fit)  # fmt: skip
        speaker.input(**renew).then(**fit)
        settings.pitch.input(**fit)
        self.another.click(lambda: None, outputs=self.source, **PRIVATE)
        # renewed first: what is set by hand while the recording is measured stays
        self.source.change(
            lambda way, automatic, source, staged: gr.skip()
            if way != BY_HAND or source == on_stage(staged) else automatic,
            [settings.pitch, settings.automatic, self.source, self.stage], settings.pitch,
            **PRIVATE,
        ).then(
            self.listen,
            [self.source, self.stage],
            [
                self.measured, self.problem, self.stage, self.last,
                self.source, self.chosen, self.chosen_name,
            ],
            **PRIVATE,
        ).then(**fit)  # fmt: skip
        made = {
            "outputs": [
                self.stage, self.summary, self.command, self.stop, self.running, self.last,
                self.queued,
            ],
            "show_progress_on": self.summary,
            "concurrency_limit": None,  # the conversion process works on one after the other
            **PRIVATE,
        }  # fmt: skip
        given = [
            self.voice, self.stage, self.source, self.measured, settings.pitch, *settings.values
        ]  # fmt: skip
        for event, function in (
            (self.start.click, self.convert), (self.stage.again, self.convert_part)
        ):  # fmt: skip
            event(function, given, **made).then(**self.tray.refreshed).then(
                self.draw, [self.last, self.stage], self.stage, show_progress="hidden", **PRIVATE
            )
        self.stage.measure(
            self.measure_curve, [self.stage, self.source, settings.widgets["f0_method"]],
            [self.stage, self.source], show_progress="hidden", concurrency_limit=None, **PRIVATE,
        )  # fmt: skip
        self.tray.follow(self.voice, self.source, settings, describe, fit)
        self.blind.connect(
            self.voice, self.source, self.measured, settings.values,
            {"running": self.running, "stop": self.stop, "summary": self.summary},
        )  # fmt: skip
        settings.song.click(
            lambda source: (Frame.given(source or ""), gr.Tabs(selected="song")),
            self.source, [frame.song, frame.tabs], **PRIVATE,
        )  # fmt: skip
        self.stop.click(self.cancel, self.running, queue=False, **PRIVATE)
        self.batch.connect(self.voice, settings.pitch, settings.values)

    def describe(self, voice: str | None) -> list[Any]:
        """Load a voice; tell what it is and fit the settings to it."""
        facts, said = None, translate("voice_empty")
        if voice:
            try:
                facts = self._session.load(Path(voice)).result()
                said = _about(facts)
            except ConversionError as error:
                said = f'<span class="alert">{error_html(error)}</span>'
        return [said, facts, *self.settings.fit(facts, voice)]

    def listen(self, source: str | None, staged: dict[str, Any] | None) -> Iterator[dict[Any, Any]]:
        """Measure a recording and put it on the stage; one that cannot be read says why."""
        shown = {
            self.source: gr.update(visible=not source), self.chosen: gr.update(visible=bool(source))
        }  # fmt: skip
        empty = {self.measured: None, self.problem: "", self.stage: {}, self.last: None}
        if not source:
            yield {**shown, **empty}
            return
        if source == on_stage(staged):  # it came from the stage
            del empty[self.stage], empty[self.last]
        path = Path(source)
        name = f"<strong>{escape(path.name)}</strong>"
        yield {**shown, **empty, self.chosen_name: name}
        try:
            measured = self._session.listen(path, QUICK_METHOD).result()
            measured["heard"] = str(self._playable(path))
        except ConversionError as error:
            said = error_html(error.rename(path, path.name))
            yield {self.problem: f'<p class="alert" role="alert">{said}</p>'}
        else:
            length = clock_text(measured["seconds"] or 0)
            level = measured["loudness_db"]
            quiet = translate("source_quiet", level=f"{level:.0f}") if level < QUIET_LUFS else ""
            shown = {
                self.problem: f'<p class="quiet">{quiet}</p>' if quiet else "",
                self.measured: measured,
                self.chosen_name: f"{name} <span class='quiet'>{length}</span>",
            }
            if self.stage in empty:
                shown[self.stage] = {"a": track(Path(measured["heard"]), measured), "b": None}
            yield shown

    def _playable(self, path: Path) -> Path:
        """Return the recording, or a copy of it that every browser plays."""
        if path.suffix.lower() in BROWSERS_PLAY:
            return path
        copy = Path(tempfile.mkdtemp(prefix="rvc-webui-heard-", dir=get_upload_folder()))
        self._session.match([path], [copy / f"{path.stem}.wav"]).result()
        return copy / f"{path.stem}.wav"

    def measure_curve(
        self, staged: dict[str, Any] | None, source: str | None, f0_method: str
    ) -> dict[Any, Any]:
        """Measure the melody of the recording on stage, to be edited; Convert takes that one."""
        path = on_stage(staged)
        if not path:
            raise gr.Error(translate("source_missing"), print_exception=False)
        try:
            melody = self._session.melody(Path(path), f0_method).result()["f0"]
        except ConversionError as error:
            raise page_error(error.rename(Path(path), Path(path).name)) from error
        shown = {self.stage: {**(staged or {}), "curve": " ".join(map(str, melody))}}
        return shown if source else {**shown, self.source: path}

    def convert(
        self,
        voice: str | None,
        staged: dict[str, Any] | None,
        source: str | None,
        measured: dict[str, Any] | None,
        pitch: str,
        progress: gr.Progress = gr.Progress(),  # gradio puts it in by its place
        *values: Any,
    ) -> Iterator[dict[Any, Any]]:
        """Convert a recording; gives the new recording, what it took, and the command."""
        path = chosen_voice(voice)
        if not source:
            raise gr.Error(translate("source_missing"), print_exception=False)
        format = values[NAMES.index("format")]
        output = Path(from_root(new_result(Path(source), path, format)))
        edited, cover = None, ""
        if on_stage(staged) in (source, (measured or {}).get("heard")):
            edited = (staged or {}).get("edited")
            with suppress(UserError):  # there is no result yet
                cover = self.tray.on_stage(staged or {}).cover
        note = {"source": source, "pitch": pitch, "cover": cover,
                "heard": {"a": measured} if measured else {}}  # fmt: skip
        yield from self._make(str(voice), values, output, edited, note, {}, progress)

    def convert_part(
        self,
        voice: str | None,
        staged: dict[str, Any] | None,
        source: str | None,
        measured: dict[str, Any] | None,
        pitch: str,
        progress: gr.Progress = gr.Progress(),  # gradio puts it in by its place
        *values: Any,
    ) -> Iterator[dict[Any, Any]]:
        """Convert the part that is chosen on stage again, into a new take beside the one before."""
        path, staged = chosen_voice(voice), staged or {}
        with shown_errors():
            before = self.tray.on_stage(staged)
            first, last = (round(float(second), 3) for second in staged["part"])
        if not Path(before.source).is_file():
            raise gr.Error(translate("part_missing"), print_exception=False)
        into = self.tray.takes.path(before)
        format = into.suffix[1:] if into.suffix in EXACT_SUFFIXES else "wav"
        output = Path(from_root(new_result(Path(f"{recording_of(before)}.wav"), path, format)))
        note = {"source": before.source, "heard": {"a": before.heard["a"]} if before.heard else {},
                "pitch": pitch, "into": before.name, "part": (first, last),
                "cover": before.cover}  # fmt: skip
        more = {"into": Path(from_root(into)), "from_": first, "to": last}
        yield from self._make(
            str(voice), values, output, staged.get("edited"), note, more, progress
        )

    def _make(
        self,
        voice: str,
        values: Sequence[Any],
        output: Path,
        edited: str | None,
        note: dict[str, Any],
        more: dict[str, Any],
        progress: gr.Progress,
    ) -> Iterator[dict[Any, Any]]:
        """Make a take. edited: the melody in Hz, if it was drawn; more: options beside the form."""
        takes, source = self.tray.takes, Path(note["source"])
        try:
            if edited:
                more = {**more, "f0_file": Path(from_root(takes.write_curve(output.name, edited)))}
            options = options_of(values, chosen_voice(voice), source, output, **more)
            settings = dict(zip(NAMES, values, strict=True))
            takes.begin(output, voice, settings=settings, is_drawn=bool(edited), **note)
        except (ValueError, OSError) as error:
            raise page_error(error) from error
        is_queued = self._session.is_converting
        started = time.monotonic()
        request = self._session.convert(options)
        yield {
            self.queued: translate("result_queued") if is_queued else "",
            self.running: request.number,
            self.stop: gr.update(interactive=True),
            self.command: printable(command(options)),
        }
        over = {
            self.running: None,
            self.stop: gr.update(interactive=False),
            self.queued: "",
        }
        try:
            outcome = request.result(progress)
        except ConversionCancelled:
            takes.forget(output.name)
            yield {**over, self.summary: translate("result_stopped")}
        except ConversionError as error:
            takes.forget(output.name)
            yield over
            raise page_error(error.rename(source, source.name), START_ID) from error
        else:
            said = translate(
                "took",
                audio=duration_text(outcome["audio_seconds"]),
                spent=duration_text(time.monotonic() - started),
                file=output,
            )
            yield {
                **over,
                self.stage: self.tray.staged(takes.find(output.name), is_new=True),
                self.summary: said,
                self.last: output.name,
            }

    def draw(self, last: str | None, staged: dict[str, Any] | None) -> Any:
        """Put the melody and the loudness of the newest take on the stage, if it is there still."""
        if not last or ((staged or {}).get("b") or {}).get("take") != last:
            return gr.skip()
        take = self.tray.measured(self.tray.takes.find(last))
        return self.tray.staged(take, is_new=True)

    def cancel(self, running: int | None) -> None:
        """Give up the conversion that this page waits for."""
        if running is not None:
            self._session.cancel(running)


def on_stage(staged: dict[str, Any] | None) -> str:
    """The file of the recording that is on stage, "" for none and for what was never given here."""
    path = Path((((staged or {}).get("a") or {}).get("file") or {}).get("path", ""))
    is_ours = path.resolve().is_relative_to(Path(get_upload_folder()).resolve())
    return str(path) if is_ours and path.is_file() else ""


def _about(facts: dict[str, Any]) -> str:
    """What a voice is, in one line."""
    hertz = facts["f0_median"].get("0")
    parts = [explained(facts["version"], "kind_info"), f"{facts['sample_rate'] / 1000:g} kHz"]
    if hertz:
        parts.append(pitch_html(hertz, facts["f0_range"].get("0")))
    if facts["num_speakers"] > 1:
        parts.append(translate("about_speakers", count=len(speakers_of(facts))))
    parts.append(explained("about_index" if facts["index"] else "about_no_index", "index_info"))
    if (facts["gpu_gib"] or config.SMALL_GPU) < config.SMALL_GPU:
        parts.append(translate("about_small_gpu", memory=f"{facts['gpu_gib']:.1f}"))
    return " · ".join(parts)
