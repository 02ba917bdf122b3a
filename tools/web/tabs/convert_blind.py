"""The blind test: several settings, equally loud and without names; the choice becomes a preset."""

from __future__ import annotations

import itertools
import random
import shutil
import time
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

import config
from infer.f0 import F0_METHODS, QUICK_METHOD, default_f0_method
from tools.convert.client import ConversionCancelled, ConversionError
from tools.jobs import results
from tools.jobs.training import saved_states, voice_of_state
from tools.options import INDEX_RATES
from tools.voices import choices
from tools.voices.library import from_root
from tools.voices.presets import save_preset
from tools.web.errors import chosen_voice, page_error, shown_errors
from tools.web.frame import Frame
from tools.web.i18n import translate
from tools.web.tabs.convert_settings import NAMES, PRIVATE, options_of
from tools.web.views.stage import track
from tools.web.views.tray import PRESSED, button_html
from train.experiment import Experiment

MOST = 12  # results to listen to
PRESET = "A/B"  # of no language: it is a name in a file


class BlindPanel:
    """What is compared, and the results in an order that only this program knows."""

    def __init__(self, frame: Frame, stage: gr.HTML, wanted: gr.State) -> None:
        text = frame.text
        self._session = frame.session
        self._stage, self._wanted = stage, wanted
        self.made = gr.State([])  # {voice, settings, file, heard} each, shuffled
        self.marks = gr.State({})  # which of them is chosen and which is playing, see _cards
        with gr.Accordion(text("blind"), open=False) as self.panel:
            gr.HTML(translate("blind_info"), elem_classes="quiet")
            self.voices = gr.Dropdown(
                choices.voices(), value=[], multiselect=True, label=text("blind_voices"),
                info=text("blind_voices_info"),
            )  # fmt: skip
            self.states = gr.Dropdown(
                [], value=[], multiselect=True, label=text("blind_states"),
                info=text("blind_states_info"),
            )  # fmt: skip
            self.rates = gr.CheckboxGroup(
                [(f"{rate:g}", rate) for rate in INDEX_RATES], value=[0.25, 0.5, 0.75],
                label=text("index_rate"),
            )  # fmt: skip
            self.methods = gr.CheckboxGroup(
                list(F0_METHODS), value=[default_f0_method()], label=text("f0_method")
            )
            self.start = gr.Button(text("blind_start"), size="sm")
            self.cards = gr.HTML(elem_id="blind", js_on_load=PRESSED)

    def connect(
        self,
        voice: gr.components.Component,
        source: gr.components.Component,
        measured: gr.State,
        values: Sequence[gr.components.Component],
        shown: dict[str, gr.components.Component],
    ) -> None:
        """Let the buttons work; shown: the tab's running, stop and summary."""
        self._shown = shown
        self.panel.expand(
            lambda: [gr.update(choices=choices.voices()), gr.update(choices=_states())],
            outputs=[self.voices, self.states], **PRIVATE,
        )  # fmt: skip
        self.start.click(
            self.make,
            [voice, source, self.voices, self.states, self.rates, self.methods, *values],
            [self.made, self.marks, self.cards, *shown.values()],
            show_progress_on=self.cards, concurrency_limit=None, **PRIVATE,
        )  # fmt: skip
        self.cards.select(
            self.press, [self.made, self.marks, measured],
            [self._stage, self.marks, self.cards, self._wanted], show_progress="hidden", **PRIVATE,
        )  # fmt: skip

    def make(
        self,
        voice: str | None,
        source: str | None,
        voices: list[str],
        states: list[str],
        rates: list[float],
        methods: list[str],
        progress: gr.Progress = gr.Progress(),  # gradio puts it in by its place
        *values: Any,
    ) -> Iterator[dict[Any, Any]]:
        """Convert the recording with every combination."""
        asked = list(itertools.product([*(voices or [voice]), *states], rates, methods))
        path = chosen_voice(voice)
        if not source:
            raise gr.Error(translate("source_missing"), print_exception=False)
        if not 2 <= len(asked) <= MOST:
            said = translate("blind_count", count=len(asked), most=MOST)
            raise gr.Error(said, print_exception=False)
        random.shuffle(asked)
        running, stop = self._shown["running"], self._shown["stop"]
        over = {running: None, stop: gr.update(interactive=False)}
        folder = results.new_folder(path)
        made: list[dict[str, Any]] = []
        extracted: dict[str, Path] = {}
        try:
            with shown_errors():
                extracted = {state: _voice_of(state, folder) for state in states}
            for number, (each, rate, method) in enumerate(asked):
                new = {"index_rate": rate, "f0_method": method, "format": "wav"}
                if each != voice:
                    new["index"] = ""  # that of another voice does not fit
                settings = {**dict(zip(NAMES, values, strict=True)), **new}
                output = folder / f"{number + 1}.wav"
                with shown_errors():
                    options = options_of(
                        [settings[name] for name in NAMES],
                        extracted.get(each) or choices.voice_path(each), Path(source),
                        Path(from_root(output)),
                    )  # fmt: skip
                request = self._session.convert(options)
                yield {running: request.number, stop: gr.update(interactive=True)}
                request.result(lambda share, n=number: progress((n + share) / len(asked)))
                heard = self._session.listen(output, QUICK_METHOD).result()
                made.append({"voice": each, "settings": settings, "file": str(output),
                             "heard": heard})  # fmt: skip
        except ConversionCancelled:
            shutil.rmtree(folder, ignore_errors=True)
            yield {**over, self._shown["summary"]: translate("result_stopped")}
        except ConversionError as error:
            shutil.rmtree(folder, ignore_errors=True)
            yield over
            raise page_error(error.rename(Path(source), Path(source).name)) from error
        else:
            yield {**over, self.made: made, self.marks: {}, self.cards: _cards(made)}
        finally:
            for path in extracted.values():  # that of the choice is made again, to stay
                path.unlink(missing_ok=True)

    def press(
        self,
        made: list[dict[str, Any]],
        marks: dict[str, int],
        measured: dict[str, Any] | None,
        event: gr.EventData,
    ) -> list[Any]:
        """Play a result without its name, or choose it: then all names are told."""
        number = int(event.name)
        each = made[number - 1]
        if event.act == "blind":
            levels = [one["heard"]["loudness_db"] for one in made]
            shown = {
                "a": track(Path(measured["heard"]), measured) if measured else None,
                "b": track(Path(each["file"]), each["heard"], f"№ {number}"),
                "level_db": min([*levels, *([measured["loudness_db"]] if measured else [])]),
                "play": f"{number} {time.time()}",
            }
            marks = {**marks, "playing": number}
            return [shown, marks, _cards(made, **marks), gr.skip()]
        with shown_errors():
            voice = each["voice"]
            if voice in dict(map(reversed, _states())):
                voice = from_root(_voice_of(voice))
            save_preset(choices.voice_path(voice), PRESET, each["settings"])
        wanted = {"voice": voice, "settings": each["settings"], "at": time.time()}
        marks = {**marks, "chosen": number}
        return [gr.skip(), marks, _cards(made, **marks), wanted]


