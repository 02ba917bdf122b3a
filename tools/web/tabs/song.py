"""The Songs tab: a song, or its two stems, becomes a cover by one button."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import gradio as gr

import config
from errors import UserError
from infer.options import AUDIO_FORMATS
from options import default_of
from tools.jobs.covers import CoverJob, Covers
from tools.songs.kept import size_of, stage_folders
from tools.songs.options import CoverOptions
from tools.songs.video import VIDEO_SUFFIXES
from tools.voices import choices
from tools.web.errors import chosen_voice, error_html, page_error
from tools.web.frame import PRIVATE, Frame
from tools.web.i18n import translate
from tools.web.theme import WAVEFORM
from tools.web.units import duration_text, size_text

POLL_SECONDS = 1.0
OPTIONS = {item.name: item for item in CoverOptions.__dataclass_fields__.values()}
STAGES = ("separate", "dereverb", "denoise", "listen", "convert", "transpose", "voice", "mix")
PARTS = ("vocals", "voice", "accompaniment")  # parts of a cover, in this order
AUTOMATIC, OCTAVES = "auto", (-24, -12, 0, 12, 24)
SETTINGS = (
    "semitones", "transpose", "lead_db", "sides", "reverb", "compress", "de_ess", "high_pass",
    "denoise",
)  # fmt: skip
ACCOMPANIMENT = re.compile(  # in the name of a stem
    r"accomp|instrumental|karaoke|backing|rest|other|music|minus|no[-_ ]?voc|伴奏", re.IGNORECASE
)
SONG_TYPES = ["audio", "video"]


class SongTab:
    """Song and singer on one side, the cover and its parts on the other.

    A cover goes on when the page is closed; the browser remembers which one is its own.
    """

    def __init__(self, frame: Frame) -> None:
        self._text = frame.text
        self._covers = Covers()
        self.mine = gr.BrowserState("", storage_key="rvc-cover")
        self.shown = gr.State("")  # the cover whose players are filled
        self.timer = gr.Timer(POLL_SECONDS, active=False)
        with gr.Row():
            with gr.Column():
                self._build_song()
                self._build_settings()
                with gr.Row():
                    self._build_start()
            with gr.Column():
                self._build_cover()
        self._connect(frame)

    def _build_song(self) -> None:
        text = self._text
        self.mode = gr.State("song")
        with gr.Tabs(elem_classes="song-modes"):
            with gr.Tab(text("song_whole")) as whole:
                self.song = gr.File(
                    label=text("song"), file_types=SONG_TYPES, height=140, elem_id="song-file"
                )
                gr.HTML(translate("song_info"), elem_classes="quiet")
            with gr.Tab(text("song_stems")) as stems:
                with gr.Row():
                    self.vocals = gr.File(
                        label=text("song_vocals"),
                        file_count="multiple",  # both stems may come at once
                        file_types=SONG_TYPES,
                        height=140,
                        min_width=240,  # else a phone cuts their names off
                        elem_id="song-vocals",
                    )
                    self.accompaniment = gr.File(
                        label=text("song_accompaniment"),
                        file_types=SONG_TYPES,
                        height=140,
                        min_width=240,
                        elem_id="song-accompaniment",
                    )
                gr.HTML(translate("song_stems_info"), elem_classes="quiet")
        for tab, mode in ((whole, "song"), (stems, "stems")):
            tab.select(lambda mode=mode: mode, outputs=self.mode, **PRIVATE)
        self.voice = gr.Dropdown(
            choices.voices(), label=text("song_voice"), info=text("song_voice_info")
        )

    def _build_settings(self) -> None:
        text = self._text
        automatic = (text("song_automatic"), AUTOMATIC)
        widgets: dict[str, gr.components.Component] = {}
        with gr.Accordion(text("song_settings"), open=False):
            widgets["semitones"] = gr.Dropdown(
                [automatic, *((f"{number:+d}", str(number)) for number in OCTAVES)],
                value=AUTOMATIC, label=text("song_semitones"), info=text("song_semitones_info"),
                allow_custom_value=True,
            )  # fmt: skip
            for name, step in (
                ("transpose", 1), ("lead_db", 0.5), ("sides", 0.05), ("reverb", 0.05),
                ("compress", 0.05), ("de_ess", 0.05), ("high_pass", 10),
            ):  # fmt: skip
                low, high = OPTIONS[name].metadata["within"]
                widgets[name] = gr.Slider(
                    low, high, default_of(OPTIONS[name]), step=step,
                    label=text(f"song_{name}"), info=text(f"song_{name}_info"),
                )  # fmt: skip
            widgets["denoise"] = gr.Checkbox(
                default_of(OPTIONS["denoise"]),
                label=text("song_denoise"), info=text("song_denoise_info"),
            )  # fmt: skip
            self.format = gr.Dropdown(
                list(AUDIO_FORMATS[1:]), value="flac",
                label=text("song_format"), info=text("song_format_info"),
            )  # fmt: skip
        self.values = [widgets[name] for name in SETTINGS]

    def _build_start(self) -> None:
        text = self._text
        self.start = gr.Button(text("song_make"), variant="primary", scale=3, min_width=120)
        self.stop = gr.Button(text("stop"), interactive=False, scale=1, min_width=80)
        self.resume = gr.Button(text("resume_job"), visible=False, scale=1, min_width=80)

    def _build_cover(self) -> None:
        text = self._text
        self.status = gr.HTML(
            f'<p class="waiting">{translate("song_empty")}</p>',
            elem_classes="quiet", elem_id="song-status",
        )  # fmt: skip
        self.cover = gr.Audio(
            waveform_options=WAVEFORM, label=text("song_cover"), interactive=False,
            buttons=["download"], visible=False,
        )  # fmt: skip
        self.video = gr.Video(
            label=text("song_cover"), interactive=False, buttons=["download"], visible=False
        )
        with gr.Column(visible=False) as self.parts:
            gr.HTML(translate("song_parts"), elem_classes="quiet")
            self.players = [
                gr.Audio(
                    waveform_options=WAVEFORM, label=text(f"song_part_{name}"), interactive=False,
                    buttons=["download"],
                )
                for name in PARTS
            ]  # fmt: skip
        with gr.Accordion(text("command_line"), open=False):
            self.command = gr.Textbox(
                label=text("command"), info=text("command_info"), lines=3, interactive=False,
                buttons=["copy"], elem_classes="command",
            )  # fmt: skip

    def _connect(self, frame: Frame) -> None:
        buttons = [self.start, self.stop, self.resume, self.timer]
        players = [self.cover, self.video, self.parts, *self.players, self.command]
        shown = [self.status, *buttons, self.shown, *players]
        refresh = {
            "fn": self.refresh, "inputs": [self.mine, self.shown], "outputs": shown, **PRIVATE,
        }  # fmt: skip
        reread = {"fn": self.read_voices, "inputs": self.voice, "outputs": self.voice, **PRIVATE}
        frame.page.load(**reread, show_progress="hidden")
        frame.tabs.change(**reread, show_progress="hidden")
        self.vocals.upload(sort_stems, self.vocals, [self.vocals, self.accompaniment], **PRIVATE)
        self.start.click(
            self.begin,
            [
                self.mode, self.song, self.vocals, self.accompaniment, self.voice, self.format,
                *self.values,
            ],
            self.mine,
            **PRIVATE,
        )  # fmt: skip
        self.mine.change(**refresh)  # also when the browser remembers one, after the page's load
        self.stop.click(self.cancel, self.mine, queue=False, **PRIVATE)
        self.resume.click(self.go_on, self.mine, **PRIVATE).then(**refresh)
        self.timer.tick(**refresh, show_progress="hidden")

    def read_voices(self, chosen: str | None) -> dict[str, Any]:
        """Read the voices again; what was chosen stays if it still exists."""
        known = choices.voices()
        paths = [path for _, path in known]
        return gr.update(
            choices=known, value=chosen if chosen in paths else next(iter(paths), None)
        )

    def begin(
        self,
        mode: str,
        song: str | None,
        vocals: list[str] | None,
        accompaniment: str | None,
        voice: str | None,
        format: str,
        *values: Any,
    ) -> str:
        """Start a cover; gives the name by which the browser finds it again."""
        path = chosen_voice(voice)
        files = {"input": song} if mode == "song" else {
            "vocals": vocals[0] if vocals else None, "accompaniment": accompaniment
        }  # fmt: skip
        if not all(files.values()):
            missing = "song_missing" if mode == "song" else "song_stems_missing"
            raise gr.Error(translate(missing), print_exception=False)
        given = {name: Path(str(file)) for name, file in files.items()}
        if mode == "song" and given["input"].suffix.lower() in VIDEO_SUFFIXES:
            format = given["input"].suffix[1:].lower()
        try:
            settings = dict(zip(SETTINGS, values, strict=True))
            settings["semitones"] = _number(settings["semitones"])
            options = CoverOptions(voice=path, output=Path("cover"), **given, **settings)
            return self._covers.start(options, format)
        except (ValueError, OSError) as error:
            raise page_error(error) from error

    def refresh(self, name: str, shown: str) -> list[Any]:
        """Return how far the browser's cover is, and its players once."""
        job = self._covers.find(name)
        if job is None:
            return [*[gr.skip()] * 4, gr.Timer(active=False), *[gr.skip()] * 8]
        state = f"{name} {job.is_running} {bool(job.made)}"
        players = [gr.skip()] * 7 if state == shown else self._players(job)
        return [
            _status(job),
            gr.update(interactive=not job.is_running),
            gr.update(interactive=job.is_running),
            gr.update(visible=job.can_resume),
            gr.Timer(active=job.is_running),
            state,
            *players,
        ]

    def _players(self, job: CoverJob) -> list[Any]:
        parts = job.parts
        made = parts.get("cover")
        is_video = made is not None and made.suffix.lower() in VIDEO_SUFFIXES
        hidden = gr.update(value=None, visible=False)
        return [
            gr.update(value=str(made), visible=True) if made and not is_video else hidden,
            gr.update(value=str(made), visible=True) if made and is_video else hidden,
            gr.update(visible=bool(parts)),
            *(str(parts[each]) if each in parts else None for each in PARTS),
            job.command,
        ]

    def cancel(self, name: str) -> None:
        """Stop the browser's cover; stages that are finished stay."""
        self._covers.stop(name)

    def go_on(self, name: str) -> None:
        """Make what is left of a cover that was stopped."""
        try:
            self._covers.resume(name)
        except (ValueError, OSError) as error:
            raise page_error(error) from error


