"""Errors in the language of the page: the program says them in English, in one line each.

i18n/en/errors.json has the lines as they are raised, {value} for what differs; a line that fits
one of them is shown in the words of every language, any other with a heading. A value may be a line
of its own, such as the reason why a file was refused, or several with commas between.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from html import escape
from pathlib import Path

import gradio as gr

from errors import as_user_error
from tools.voices import choices
from tools.web.i18n import in_every_language, read_texts, spoken

PREFIX = "error_"
OTHER = "error_other"


def explained(error: BaseException) -> str:
    """Return HTML of an error in the language of the page."""
    found = as_user_error(error)

    def said(language: str) -> str:
        line = in_words(found.values["message"], language) if found.name == "other" else None
        return escape(line or found.translate(language))

    return in_every_language(said)


def told(remark: str) -> str:
    """Return HTML of a remark in the language of the page, of an unknown one as it is."""
    return in_every_language(lambda language: escape(_part(remark, language)))


def in_words(line: str, language: str) -> str | None:
    """Return a known line in a language, None for any other."""
    for name, pattern in _patterns():
        if found := pattern.fullmatch(line):
            values = {key: _part(value, language) for key, value in found.groupdict().items()}
            return plain_places(read_texts()[language][name]).format(**values)
    return None


def _part(value: str, language: str) -> str:
    """A value of a line in a language, where it is a line itself or several; else as it is."""
    parts = [in_words(part, language) for part in value.split(", ")]
    return in_words(value, language) or value if None in parts else ", ".join(filter(None, parts))


def refusal(error: Exception) -> gr.Error:
    """Return what shows an error to the user until it is closed."""
    return gr.Error(explained(error), duration=None, print_exception=False)


@contextmanager
def refusals() -> Iterator[None]:
    """Show what is refused, and why, to the user."""
    try:
        yield
    except (ValueError, TypeError, OSError) as error:
        raise refusal(error) from error


def chosen_voice(voice: str | None, missing: str = "voice_missing") -> Path:
    """Return the file of a voice that was chosen; shows the user why there is none.

    missing: name of the text where nothing was chosen.
    """
    if not voice:
        raise gr.Error(spoken(missing), print_exception=False)
    try:
        return choices.voice_path(voice)
    except ValueError as error:
        raise refusal(error) from error


@cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    """(name of a text, what it matches) of every known line, those with most words of their own
    first: a shorter one may match the same line."""
    known = {
        name: text
        for name, text in read_texts()["en"].items()
        if name.startswith(PREFIX) and name != OTHER
    }
    ordered = sorted(known.items(), key=lambda item: -len(re.sub(r"\{\w+\}", "", item[1])))
    return [(name, pattern_of(text)) for name, text in ordered]


def plain_places(text: str) -> str:
    """Return a text whose values are put in as they are, however it wants them written."""
    return re.sub(r"\{(\w+)[!:][^}]*\}", r"{\1}", text)


def pattern_of(text: str) -> re.Pattern[str]:
    """Return what matches a text with anything in place of its {values}."""
    escaped = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.*?)", re.escape(plain_places(text)))
    return re.compile(escaped, re.DOTALL)
