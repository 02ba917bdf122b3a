"""The last results side by side, equally loud, each with its settings."""

from __future__ import annotations

import tempfile
import time
from dataclasses import fields
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

import config
from infer.options import ConvertOptions, default_of
from tools.web.errors import refusal
from tools.web.frame import Frame
from tools.web.i18n import spoken
from tools.web.session import ConversionError

KEPT = 12  # results of this page that can be compared


class ComparePanel:
    """Two pickers over what this page has converted, and a player for each."""

    def __init__(self, frame: Frame) -> None:
        self._session = frame.session
        text = frame.text
        self.made = gr.State([])  # newest first, as `result_of` makes them
        with gr.Accordion(text("compare"), open=False) as self.panel:
            gr.HTML(spoken("compare_info"), elem_classes="quiet")
            self.players: list[gr.Audio] = []
            self.told: list[gr.HTML] = []
            self.pickers: list[gr.Dropdown] = []
            with gr.Row():
                for letter in "AB":
                    with gr.Column(min_width=220):
                        self.pickers.append(gr.Dropdown([], label=letter))
                        self.players.append(
                            gr.Audio(
                                label=letter, show_label=False, interactive=False,
                                buttons=["download"],
                            )
                        )  # fmt: skip
                        self.told.append(gr.HTML(elem_classes="quiet"))
        self.is_open = gr.State(False)
        self.matched = {
            "fn": self.match,
            "inputs": [self.is_open, self.made, *self.pickers],
            "outputs": [*self.players, *self.told],
            "api_visibility": "private",
        }
        for picker in self.pickers:
            picker.input(**self.matched)
        self.panel.expand(lambda: True, outputs=self.is_open, api_visibility="private").then(
            **self.matched
        )
        self.panel.collapse(lambda: False, outputs=self.is_open, api_visibility="private")

    def add(
        self, made: list[dict[str, Any]], last: dict[str, Any] | None
    ) -> tuple[list[dict[str, Any]], dict[str, Any], dict[str, Any]]:
        """Put a new result in front; offer it against the one before, or against its source."""
        if last is None or (made and made[0] == last):
            return made, gr.skip(), gr.skip()
        made = [last, *made][:KEPT]
        offered = [(each["name"], each["path"]) for each in made]
        sources = dict.fromkeys(each["source"] for each in made)
        offered += [(Path(source).name, source) for source in sources]
        other = made[1]["path"] if len(made) > 1 else last["source"]
        return (
            made,
            gr.update(choices=offered, value=last["path"]),
            gr.update(choices=offered, value=other),
        )

    def match(
        self, is_open: bool, made: list[dict[str, Any]], first: str | None, second: str | None
    ) -> list[Any]:
        """Give copies of both that are equally loud, and what each was made with."""
        if not is_open or not first or not second:
            return [gr.skip()] * 4
        folder = Path(tempfile.mkdtemp(prefix="rvc-webui-compare-"))
        paths = [Path(first), Path(second)]
        targets = [folder / f"{letter}.wav" for letter in "AB"]
        try:
            changes = self._session.match(paths, targets).result()["changes_db"]
        except ConversionError as error:
            raise refusal(error) from error
        settings = {each["path"]: each["settings"] for each in made}
        told = [
            f"{escape(settings[path])} · {_turned_down(change)}"
            if path in settings
            else _turned_down(change)
            for path, change in zip((first, second), changes, strict=True)
        ]
        return [*map(str, targets), *told]


def result_of(options: ConvertOptions) -> dict[str, str]:
    """Return name, path, source and settings of a result that was just made."""
    common = ("voice", "input", "output")
    changed = [
        f"{item.name.replace('_', ' ')} {getattr(options, item.name)}"
        for item in fields(options)
        if item.name not in common and getattr(options, item.name) != default_of(item)
    ]
    settings = ", ".join(changed) or "semitones 0"
    return {
        "name": f"{time.strftime('%H:%M:%S')} {options.voice.stem}, {settings}",
        "path": str(config.ROOT / options.output),
        "source": str(options.input),
        "settings": settings,
    }


def _turned_down(change: float) -> str:
    return spoken("turned_down", decibels=f"{-change:.1f}") if change else ""