def sort_stems(files: list[str]) -> list[Any]:
    """Of two files given as vocals, put the accompaniment where it belongs, by their names."""
    if len(files) < 2:
        return [gr.skip(), gr.skip()]
    first, second = files[:2]
    if ACCOMPANIMENT.search(Path(first).stem) and not ACCOMPANIMENT.search(Path(second).stem):
        first, second = second, first
    return [[first], second]


def _number(chosen: Any) -> float | None:
    """The lead's shift, None for the automatic one. UserError."""
    if chosen in (None, "", AUTOMATIC):
        return None
    try:
        return float(chosen)
    except ValueError as error:
        raise UserError("number", flag="--semitones", value=repr(chosen)) from error


def _status(job: CoverJob) -> str:
    if job.error is not None:
        return f'<p class="alert" role="alert">{error_html(job.error)}</p>'
    if job.can_resume:
        return f"<p>{translate('song_stopped')}</p>"
    if not job.is_running:
        size, limit = size_text(size_of(stage_folders())), f"{default_of(OPTIONS['keep_gb']):g} GB"
        kept = translate("song_kept", size=size, limit=limit)
        return f"<p>{translate('song_made', **_figures(job))}</p><p>{kept}</p>"
    if not job.stage:
        return f"<p>{translate('song_waiting')}</p>"
    number = STAGES.index(job.stage) if job.stage in STAGES else 0
    bar = f'<progress max="{len(STAGES)}" value="{number + job.share:.3f}"></progress>'
    stage = translate(f"song_stage_{STAGES[number]}")
    left = ""
    if job.seconds_left is not None:
        left = " " + translate("song_left", left=duration_text(job.seconds_left))
    return f"{bar}<p>{stage}{left}</p>"


def _figures(job: CoverJob) -> dict[str, str]:
    made = job.made
    shift = float(str(made["semitones"]))
    return {
        "file": choices.from_root(config.ROOT / str(made["output"])),
        "shift": f"{shift:+g}" if shift else "0",
        "before": f"{float(str(made['vocals_lufs'])):.1f}",
        "now": f"{float(str(made['voice_lufs'])):.1f}",
    }
