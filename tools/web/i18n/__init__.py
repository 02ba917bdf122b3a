"""The page's texts: one JSON file per language, switched by gradio in the browser."""

from __future__ import annotations

import json
from pathlib import Path

import gradio as gr


def load_texts() -> gr.I18n:
    """Read every language beside this file; the file name is the language's code."""
    files = sorted(Path(__file__).parent.glob("*.json"))
    return gr.I18n(**{file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files})
