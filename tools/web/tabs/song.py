"""The Songs tab: a song, or its two stems, becomes a cover by one button."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import gradio as gr

import config
from errors import AudioError, UserError
from infer.f0 import QUICK_METHOD
from infer.options import AUDIO_FORMATS
from options import default_of
from tools.convert.client import ConversionError
from tools.jobs.covers import CoverJob, Covers
from tools.songs.kept import size_of, stage_folders
from tools.songs.options import CoverOptions
from tools.songs.separation import missing_separator
from tools.songs.video import VIDEO_SUFFIXES, has_picture
from tools.voices import choices
from tools.web.errors import chosen_voice, error_html, page_error, shown_errors
from tools.web.frame import POLL_SECONDS, PRIVATE, Frame, reread_voices
from tools.web.i18n import sentences, translate
from tools.web.tabs.song_covers import CoversPanel
from tools.web.theme import WAVEFORM
from tools.web.units import duration_text, size_text
from tools.web.views.stage import BROWSERS_PLAY, build_stage, track

OPTIONS = {item.name: item for item in CoverOptions.__dataclass_fields__.values()}
STAGES = (
    "separate", "backing", "dereverb", "denoise", "listen", "convert", "transpose", "voice", "mix"
)  # fmt: skip
PARTS = ("vocals", "voice", "accompaniment")  # parts of a cover, in this order
SIDES = {"a": "vocals", "b": "voice"}  # of the stage; the part whose melody is drawn
AUTOMATIC, OCTAVES = "auto", (-24, -12, 0, 12, 24)
SETTINGS = (
    "semitones", "transpose", "lead_db", "sides", "reverb", "compress", "de_ess", "high_pass",
    "bass_db", "presence_db", "air_db", "denoise",
)  # fmt: skip
# in the names of stems; words that are within others stand alone: Forest is no rest
WITHOUT_VOCALS = re.compile(
    r"(?<![a-z])(no|non|minus|without|off)[\W_]*(the[\W_]+)?(lead[\W_]*)?(voc|vox|voice)[a-z]*"
    r"|[无去消]人?声",
    re.IGNORECASE,
)
ACCOMPANIMENT = re.compile(
    r"accomp|instrumental|karaoke|伴奏"
    r"|(?<![a-z])(inst|backing|rest|other|music|minus)(?![a-z])",
    re.IGNORECASE,
)
VOCALS = re.compile(
    r"vocal|a[\W_]?cap+el+a|人声|干声|(?<![a-z])(vocs?|vox|voice|lead)(?![a-z])", re.IGNORECASE
)
# what not every browser, nor Python, knows as one of these
UNCOMMON = [".ac3", ".aif", ".aiff", ".amr", ".ape", ".caf", ".mka", ".mkv", ".ts", ".wma"]
SONG_TYPES = ["audio", "video", *UNCOMMON]


class SongTab:
    """Song and singer on one side, the cover and its parts on the other.

    A cover goes on when the page is closed; the browser remembers which one is its own. The stage
    keeps the cover before until the next is made; the tray has all of them.
    """

    def __init__(self, frame: Frame) -> None:
        self._text = frame.text
        self._session = frame.session
        self._covers = Covers()
        self.mine = gr.BrowserState("", storage_key="rvc-cover")
        self.noted = gr.State("")  # what was told of it last
        self.shown = gr.State("")  # name of the cover on stage
        self.timer = gr.Timer(POLL_SECONDS, active=False)
        with gr.Row():
            with gr.Column():
                self._build_song()
                self._build_settings()
                with gr.Row():
                    self._build_start()
            with gr.Column():
                self._build_cover()
                self.tray = CoversPanel(frame, self._covers)
        self._connect(frame)

    def _build_song(self) -> None:
        text = self._text
        self.mode = gr.State("song")
        with gr.Tabs(elem_classes="song-modes") as self.modes:
            with gr.Tab(text("song_whole"), id="whole") as whole:
                self.song = gr.File(
                    label=text("song"), file_types=SONG_TYPES, height=140, elem_id="song-file"
                )
                gr.HTML(translate("song_info"), elem_classes="quiet")
                self.lacks = gr.HTML(elem_id="song-lacks")
            with gr.Tab(text("song_stems"), id="stems") as stems:
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
                ("compress", 0.05), ("de_ess", 0.05), ("high_pass", 10), ("bass_db", 0.5),
                ("presence_db", 0.5), ("air_db", 0.5),
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
        self.status = gr.HTML(_empty(), elem_classes="quiet", elem_id="song-status")
        self.stage = build_stage("song-stage", ("song_original", "song_cover"), is_read_only=True)
        self.edit = gr.Button(text("song_edit"), visible=False, size="sm")
        self.about = gr.HTML(elem_classes="quiet", elem_id="song-about")
        self.video = gr.Video(
            label=text("song_cover"), interactive=False, buttons=["download"], visible=False
        )
        with gr.Accordion(text("song_parts"), open=False, visible=False) as self.parts:
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
        refresh = {
            "fn": self.refresh, "inputs": [self.mine, self.noted],
            "outputs": [self.status, *buttons, self.noted, self.command, self.shown], **PRIVATE,
        }  # fmt: skip
        self.shown.change(
            self.show, self.shown,
            [self.about, self.edit, self.video, self.parts, *self.players, self.command], **PRIVATE,
        ).then(
            self.put_on_stage, [self.shown, self.tray.played], self.stage,
            concurrency_limit=None, **PRIVATE,  # other pages do not wait for what is measured
        )  # fmt: skip
        self.tray.connect(self.mine, self.shown, self.stage, refresh)
        self.tray.wanted.change(
            self.set_again, self.tray.wanted,
            [
                self.voice, self.format, self.modes, self.mode, self.song, self.vocals,
                self.accompaniment, *self.values,
            ],
            **PRIVATE,
        )  # fmt: skip
        reread = {"fn": reread_voices, "inputs": self.voice, "outputs": self.voice, **PRIVATE}
        frame.page.load(**reread, show_progress="hidden")
        frame.tabs.change(**reread, show_progress="hidden")
        for event in (frame.page.load, frame.tabs.change):  # it may be fetched meanwhile
            event(_lacks, outputs=self.lacks, show_progress="hidden", **PRIVATE)
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
        self.edit.click(
            lambda name: (Frame.given(name), gr.Tabs(selected="convert")),
            self.shown, [frame.lead, frame.tabs], **PRIVATE,
        )  # fmt: skip
        frame.song.change(
            lambda song: (song[0] or gr.skip(), gr.Tabs(selected="whole"), "song"),
            frame.song, [self.song, self.modes, self.mode], **PRIVATE,
        )  # fmt: skip
        frame.cover.change(lambda cover: cover[0], frame.cover, self.mine, **PRIVATE)

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
        try:
            whole = given.get("input")
            if whole and whole.suffix.lower() in VIDEO_SUFFIXES and has_picture(whole):
                format = whole.suffix[1:].lower()
            settings = dict(zip(SETTINGS, values, strict=True))
            settings["semitones"] = _number(settings["semitones"])
            options = CoverOptions(voice=path, output=Path("cover"), **given, **settings)
            return self._covers.start(options, format)
        except AudioError as error:
            for file in given.values():
                error = error.rename(file, file.name)
            raise page_error(error) from error
        except (ValueError, OSError) as error:
            raise page_error(error) from error

    def refresh(self, name: str, noted: str) -> list[Any]:
        """Return how far the browser's cover is; once it is made it goes on stage."""
        job = self._covers.find(name)
        if job is None:
            hidden = gr.update(visible=False)
            return [_empty(), *[gr.skip()] * 2, hidden, gr.Timer(active=False), *[gr.skip()] * 3]
        state = f"{name} {job.is_running} {bool(job.made)}"
        is_new = state != noted
        return [
            _status(job),
            gr.update(interactive=not job.is_running),
            gr.update(interactive=job.is_running),
            gr.update(visible=job.can_resume),
            gr.Timer(active=job.is_running),
            state,
            job.command if is_new else gr.skip(),
            name if is_new and job.made else gr.skip(),
        ]

    def show(self, name: str) -> list[Any]:
        """Return what a cover is, and the players of its parts; nothing of one that is gone."""
        job = self._covers.find(name)
        if job is None or not job.made:
            hidden = gr.update(value=None, visible=False)
            gone = gr.update(visible=False)
            return ["", gone, hidden, gone, *[None] * len(PARTS), ""]
        parts, made = job.parts, job.parts.get("cover")
        is_video = made is not None and made.suffix.lower() in VIDEO_SUFFIXES
        return [
            _about(job),
            gr.update(visible={"clean", "lead"} <= set(parts)),
            gr.update(value=str(made) if is_video else None, visible=is_video),
            gr.update(visible=any(each in parts for each in PARTS)),
            *(str(parts[each]) if each in parts else None for each in PARTS),
            job.command,
        ]

    def put_on_stage(self, name: str, played: str) -> Iterator[dict[str, Any]]:
        """Yield the stage's value: a cover, and the song that it was made of.

        What was never measured comes twice, the second time measured. played: the cover that is to
        be played, and when that was asked.
        """
        job = self._covers.find(name)
        if job is None or not job.made:
            yield {}
            return
        cover = [job.parts["cover"]] if "cover" in job.parts else []
        with shown_errors():
            files = {"a": self._playable(name, job.originals, "original"),
                     "b": self._playable(name, cover, "cover")}  # fmt: skip
        heard = dict(job.heard)
        play = {"play": played} if played.startswith(f"{name} ") else {}

        def staged() -> dict[str, Any]:
            tracks = {side: file and track(file, heard.get(side)) for side, file in files.items()}
            return {**tracks, **play}

        yield staged()
        if missing := [side for side, file in files.items() if file and side not in heard]:
            for side in missing:
                with suppress(ConversionError):  # too short to be measured; it can be heard
                    heard[side] = self._listen(files[side], job.parts.get(SIDES[side]))
            self._covers.note_heard(name, heard)
            yield staged()

    def _playable(self, name: str, files: list[Path], stem: str) -> Path | None:
        """The file, or the sum of all, that every browser plays; None where there is none."""
        if len(files) == 1 and files[0].suffix.lower() in BROWSERS_PLAY:
            return files[0]
        return self._covers.sum_of(name, files, stem) if files else None

    def _listen(self, whole: Path, sung: Path | None) -> dict[str, Any]:
        """How loud a song is, and the melody of its lead if that is there."""
        heard = self._session.listen(whole, QUICK_METHOD).result()
        if sung is None:
            return {**heard, "f0": [], "f0_median": 0.0}
        melody = self._session.listen(sung, QUICK_METHOD).result()
        return {**melody, "seconds": heard["seconds"], "loudness_db": heard["loudness_db"]}

    def set_again(self, wanted: tuple[str, float]) -> list[Any]:
        """Return what a cover was asked for: its voice, type, settings, and its recordings.

        Recordings that are gone leave their fields as they are, and that is told.
        """
        job = self._covers.find(wanted[0])
        if job is None or job.options is None:
            return [gr.skip()] * (7 + len(SETTINGS))
        asked, skip = job.options, gr.skip()
        known, voice = choices.voices(), str(asked.voice)
        format = asked.output.suffix[1:]
        mode, tab = ("song", "whole") if asked.input else ("stems", "stems")
        files = list(map(str, job.originals))
        gr.Info(translate("takes_set" if files else "song_set_alone"))
        values = [getattr(asked, name) for name in SETTINGS]
        shift = asked.semitones
        values[SETTINGS.index("semitones")] = AUTOMATIC if shift is None else f"{shift:g}"
        return [
            gr.update(choices=known, value=voice if voice in dict(map(reversed, known)) else None),
            format if format in AUDIO_FORMATS else skip,  # a song with a picture sets its own
            gr.update(selected=tab),
            mode,
            files[0] if files and mode == "song" else skip,
            files[:1] if files and mode == "stems" else skip,
            files[1] if files and mode == "stems" else skip,
            *values,
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


def _empty() -> str:
    return f'<p class="waiting">{translate("song_empty")}</p>'


def sort_stems(files: list[str]) -> list[Any]:
    """Of two files given as vocals, put the accompaniment where it belongs, by their names.

    More are too many: none is taken, and that is told.
    """
    if len(files) > 2:
        gr.Warning(translate("song_two_stems"))
        return [None, gr.skip()]
    if len(files) < 2:
        return [gr.skip(), gr.skip()]
    first, second = files
    if _sung(first) < _sung(second):
        first, second = second, first
    return [[first], second]


def _sung(file: str) -> int:
    """How much a stem's name tells of vocals, below 0 where it tells of an accompaniment."""
    name, without = WITHOUT_VOCALS.subn(" ", Path(file).stem)
    return len(VOCALS.findall(name)) - len(ACCOMPANIMENT.findall(name)) - without


def _lacks() -> str:
    """What has to be fetched before a song can be taken apart, "" for nothing."""
    missing = [f"<li>{translate(f'song_lacks_{each.name}')}</li>" for each in missing_separator()]
    if not missing:
        return ""
    return f'<div class="alert">{translate("song_lacks")}<ul>{"".join(missing)}</ul></div>'


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
        return ""
    if not job.stage:
        return f"<p>{translate('song_waiting')}</p>"
    number = STAGES.index(job.stage) if job.stage in STAGES else 0
    bar = f'<progress max="{len(STAGES)}" value="{number + job.share:.3f}"></progress>'
    stage = translate(f"song_stage_{STAGES[number]}")
    left = ""
    if job.seconds_left is not None:
        left = translate("song_left", left=duration_text(job.seconds_left))
    return f"{bar}<p>{sentences(stage, left)}</p>"


def _about(job: CoverJob) -> str:
    size, limit = size_text(size_of(stage_folders())), f"{default_of(OPTIONS['keep_gb']):g} GB"
    kept = translate("song_kept", size=size, limit=limit)
    return f"<p>{translate('song_made', **_figures(job))}</p><p>{kept}</p>"


def _figures(job: CoverJob) -> dict[str, str]:
    made = job.made
    shift = float(str(made["semitones"]))
    return {
        "file": choices.from_root(config.ROOT / str(made["output"])),
        "shift": f"{shift:+g}" if shift else "0",
        "before": f"{float(str(made['vocals_lufs'])):.1f}",
        "now": f"{float(str(made['voice_lufs'])):.1f}",
    }
