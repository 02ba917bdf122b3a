"""The stage: a recording and what was made of it on one axis of time; stage.js draws and plays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import FileData

from tools.web.i18n import read_texts

SCRIPT = Path(__file__).parents[1] / "stage.js"
BROWSERS_PLAY = {".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".mp4", ".webm", ".aac"}

Track = dict[str, Any]  # what stage.js takes for one side


def build_stage(
    elem_id: str = "stage",
    sides: tuple[str, str] = ("stage_source", "stage_result"),
    is_read_only: bool = False,
) -> gr.HTML:
    """Lay out a stage; its value is {"a": Track or None, "b": Track or None}.

    sides: names of the texts that its two sides are called by; is_read_only: no pitch to edit.
    """
    words = {
        language: {
            **{name: text for name, text in texts.items() if name.startswith("stage_")},
            "stage_source": texts[sides[0]], "stage_result": texts[sides[1]],
        }
        for language, texts in read_texts().items()
    }  # fmt: skip
    script = SCRIPT.read_text(encoding="utf-8")
    return gr.HTML(
        {}, html_template="", js_on_load=script, apply_default_css=False, elem_id=elem_id,
        words=words, is_read_only=is_read_only,
    )  # fmt: skip


def track(path: Path, heard: Mapping[str, Any] | None = None, label: str = "") -> Track:
    """Return one side of the stage; heard: as `tools.convert.listen` describes it."""
    file = FileData(path=str(path), orig_name=path.name).model_dump()
    return {"file": file, "label": label, **(heard or {})}
