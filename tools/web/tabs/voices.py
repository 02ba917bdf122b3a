"""The tab of the voices: see, add, share, extract, merge, change, throw away and bring back."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from tools.voices.library import PICTURES, VOICE_SUFFIXES, TrainingStateError, from_root
from tools.web.errors import error_html, page_error, shown_errors
from tools.web.frame import PRIVATE, Frame
from tools.web.i18n import translate
from tools.web.theme import WAVEFORM
from tools.web.views.voice_cards import build_cards, voice_cards
from tools.web.voice_work import VoiceWork

TYPES = [".zip", ".pth", ".safetensors", ".index"]
DOWNLOAD = """() => { let tries = 40; const look = () => {
  const link = document.querySelector("#voices-zip a[href]");
  if (link) link.click(); else if (tries--) setTimeout(look, 100);
}; setTimeout(look, 200); }"""  # once the zip is there
ADD_ID, MERGE_ID = "voices-add", "voices-merge"  # what errors stand beside, also of a dropped file


class VoicesTab:
    """The list on one side, what can be done on the other."""

    def __init__(self, frame: Frame) -> None:
        self._text = frame.text
        self._frame = frame
        self._work = VoiceWork(frame.session)
        with gr.Row():
            with gr.Column():
                self.cards = build_cards()
                self._build_adding()
            with gr.Column():
                self._build_one()
                self._build_merging()
                self._build_trash()
        self._connect(frame)

    def _build_adding(self) -> None:
        text = self._text
        gr.HTML(f"<h2 class='step-head'>{translate('voices_add_head')}</h2>")
        self.upload = gr.File(
            label=text("voices_add"), file_types=TYPES, height=140, elem_id="voices-upload"
        )
        gr.HTML(translate("voices_add_info"), elem_classes="quiet")
        with gr.Row(elem_classes="inline"):
            self.name = gr.Textbox(
                label=text("voices_name"), info=text("voices_name_info"), max_length=100, scale=3
            )
            self.add = gr.Button(
                text("voices_add_button"), variant="primary", min_width=100, elem_id=ADD_ID
            )
        self.added = gr.HTML(elem_classes="quiet", elem_id="voices-added")
        self.extract = gr.Button(text("voices_extract"), visible=False, variant="primary")

    def _build_one(self) -> None:
        text = self._text
        self.voice = gr.Dropdown([], label=text("voices_one"), info=text("voices_one_info"))
        with gr.Row():
            self.share = gr.Button(text("voices_share"), min_width=100)
            self.trash = gr.Button(text("voices_trash"), variant="stop", min_width=100)
        self.zip_file = gr.File(
            label=text("voices_zip"), visible=False, interactive=False, elem_id="voices-zip"
        )
        with gr.Accordion(text("voices_edit"), open=False):
            self.new_name = gr.Textbox(label=text("voices_new_name"), max_length=100)
            self.info = gr.Textbox(label=text("voices_info"), max_length=500)
            self.picture = gr.File(
                label=text("voices_picture"), file_types=list(PICTURES), height=110
            )
            self.save = gr.Button(text("voices_save"))

    def _build_merging(self) -> None:
        text = self._text
        with gr.Accordion(text("voices_merge"), open=False):
            gr.HTML(translate("voices_merge_info"), elem_classes="quiet")
            with gr.Row():
                self.first = gr.Dropdown([], label=text("voices_first"), min_width=140)
                self.second = gr.Dropdown([], label=text("voices_second"), min_width=140)
            self.ratio = gr.Slider(0, 1, 0.5, step=0.01, label=text("voices_ratio"))
            self.listen = gr.Button(text("voices_listen"))
            self.example = gr.Audio(
                waveform_options=WAVEFORM, label=text("voices_heard"), interactive=False, buttons=[]
            )
            with gr.Row(elem_classes="inline"):
                self.merged_name = gr.Textbox(label=text("voices_merged_name"), max_length=100)
                self.merge = gr.Button(text("voices_merge_button"), min_width=100, elem_id=MERGE_ID)
            self.merged = gr.HTML(elem_classes="quiet", elem_id="voices-merged")

    def _build_trash(self) -> None:
        text = self._text
        with gr.Accordion(text("voices_in_trash"), open=False):
            self.trashed = gr.Dropdown([], label=text("voices_trashed"))
            self.restore = gr.Button(text("voices_restore"))

    def _connect(self, frame: Frame) -> None:
        chosen = [self.voice, self.first, self.second, self.trashed]
        shown = [self.cards, self.trash, self.save, *chosen]
        refresh = {"fn": self.refresh, "inputs": chosen, "outputs": shown,
                   "show_progress": "hidden", **PRIVATE}  # fmt: skip
        self.cards.select(self.choose, None, self.voice, **PRIVATE).then(**refresh)
        self.cards.use(self.use, None, [frame.use, frame.tabs], **PRIVATE)
        self.cards.hear(
            self.hear, None, self.cards, show_progress="hidden", concurrency_limit=None, **PRIVATE
        )
        self.voice.input(**refresh)
        for event in (frame.page.load, frame.tabs.change):
            event(**refresh)
        added = [self.added, self.extract, self.upload, self.name, self.voice, frame.use]
        for button, function, inputs, outputs in (
            (self.add, self.add_voice, [self.upload, self.name], added),
            (self.extract, self.extract_voice, [self.upload, self.name], added),
            (self.trash, self.trash_voice, self.voice, self.zip_file),
            (self.restore, self.restore_voice, self.trashed, None),
            (self.save, self.edit_voice, [self.voice, self.new_name, self.info, self.picture],
             [self.new_name, self.info, self.picture]),
            (self.merge, self.merge_voices,
             [self.first, self.second, self.ratio, self.merged_name],
             [self.merged_name, self.merged, self.voice, frame.use]),
        ):  # fmt: skip
            button.click(function, inputs, outputs, **PRIVATE).success(**refresh)
        self.share.click(self.share_voice, self.voice, self.zip_file, **PRIVATE).success(
            None, js=DOWNLOAD, **PRIVATE
        )
        self.listen.click(
            self.listen_to_merge, [self.first, self.second, self.ratio], self.example,
            concurrency_limit=1, concurrency_id="conversion", **PRIVATE,
        )  # fmt: skip

    def refresh(self, *chosen: str | None) -> list[Any]:
        """Read the voices again; what was chosen stays while it exists."""
        voices = self._work.library.voices()
        paths = [(voice.name, from_root(voice.path)) for voice in voices if not voice.problem]
        everything = [(voice.name, from_root(voice.path)) for voice in voices]
        thrown = [(_trashed_name(each.name, each.deleted), each.folder)
                  for each in self._work.library.trashed()]  # fmt: skip
        updates = []
        for offered, value in zip((everything, paths, paths, thrown), chosen, strict=True):
            known = [each for _, each in offered]
            first = known[0] if known else None
            updates.append(gr.update(choices=offered, value=value if value in known else first))
        selected = updates[0]["value"]
        is_own = any(from_root(voice.path) == selected and not voice.is_shipped for voice in voices)
        changeable = gr.update(interactive=is_own)
        return [voice_cards(voices, selected), changeable, changeable, *updates]

    def choose(self, event: gr.EventData) -> str:
        """Work on the voice whose card was pressed."""
        return event.voice

    def use(self, event: gr.EventData) -> list[Any]:
        """Convert with the voice whose button was pressed."""
        with shown_errors():
            return [self._frame.chosen(self._work.find(event.voice)), gr.Tabs(selected="convert")]

    def hear(self, event: gr.EventData) -> Iterator[Any]:
        """Have the voice whose button was pressed say the example; told while that is made."""
        try:
            made, request = self._work.speak(event.voice)
            for share in request.shares() if request else ():
                yield gr.update(heard={"voice": event.voice, "share": share})
        except (ValueError, OSError) as error:
            yield gr.update(heard={"voice": event.voice})
            raise page_error(error) from error
        yield gr.update(heard={"voice": event.voice, "file": str(made), "at": time.time()})

    def add_voice(self, file: str | None, name: str) -> list[Any]:
        """Add a shared zip, a voice file or an index; name: of the voice, may be empty."""
        if not file:
            raise _error(translate("voices_no_file"))
        try:
            arrived = self._work.add(Path(file), name)
        except TrainingStateError:
            if Path(file).suffix.lower() != ".pth":
                raise _error(translate("voices_state_in_zip")) from None
            said = translate("voices_is_state")
            return [said, gr.update(visible=True), *[gr.skip()] * 4]
        except (ValueError, OSError) as error:
            raise page_error(error, ADD_ID) from error
        for problem in arrived.refused:
            gr.Warning(error_html(problem))
        return self._added(arrived.files)

    def _added(self, written: Sequence[Path]) -> list[Any]:
        """Tell what was added; a voice among it is chosen here and in Convert."""
        voice = next((path for path in written if path.suffix in VOICE_SUFFIXES), None)
        chosen = self._chosen(voice) if voice is not None else [gr.skip(), gr.skip()]
        return [_were_added(written), gr.update(visible=False), None, "", *chosen]

    def _chosen(self, voice: Path) -> list[Any]:
        """Choose a new voice here and in Convert."""
        known = [(path.stem, from_root(path)) for path in self._work.library.files()]
        return [gr.update(choices=known, value=from_root(voice)), self._frame.chosen(voice)]

    def extract_voice(self, file: str | None, name: str) -> list[Any]:
        """Make a voice of a training state (G_*.pth)."""
        if not file:
            raise _error(translate("voices_no_file"))
        with shown_errors():
            voice = self._work.extract(Path(file), name)
        return self._added([voice])

    def share_voice(self, voice: str | None) -> Any:
        """Write a zip of voice, index, presets and picture."""
        with shown_errors():
            return gr.update(value=str(self._work.export_zip(voice)), visible=True)

    def trash_voice(self, voice: str | None) -> Any:
        """Move a voice to the trash, from where it can be brought back."""
        with shown_errors():
            self._work.trash(voice)
        gr.Info(translate("voices_was_trashed"))
        return gr.update(value=None, visible=False)

    def restore_voice(self, trashed: str | None) -> None:
        """Bring a voice back from the trash, by its folder there."""
        with shown_errors():
            self._work.restore(trashed)

    def edit_voice(self, voice: str | None, name: str, info: str, picture: str | None) -> list[Any]:
        """Change a voice's name, the line about it, its picture; what is empty stays."""
        with shown_errors():
            self._work.edit(voice, name, info, picture)
        return ["", "", None]

    def merge_voices(
        self, first: str | None, second: str | None, share: float, name: str
    ) -> list[Any]:
        """Blend two voices into a new one; share: of the first, 0 to 1."""
        with shown_errors(MERGE_ID):
            voice = self._work.merge(first, second, share, name)
        return ["", _were_added([voice]), *self._chosen(voice)]

    def listen_to_merge(self, first: str | None, second: str | None, share: float) -> str:
        """Convert an example with the blend of two voices, without keeping the blend."""
        with shown_errors():
            return str(self._work.listen_to_merge(first, second, share))


def _were_added(files: Sequence[Path]) -> str:
    return translate("voices_was_added", names=", ".join(path.name for path in files))


def _error(html: str) -> gr.Error:
    return gr.Error(html, print_exception=False)


def _trashed_name(name: str, deleted: float) -> str:
    return f"{name} ({time.strftime('%Y-%m-%d %H:%M', time.localtime(deleted))})"
