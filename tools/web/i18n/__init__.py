"""The page's texts: <language>/<tab>.json, switched in the browser."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from html import escape
from pathlib import Path

import gradio as gr

from errors import translate_value


@cache
def read_texts() -> dict[str, dict[str, str]]:
    """Merge the files of every language: language -> name -> text; a folder's name is its code.

    ValueError: two files of a language have a text of the same name.
    """
    texts: dict[str, dict[str, str]] = {}
    for file in sorted(Path(__file__).parent.glob("*/*.json")):
        language = texts.setdefault(file.parent.name, {})
        added = json.loads(file.read_text(encoding="utf-8"))
        if twice := language.keys() & added.keys():
            raise ValueError(f"{file}: {', '.join(sorted(twice))} stands in another file too")
        language.update(added)
    return texts


def load_texts() -> gr.I18n:
    """Return what turns a text's name into a label that the browser translates."""
    return gr.I18n(**read_texts())


def translate(name: str, /, **values: object) -> str:
    """Return HTML that shows a text with values in it ({value}) in the language of the page.

    It holds every language, so a switch needs no new answer. For gr.HTML and gr.Markdown; a label
    takes `frame.text(name)`. A value may be an error, or a list of them.
    """

    def render(language: str) -> str:
        said = {key: escape(str(translate_value(each, language))) for key, each in values.items()}
        return read_texts()[language][name].format(**said)

    return render_languages(render)


def sentences(*said: str) -> str:
    """Return HTML of texts in a row, as far apart as each language writes them; empty ones no."""
    space = render_languages(lambda language: "" if language == "zh-CN" else " ")
    return space.join(filter(None, said))


def explained(shown: str, name: str) -> str:
    """Return HTML of a word, a text's name or itself, that the text `name` explains on hover."""

    def render(language: str) -> str:
        texts = read_texts()[language]
        return f'<abbr title="{escape(texts[name])}">{escape(texts.get(shown, shown))}</abbr>'

    return render_languages(render)


def render_languages(render: Callable[[str], str]) -> str:
    """Return HTML that shows what `render` gives, HTML too, for the language of the page."""
    return "".join(
        f'<span class="translated" lang="{language}">{render(language)}</span>'
        for language in read_texts()
    )
