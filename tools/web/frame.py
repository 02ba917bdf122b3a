"""What every tab of the page gets."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from tools.convert.client import Session
from tools.jobs.jobs import Jobs
from tools.voices import choices
from tools.voices.library import from_root

POLL_SECONDS = 1.0  # between two looks at what works on disk
PRIVATE: dict[str, Any] = {"api_visibility": "private"}  # an event that is no endpoint


def _nothing() -> gr.State:
    return gr.State(("", 0.0))


@dataclass(frozen=True)
class Frame:
    """The page itself (for its load event), its row of tabs, its texts and what works behind it.

    Made outside the tabs, where its states would count as some. tab: the one that gets this frame
    (for its select event), None outside of them.

    A tab shows another one with an output `frame.tabs` and `gr.Tabs(selected=NAME)`. What one tab
    gives to another, as `given` gives it: use: the voice that Convert takes; lead: the name of a
    cover whose lead Convert edits; cover: the name of one that Songs shows; song: the file of one
    that Songs takes, "" for none.
    """

    page: gr.Blocks
    tabs: gr.Tabs
    text: gr.I18n
    session: Session
    jobs: Jobs
    tab: gr.Tab | None = None
    use: gr.State = field(default_factory=_nothing)
    lead: gr.State = field(default_factory=_nothing)
    cover: gr.State = field(default_factory=_nothing)
    song: gr.State = field(default_factory=_nothing)

    @staticmethod
    def given(name: str) -> tuple[str, float]:
        """Return what a tab gives to another; the moment makes it a new one every time."""
        return name, time.time()

    @staticmethod
    def chosen(voice: Path) -> tuple[str, float]:
        """Return the value of `use` for a voice."""
        return Frame.given(from_root(voice))


def reread_voices(chosen: str | None) -> dict[str, Any]:
    """Return the update of a list of voices; what was chosen stays if it still exists."""
    known = choices.voices()
    paths = [path for _, path in known]
    return gr.update(choices=known, value=chosen if chosen in paths else next(iter(paths), None))
