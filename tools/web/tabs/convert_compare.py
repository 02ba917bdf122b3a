"""The last results side by side, equally loud, each with its settings; and index rates compared."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import fields
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

import config
from infer.options import ConvertOptions
from options import command, default_of, printable
from tools.convert.client import ConversionCancelled, ConversionError
from tools.jobs import results
from tools.options import IndexRatesOptions
from tools.voices.library import from_root
from tools.web.errors import chosen_voice, page_error
from tools.web.frame import Frame
from tools.web.i18n import translate
from tools.web.tabs.convert_settings import NAMES, PRIVATE, options_of
from tools.web.theme import WAVEFORM

KEPT = 12  # results of a browser that can be compared
FIGURES = {"to_index": 3, "to_source": 2, "to_training": 2, "melody": 1, "voiced": 3}  # digits

Result = dict[str, Any]  # as `result_of` makes it


class ComparePanel:
    """Two pickers over what this browser has converted, and a player for each.

    The browser remembers its results. What it says of them is checked before it is used.
    """

    def __init__(self, frame: Frame) -> None:
        self._session = frame.session
        text = frame.text
        # newest first; the secret is fixed so that the list outlives a restart of the program
        self.made = gr.BrowserState([], storage_key="rvc-results", secret="results")
        self.sweep = gr.Button(text("compare_rates"), size="sm")
        with gr.Accordion(text("compare"), open=False) as self.panel:
            gr.HTML(translate("compare_info"), elem_classes="quiet")
            self.players: list[gr.Audio] = []
            self.captions: list[gr.HTML] = []
            self.pickers: list[gr.Dropdown] = []
            for letter in "AB":
                self.pickers.append(gr.Dropdown([], label=letter))
                self.players.append(
                    gr.Audio(
                        waveform_options=WAVEFORM,
                        label=letter,
                        show_label=False,
                        interactive=False,
                        buttons=["download"],
                    )
                )
                self.captions.append(gr.HTML(elem_classes="quiet"))
            self.table = gr.HTML()
        self.is_open = gr.State(False)
        matched = {
            "fn": self.match,
            "inputs": [self.is_open, self.made, *self.pickers],
            "outputs": [*self.players, *self.captions],
            **PRIVATE,
        }
        for picker in self.pickers:
            picker.input(**matched)
        self.panel.expand(lambda: True, outputs=self.is_open, **PRIVATE).then(**matched)
        self.panel.collapse(lambda: False, outputs=self.is_open, **PRIVATE)
        # also when the browser remembers some, after the page's load
        self.made.change(self.offer, self.made, [*self.pickers, self.table], **PRIVATE).then(
            **matched
        )

    def connect(
        self,
        voice: gr.components.Component,
        source: gr.components.Component,
        values: list[gr.components.Component],
        shown: dict[str, gr.components.Component],
    ) -> None:
        """Let the button work; shown: the tab's running, stop, command and summary."""
        self._shown = shown
        self.sweep.click(
            self.compare_rates,
            [voice, source, self.made, *values],
            [self.made, self.panel, self.is_open, *shown.values()],
            show_progress_on=shown["summary"],
            concurrency_limit=1,
            concurrency_id="conversion",
            **PRIVATE,
        )

    def add(self, made: list[Result], last: Result | None) -> list[Result]:
        """Put a new result in front."""
        made = checked_results(made)
        return made if last is None or last in made else [last, *made][:KEPT]

    def offer(self, made: list[Result]) -> list[Any]:
        """Offer the newest result against the one before, or against its source."""
        made = checked_results(made)
        if not made:
            return [gr.skip(), gr.skip(), ""]
        offered = [(each["name"], each["path"]) for each in made]
        sources = dict.fromkeys(each["source"] for each in made if _is_ours(each["source"]))
        offered += [(Path(source).name, source) for source in sources]
        together = [each for each in made if each["group"] == made[0]["group"]]
        other = together[-1] if len(together) > 1 else made[1] if len(made) > 1 else made[0]
        second = other["path"] if other is not made[0] else offered[-1][1]
        return [
            gr.update(choices=offered, value=made[0]["path"]),
            gr.update(choices=offered, value=second),
            _table(together[::-1]),
        ]

    def match(
        self, is_open: bool, made: list[Result], first: str | None, second: str | None
    ) -> list[Any]:
        """Give copies of both that are equally loud, and what each was made with."""
        if not is_open or not _is_ours(first) or not _is_ours(second):
            return [gr.skip()] * 4
        folder = Path(tempfile.mkdtemp(prefix="rvc-webui-compare-"))
        paths = [Path(first), Path(second)]
        targets = [folder / f"{letter}.wav" for letter in "AB"]
        try:
            changes = self._session.match(paths, targets).result()["changes_db"]
        except ConversionError as error:
            raise page_error(error) from error
        settings = {each["path"]: each["settings"] for each in checked_results(made)}
        captions = [
            " · ".join(filter(None, (escape(settings.get(path, "")), _turned_down(change))))
            for path, change in zip((first, second), changes, strict=True)
        ]
        return [*map(str, targets), *captions]

    def compare_rates(
        self,
        voice: str | None,
        source: str | None,
        made: list[Result],
        progress: gr.Progress = gr.Progress(),  # gradio puts it in by its place
        *values: Any,
    ) -> Iterator[dict[Any, Any]]:
        """Convert with several index rates; gives the results, newest first, with their figures."""
        shown, path = self._shown, chosen_voice(voice)
        if not source:
            raise gr.Error(translate("source_missing"), print_exception=False)
        try:
            options = options_of(values, path, Path(source), Path("unnamed"))
        except ValueError as error:
            raise page_error(error) from error
        folder = results.new_folder(path)
        options = _rates_options(options, folder, values[NAMES.index("format")])
        request = self._session.index_rates(options)
        yield {
            shown["running"]: request.number,
            shown["stop"]: gr.update(interactive=True),
            shown["command"]: printable(command(options)),
        }
        over = {shown["running"]: None, shown["stop"]: gr.update(interactive=False)}
        try:
            rows = request.result(progress)["rows"]
        except ConversionCancelled:
            shutil.rmtree(folder, ignore_errors=True)
            yield {**over, shown["summary"]: translate("result_stopped")}
        except ConversionError as error:
            shutil.rmtree(folder, ignore_errors=True)
            yield over
            raise page_error(error.rename(Path(source), Path(source).name)) from error
        else:
            found = [_rate_result(options, row, rows[0]) for row in rows[1:]]
            yield {
                **over,
                self.made: [*reversed(found), *checked_results(made)][:KEPT],
                self.panel: gr.update(open=True),
                self.is_open: True,
                shown["summary"]: translate("rates_made", folder=from_root(folder)),
            }