def _states() -> list[tuple[str, str]]:
    """Return (name shown, path) of every saved state of a training."""
    return [(_name(path), from_root(path)) for path in saved_states()]


def _name(path: Path) -> str:
    return f"{path.parent.name}, {path.stem}" if path.stem.startswith("G_") else path.stem


def _voice_of(state: str, folder: Path | None = None) -> Path:
    """Make a voice of a saved state, in a folder or to stay. UserError."""
    path = config.ROOT / state
    return voice_of_state(Experiment(path.parent), int(path.stem.removeprefix("G_")), folder)


def _cards(made: list[dict[str, Any]], chosen: int = 0, playing: int = 0) -> str:
    """Return HTML of the results; chosen: the number that was, which tells all names.

    playing: the number that is on the stage, 0 = none.
    """
    rows = []
    for number, each in enumerate(made, 1):
        now = ' aria-current="true"' if number == playing else ""
        play = button_html("blind", str(number), f"▶ {number}", more=now)
        told = ""
        if chosen:
            settings, mark = each["settings"], " ★" if number == chosen else ""
            told = (f"{escape(_name(Path(each['voice'])))}, {translate('index_rate')} "
                    f"{settings['index_rate']:g}, {settings['f0_method']}{mark}")  # fmt: skip
        choose = "" if chosen else button_html("choose", str(number), translate("blind_choose"))
        rows.append(f"<li>{play}<span class='blind-words'>{told}</span>{choose}</li>")
    said = f'<p role="status">{translate("blind_chosen", name=PRESET)}</p>' if chosen else ""
    return f'<ul class="takes">{"".join(rows)}</ul>{said}'
