"""The tab that converts one recording."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import gradio as gr

import config
from infer.options import AUDIO_FORMATS, ConvertOptions, command, default_of, printable
from tools.web import choices
from tools.web.frame import Frame
from tools.web.session import ConversionCancelled, ConversionError

RESULTS = config.ROOT / "results"
EXAMPLES = config.ASSETS / "examples"
OPTIONS = {item.name: item for item in fields(ConvertOptions)}


class ConvertTab:
    """Widgets whose values become ConvertOptions, and what is shown of the conversion."""

    def __init__(self, frame: Frame) -> None:
        self._session = frame.session
        self._text = frame.text
        with gr.Row():
            with gr.Column():
                self._build_source()
                settings = self._build_settings()
            with gr.Column():
                self._build_result()
        self.running = gr.State(None)
        self.start.click(
            self.convert,
            inputs=[self.voice, self.source, *settings],
            outputs=[self.result, self.summary, self.command, self.stop, self.running],
            show_progress_on=self.result,
            concurrency_limit=1,
            api_name="convert",
        )
        self.stop.click(self.cancel, self.running, queue=False, api_visibility="private")
        frame.page.load(self.refresh, self.voice, self.voice, api_visibility="private")

    def _build_source(self) -> None:
        text = self._text
        known = choices.voices()
        self.voice = gr.Dropdown(known, label=text("voice"), info=text("voice_info"))
        self.source = gr.Audio(
            type="filepath", label=text("source"), editable=False, buttons=["download"]
        )
        gr.Markdown(text("examples"))
        with gr.Row():
            for name in ("english", "italian"):
                example = gr.Button(text(f"example_{name}"), size="sm", min_width=120)
                example.click(
                    lambda path=EXAMPLES / f"{name}.flac": str(path),
                    outputs=self.source,
                    api_visibility="private",
                )

    def _build_settings(self) -> list[gr.components.Component]:
        """Lay out the settings; returns them in the order in which `convert` takes them."""
        settings: list[gr.components.Component] = [self._slider("semitones", -24, 24, 1)]
        with gr.Accordion(self._text("more_settings"), open=False):
            methods = OPTIONS["f0_method"]
            settings.append(
                self._dropdown("f0_method", methods.metadata["choices"], default_of(methods))
            )
            for name in ("index_rate", "protect", "rms_mix_rate"):
                settings.append(self._slider(name, *OPTIONS[name].metadata["within"], 0.01))
            settings.append(self._dropdown("format", AUDIO_FORMATS[1:], "wav"))
        return settings

    def _slider(self, name: str, lowest: float, highest: float, step: float) -> gr.Slider:
        label, info = self._text(name), self._text(f"{name}_info")
        default = default_of(OPTIONS[name])
        return gr.Slider(lowest, highest, default, step=step, label=label, info=info)

    def _dropdown(self, name: str, offered: tuple[str, ...], value: str) -> gr.Dropdown:
        label, info = self._text(name), self._text(f"{name}_info")
        return gr.Dropdown(list(offered), value=value, label=label, info=info)

    def _build_result(self) -> None:
        text = self._text
        with gr.Row():
            self.start = gr.Button(text("convert"), variant="primary", scale=3, min_width=120)
            self.stop = gr.Button(text("stop"), interactive=False, scale=1, min_width=80)
        self.result = gr.Audio(label=text("result"), interactive=False, buttons=["download"])
        self.summary = gr.Markdown(text("result_empty"))
        self.command = gr.Textbox(
            label=text("command"),
            info=text("command_info"),
            lines=3,
            interactive=False,
            buttons=["copy"],
            elem_classes="command",
        )

    def convert(
        self,
        voice: str,
        source: str,
        semitones: float,
        f0_method: str,
        index_rate: float,
        protect: float,
        rms_mix_rate: float,
        format: str,
        progress: gr.Progress = gr.Progress(),
    ) -> Iterator[dict[Any, Any]]:
        """Convert a recording; gives the new recording, what it took, and the command."""
        if not voice:
            raise gr.Error("Choose a voice first.", print_exception=False)
        if not source:
            raise gr.Error("Choose or record something to convert first.", print_exception=False)
        options = ConvertOptions(
            voice=Path(voice),
            input=Path(source),
            output=_new_result(source, voice, format),
            semitones=semitones,
            f0_method=f0_method,
            index_rate=index_rate,
            protect=protect,
            rms_mix_rate=rms_mix_rate,
        )
        started = time.monotonic()
        request = self._session.convert(options)
        yield {
            self.running: request.number,
            self.stop: gr.update(interactive=True),
            self.command: printable(command(options)),
        }
        over = {self.running: None, self.stop: gr.update(interactive=False)}
        try:
            outcome = request.result(progress)
        except ConversionCancelled:
            yield {**over, self.summary: self._text("result_stopped")}
        except ConversionError as error:
            yield over
            raise gr.Error(str(error), duration=None, print_exception=False) from error
        else:
            took = f"{outcome['audio_seconds']:.1f} / {time.monotonic() - started:.1f}"
            yield {
                **over,
                self.result: str(config.ROOT / options.output),
                self.summary: f"{self._text('took')} {took} · `{options.output}`",
            }

    def cancel(self, running: int | None) -> None:
        """Give up the conversion that this page waits for."""
        if running is not None:
            self._session.cancel(running)

    def refresh(self, chosen: str | None) -> dict[str, Any]:
        """Read the voices again; what was chosen stays if it still exists."""
        known = choices.voices()
        paths = [path for _, path in known]
        value = chosen if chosen in paths else next(iter(paths), None)
        return gr.update(choices=known, value=value)


def _new_result(source: str, voice: str, format: str) -> Path:
    """Name a new file after the recording, the voice and the moment; seen from config.ROOT."""
    RESULTS.mkdir(exist_ok=True)
    moment = time.strftime("%Y%m%d-%H%M%S")
    stem = f"{Path(source).stem[:60]}_{Path(voice).stem}_{moment}"
    path, number = RESULTS / f"{stem}.{format}", 1
    while path.exists():
        number += 1
        path = RESULTS / f"{stem}_{number}.{format}"
    return path.relative_to(config.ROOT)
