"""The tray of covers: everything that was made of songs here, to hear, star and throw away."""

from __future__ import annotations

import time
from typing import Any

import gradio as gr

from errors import UserError
from tools.jobs.covers import Covers
from tools.jobs.jobs import JobError
from tools.web.errors import page_error
from tools.web.frame import POLL_SECONDS, PRIVATE, Frame
from tools.web.views.cover_cards import cover_card, making_card
from tools.web.views.stage import track
from tools.web.views.tray import build_tray, tray_html


class CoversPanel:
    """Cards of the covers on disk, also of those that are being made or were not made after all."""

    def __init__(self, frame: Frame, covers: Covers) -> None:
        self._covers = covers
        self.cards = build_tray("covers", "song_covers")
        self._is_all = gr.State(False)
        self.played = gr.State("")  # the cover that was asked to be played, and when
        self.wanted = gr.State(("", 0.0))  # whose settings are to be set, and when it was asked
        self._timer = gr.Timer(POLL_SECONDS, active=False)
        self.refreshed = {
            "fn": self.refresh, "inputs": self._is_all, "outputs": [self.cards, self._timer],
            "show_progress": "hidden", **PRIVATE,
        }  # fmt: skip
        frame.page.load(**self.refreshed)
        self._timer.tick(**self.refreshed)

    def connect(
        self, mine: gr.BrowserState, shown: gr.State, stage: gr.HTML, refresh: dict[str, Any]
    ) -> None:
        """Let the buttons work. mine, shown: names of the browser's cover and of that on stage.

        refresh: what looks at the browser's cover again.
        """
        shown.change(**self.refreshed)  # it is made
        mine.change(**self.refreshed)  # it is begun
        self.cards.select(
            self.act, [shown, stage],
            [self._is_all, mine, shown, stage, self.played, self.wanted],
            show_progress="hidden", **PRIVATE,
        ).then(**self.refreshed).then(**refresh, show_progress="hidden")  # fmt: skip

    def refresh(self, is_all: bool) -> list[Any]:
        """Look again at what is there."""
        covers = self._covers.all()
        making = [cover for cover in covers if cover.is_running]
        others = [cover for cover in covers if not cover.is_running]
        trashed = self._covers.trashed()
        undo = (trashed.name, trashed.file_name) if trashed else None
        html = tray_html(
            others, cover_card, list(map(making_card, making)), undo, is_all, "song_covers_empty"
        )
        return [html, gr.Timer(active=bool(making))]

    def act(self, shown: str, staged: dict[str, Any] | None, event: gr.EventData) -> list[Any]:
        """Do what a card's button says."""
        try:
            return self._act(shown, staged or {}, event.act, event.name)
        except (UserError, OSError) as error:
            raise page_error(error) from error

    def _act(self, shown: str, staged: dict[str, Any], act: str, name: str) -> list[Any]:
        covers, moment, skip = self._covers, f"{name} {time.time()}", gr.skip()
        new = {"is_all": skip, "mine": skip, "shown": skip, "stage": skip, "played": skip,
               "wanted": skip}  # fmt: skip
        does = {
            "star": covers.star, "stop": covers.stop, "resume": covers.resume,
            "delete": covers.trash, "undo": covers.restore,
        }  # fmt: skip
        if act in does:
            does[act](name)
        if act == "resume":
            new["mine"] = name  # its status stands above
        elif act == "delete" and name == shown:
            new["shown"] = ""
        elif act == "more":
            new["is_all"] = True
        elif act == "settings":
            new["wanted"] = (name, time.time())
        elif act in ("play", "download"):
            cover = covers.find(name)
            if cover is None or "cover" not in cover.parts:
                raise JobError("cover_gone")
            if act == "download":
                file = track(cover.parts["cover"])["file"]
                new["stage"] = {**staged, "download": file, "asked": moment}
            elif name == shown:
                new["stage"] = {**staged, "play": moment}
            else:
                new |= {"shown": name, "played": moment}
        return list(new.values())
