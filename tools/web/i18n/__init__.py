"""The page's texts: <language>/<tab>.json, switched by gradio in the browser."""

from __future__ import annotations

import json
from pathlib import Path

import gradio as gr


def load_texts() -> gr.I18n:
    """Merge the files of every language; a folder's name is the language's code.

    ValueError: two files of a language have a text of the same name.
    """
    texts: dict[str, dict[str, str]] = {}
    for file in sorted(Path(__file__).parent.glob("*/*.json")):
        language = texts.setdefault(file.parent.name, {})
        added = json.loads(file.read_text(encoding="utf-8"))
        if twice := language.keys() & added.keys():
            raise ValueError(f"{file}: {', '.join(sorted(twice))} stands in another file too")
        language.update(added)
    return gr.I18n(**texts)
