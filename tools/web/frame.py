"""What every tab of the page gets."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from tools.convert.client import Session
from tools.jobs.jobs import Jobs


@dataclass(frozen=True)
class Frame:
    """The page itself (for its load event), its row of tabs, its texts and what works behind it.

    A tab shows another one with an output `frame.tabs` and `gr.Tabs(selected=NAME)`.
    """

    page: gr.Blocks
    tabs: gr.Tabs
    text: gr.I18n
    session: Session
    jobs: Jobs