def _rates_options(options: ConvertOptions, folder: Path, format: str) -> IndexRatesOptions:
    """The same options for all index rates at once."""
    settings = {**vars(options), "output": Path(from_root(folder)), "format": format}
    del settings["index_rate"]
    return IndexRatesOptions(**settings)


def result_of(options: ConvertOptions) -> Result:
    """Return name, path, source, settings and group of a result that was just made."""
    return _result(options, _changed(options) or "semitones 0", str(options.output))


def _rate_result(options: IndexRatesOptions, row: dict[str, Any], source: dict[str, Any]) -> Result:
    others = _changed(options)
    settings = f"index rate {row['index_rate']:g}" + (f", {others}" if others else "")
    made = _result(options, settings, str(options.output))
    figures = {name: row[name] for name in FIGURES}
    rate = f"{row['index_rate']:g}"
    measured = {name: source[name] for name in FIGURES}
    return {
        **made, "path": str(config.ROOT / row["path"]),
        "rate": rate, "figures": figures, "source_figures": measured,
    }  # fmt: skip


def _result(options: ConvertOptions, settings: str, group: str) -> Result:
    return {
        "name": f"{time.strftime('%H:%M:%S')} {options.voice.stem}, {settings}",
        "path": str(config.ROOT / options.output),
        "source": str(options.input),
        "settings": settings,
        "group": group,
    }


def _changed(options: ConvertOptions) -> str:
    """Settings that are not the defaults, except those that stand in the file's name anyway."""
    common = ("voice", "input", "output", "format")
    return ", ".join(
        f"{item.name.replace('_', ' ')} {getattr(options, item.name)}"
        for item in fields(options)
        if item.name not in common and getattr(options, item.name) != default_of(item)
    )


def checked_results(made: Any) -> list[Result]:
    """What a browser remembers, without what is gone, or was never a result of this program."""
    texts = ("name", "path", "source", "settings", "group")
    return [
        each
        for each in (made if isinstance(made, list) else [])[:KEPT]
        if isinstance(each, dict)
        and all(isinstance(each.get(name), str) for name in texts)
        and _is_ours(each["path"])
    ]


def _is_ours(path: Any) -> bool:
    """Whether a file is there and a browser may hear it: a result, an example or an upload."""
    if not isinstance(path, str) or not path:
        return False
    folders = (results.RESULTS, config.ASSETS / "examples", Path(get_upload_folder()))
    resolved = Path(path).resolve()
    return resolved.is_file() and any(
        resolved.is_relative_to(folder.resolve()) for folder in folders
    )


def _table(made: list[Result]) -> str:
    """The figures of results with different index rates, the recording itself first."""
    made = [each for each in made if isinstance(each.get("figures"), dict)]
    if not made:
        return ""
    rows = [(translate("rates_source"), made[0].get("source_figures"))]
    rows += [(escape(str(each.get("rate"))), each["figures"]) for each in made]
    heads = "".join(f"<th>{translate(f'rates_{name}')}</th>" for name in ("rate", *FIGURES))
    lines = "".join(
        f"<tr><td>{head}</td>"
        + "".join(f"<td>{_figure(figures, name)}</td>" for name in FIGURES)
        + "</tr>"
        for head, figures in rows
    )
    return (
        f'<div class="wide"><table class="batch"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
        f'<p class="quiet">{translate("rates_info")}</p>'
    )


def _figure(figures: Any, name: str) -> str:
    value = figures.get(name) if isinstance(figures, dict) else None
    return f"{value:.{FIGURES[name]}f}" if isinstance(value, int | float) else "–"


def _turned_down(change: float) -> str:
    return translate("turned_down", decibels=f"{-change:.1f}") if change else ""
