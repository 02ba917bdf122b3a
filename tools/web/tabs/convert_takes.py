"""The tray of takes: everything that was converted here, to hear, compare, star and throw away."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from errors import UserError
from infer.f0 import QUICK_METHOD
from tools.convert.client import ConversionError
from tools.jobs.covers import Covers
from tools.jobs.takes import BY_HAND, Take, Takes
from tools.voices import choices
from tools.web.errors import page_error, shown_errors
from tools.web.frame import POLL_SECONDS, Frame
from tools.web.i18n import translate
from tools.web.tabs.convert_settings import NAMES, PRIVATE, SettingsPanel
from tools.web.views.stage import Track, track
from tools.web.views.take_cards import take_card, take_label
from tools.web.views.tray import build_tray, making_html, tray_html

NOTHING = {"all": False, "making": []}


class TakesPanel:
    """Cards of the takes on disk, and of what is being made; one that is pressed goes on stage."""

    def __init__(self, frame: Frame, stage: gr.HTML) -> None:
        self._session = frame.session
        self._stage = stage
        self.takes = Takes()
        self._covers = Covers()
        self.cards = build_tray("takes", "takes")
        self._view = gr.State(NOTHING)
        self.wanted = gr.State({})  # voice and settings that are to be set, and when it was asked
        self._timer = gr.Timer(POLL_SECONDS, active=False)
        self.refreshed = {
            "fn": self.refresh,
            "inputs": [self._view, stage],
            "outputs": [self.cards, self._view, self._timer, stage],
            "show_progress": "hidden",
            **PRIVATE,
        }
        frame.page.load(**self.refreshed)
        self._timer.tick(**self.refreshed)
        self.cards.select(
            self.act, [self._view, stage],
            [self.cards, self._view, stage, self.wanted, frame.cover, frame.tabs],
            show_progress="hidden", concurrency_limit=None, **PRIVATE,
        )  # fmt: skip
        frame.lead.change(
            self.edit_lead, [self._view, frame.lead],
            [self.cards, self._view, stage, self.wanted], **PRIVATE,
        )  # fmt: skip

        stage.back(self.back, stage, stage, show_progress="hidden", **PRIVATE)

    def follow(
        self,
        voice: gr.components.Component,
        source: gr.components.Component,
        settings: SettingsPanel,
        describe: dict[str, Any],
        fit: dict[str, Any],
    ) -> None:
        """Let wanted settings be set; describe, fit: what follows the choice of a voice."""

        def set_voice(wanted: dict[str, Any]) -> list[Any]:
            known = choices.voices()
            is_there = wanted["voice"] in [path for _, path in known]
            return [
                gr.update(choices=known, value=wanted["voice"] if is_there else None),
                wanted.get("source") or gr.skip(),
            ]

        def set_others(wanted: dict[str, Any]) -> dict[Any, Any]:
            # all of them with what the voice offers: between two events some could be set by hand
            updates = dict(zip(describe["outputs"], describe["fn"](wanted["voice"]), strict=True))
            for name, widget in zip(NAMES, settings.values, strict=True):
                if name in wanted["settings"]:
                    value = wanted["settings"][name]
                    updates[widget] = {**updates.get(widget, gr.skip()), "value": value}
            return {**updates, settings.pitch: wanted.get("pitch") or BY_HAND}

        self.wanted.change(set_voice, self.wanted, [voice, source], **PRIVATE).then(
            set_others, self.wanted, {settings.pitch, *describe["outputs"], *settings.values},
            **PRIVATE,
        ).then(
            # said anew, but the wanted shift stays
            lambda *given: settings.fit_pitch(*given)[0], fit["inputs"], settings.fitting,
            **PRIVATE,
        )  # fmt: skip

    def refresh(self, view: dict[str, Any], staged: dict[str, Any] | None) -> list[Any]:
        """Look again at what is there; what was being made when the page came goes on stage."""
        outputs = self._session.outputs
        making = [path.name for path in outputs if path.parent == self.takes.folder]
        takes = {take.name: take for take in self.takes.all()}
        ready = [takes[name] for name in view["making"] if name not in making and name in takes]
        shown = gr.skip()
        if ready and not (staged or {}).get("b"):
            shown = self.staged(ready[0], is_new=True)
        view = {**view, "making": making}
        return [self._html(view), view, gr.Timer(active=bool(making)), shown]

    def act(
        self, view: dict[str, Any], staged: dict[str, Any] | None, event: gr.EventData
    ) -> Iterator[list[Any]]:
        """Do what a card's button says."""
        try:
            yield from self._act(view, staged or {}, event.act, event.name)
        except (UserError, OSError) as error:
            raise page_error(error) from error

    def _act(
        self, view: dict[str, Any], staged: dict[str, Any], act: str, name: str
    ) -> Iterator[list[Any]]:
        nothing = [gr.skip()] * 6
        moves = {"star": self.takes.star, "delete": self.takes.trash, "undo": self.takes.restore}
        if act in ("play", "compare", "download"):
            take = self.takes.find(name)
            for known in (take, self.measured(take)) if "b" not in take.heard else (take,):
                if act == "play":
                    yield [*nothing[:2], self.staged(known), *nothing[3:]]
                elif act == "compare":
                    yield [*nothing[:2], {**staged, "a": self._track(known)}, *nothing[3:]]
            if act == "download":
                asked = {"download": self._track(take)["file"], "asked": f"{name} {time.time()}"}
                yield [*nothing[:2], {**staged, **asked}, *nothing[3:]]
            return
        if act == "mix":
            take = self.takes.find(name)
            cover = Frame.given(self._covers.mix(take, self.takes.path(take)))
            yield [*nothing[:4], cover, gr.Tabs(selected="song")]
            return
        wanted = shown = gr.skip()
        if act in moves:
            moves[act](name)
        elif act == "settings":
            take = self.takes.find(name)
            wanted = _settings_of(take)
            if take.is_drawn and Path(take.source).is_file():
                shown = self._redrawn(take)
                wanted["source"] = shown["a"]["file"]["path"]
            gr.Info(translate("takes_set"))
        elif act == "stop":
            self._session.cancel_making(self.takes.folder / name)
        elif act == "more":
            view = {**view, "all": True}
        yield [self._html(view), view, shown, wanted, *nothing[4:]]

    def edit_lead(self, view: dict[str, Any], lead: tuple[str, float]) -> Iterator[list[Any]]:
        """Put the lead of a cover on stage, with the settings that it was made with."""
        with shown_errors():
            take = self._covers.take_lead(lead[0], self.takes)
        yield [self._html(view), view, {**self.staged(take), "play": ""}, _settings_of(take)]
        yield [gr.skip(), view, {**self.staged(self.measured(take)), "play": ""}, gr.skip()]

    def _redrawn(self, take: Take) -> dict[str, Any]:
        """Put a take on stage, and its melody as it was drawn over the measured one. UserError."""
        take = self.measured(take)
        source, method = Path(take.source), take.settings.get("f0_method", QUICK_METHOD)
        melody = self._session.melody(source, method).result()["f0"]
        drawn = {"melody": self.takes.read_curve(take.name), "asked": f"{take.name} {time.time()}"}
        return {
            **self.staged(take),
            "play": "",
            "curve": " ".join(map(str, melody)),
            "drawn": drawn,
        }

    def measured(self, take: Take) -> Take:
        """Measure a take, and its recording where it is not measured yet; the note keeps it."""
        heard = dict(take.heard)
        for side, path in (("a", Path(take.source)), ("b", self.takes.path(take))):
            if side in heard or not path.is_file():
                continue
            try:
                heard[side] = self._session.listen(path, QUICK_METHOD).result()
            except ConversionError:
                continue  # too short to be measured; it can be heard all the same
        return self.takes.change(take.name, heard=heard)

    def staged(self, take: Take, is_new: bool = False) -> dict[str, Any]:
        """Return the stage's value: a take and its recording, if that is still there.

        is_new: it was just made, so it has no name yet and does not play by itself.
        """
        heard = take.heard.get("a", {})
        source = Path(heard.get("heard", take.source))
        a = track(source, heard) if source.is_file() else None
        b = self._track(take)
        if is_new:
            return {"a": a, "b": {**b, "label": ""}}
        return {"a": a, "b": b, "play": f"{take.name} {time.time()}"}

    def on_stage(self, staged: dict[str, Any]) -> Take:
        """Return the take that is the stage's result. UserError."""
        return self.takes.find((staged.get("b") or {}).get("take", ""))

    def back(self, staged: dict[str, Any] | None) -> dict[str, Any]:
        """Put the take on stage that the one there was made from."""
        with shown_errors():
            take = self.takes.find(self.on_stage(staged or {}).into)
        return {**self.staged(take), "play": ""}

    def _track(self, take: Take) -> Track:
        made = track(self.takes.path(take), take.heard.get("b"), take_label(take))
        return {**made, "take": take.name, "into": take.into}

    def _html(self, view: dict[str, Any]) -> str:
        making = [
            making_html(name, translate("takes_making", name=name)) for name in view["making"]
        ]
        trashed = self.takes.trashed()
        undo = (trashed.name, trashed.name) if trashed else None
        return tray_html(self.takes.all(), take_card, making, undo, view["all"], "takes_empty")


def _settings_of(take: Take) -> dict[str, Any]:
    """What makes a take again, as `wanted`."""
    return {
        "voice": take.voice, "settings": take.settings, "pitch": take.pitch, "at": time.time(),
    }  # fmt: skip
