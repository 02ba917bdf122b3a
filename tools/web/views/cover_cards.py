"""Covers as cards: what each was asked for, what became of it, and what can be done with it."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from options import default_of
from tools.jobs.covers import CoverJob
from tools.songs.options import CoverOptions
from tools.web.errors import error_html
from tools.web.i18n import read_texts, translate
from tools.web.views.tray import button_html, card_html, making_html, setting_html


def cover_card(cover: CoverJob) -> str:
    """Return HTML of the card of a cover that is made, or was not made after all."""
    options = cover.options
    assert options is not None  # Covers.all leaves the others out
    title = translate("takes_from", voice=options.voice.stem, source=options.song.stem)
    if cover.made:
        acts = ("play", "star", "download", "settings", "delete")
        return card_html(cover, title, _settings_html(options), cover.queued, acts)
    said = translate("song_stopped")
    if cover.error is not None:
        said = f'<span class="alert">{error_html(cover.error)}</span>'
    go_on = button_html("resume", cover.name, translate("resume_job")) if cover.can_resume else ""
    return card_html(cover, title, said, cover.queued, ("settings", "delete"), go_on)


def making_card(cover: CoverJob) -> str:
    """Return HTML of a cover that is being made, or waits for others."""
    said = "takes_making" if cover.stage else "takes_waiting"
    return making_html(cover.name, translate(said, name=cover.file_name))


def _settings_html(options: CoverOptions) -> str:
    changed = [
        setting_html(f"song_{item.name}", value)
        for item in fields(options)
        if f"song_{item.name}" in read_texts()["en"]
        and (value := getattr(options, item.name)) != default_of(item)
        and not isinstance(value, Path)
    ]
    return " · ".join(changed) or translate("takes_usual")
