"""Errors in the language of the page: the program says them in English, in one line each.

i18n/en/errors.json has the lines as they are raised, {value} for what differs; a line that fits
one of them is shown in the words of every language, any other with a heading.
"""

from __future__ import annotations

import re
from functools import cache

import gradio as gr

from tools.web.i18n import read_texts, spoken

PREFIX = "error_"
OTHER = "error_other"


def explained(message: str) -> str:
    """Return HTML of an error's line in the language of the page."""
    message = message.strip()
    for name, pattern in _patterns():
        if found := pattern.fullmatch(message):
            return spoken(name, **found.groupdict())
    return spoken(OTHER, message=message)


def refusal(error: Exception) -> gr.Error:
    """Return what shows an error to the user until it is closed."""
    return gr.Error(explained(str(error)), duration=None, print_exception=False)


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


def pattern_of(text: str) -> re.Pattern[str]:
    """Return what matches a text with anything in place of its {values}."""
    escaped = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.*?)", re.escape(text))
    return re.compile(escaped, re.DOTALL)
