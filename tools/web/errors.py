"""Errors in the language of the page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path

import gradio as gr

from errors import as_user_error
from tools.voices import choices
from tools.web.i18n import render_languages, translate


def error_html(error: BaseException) -> str:
    """Return HTML of an error, its reasons and values included, in every language.

    One that has no name is shown in its own words under a heading.
    """
    found = as_user_error(error)
    return render_languages(lambda language: escape(found.translate(language)))


def page_error(error: BaseException, field: str = "") -> gr.Error:
    """Return what shows an error to the user: page.js puts it beside what was used.

    field: the elem_id of what it belongs beside instead.
    """
    html = error_html(error)
    if field:
        html = f'<span class="beside-{field}">{html}</span>'  # gradio takes other attributes out
    return gr.Error(html, print_exception=False)


@contextmanager
def shown_errors(field: str = "") -> Iterator[None]:
    """Show what is refused, and why, to the user; field: see `page_error`."""
    try:
        yield
    except (ValueError, TypeError, OSError) as error:
        raise page_error(error, field) from error


def chosen_voice(voice: str | None, missing: str = "voice_missing") -> Path:
    """Return the file of a voice that was chosen; shows the user why there is none.

    missing: name of the text where nothing was chosen.
    """
    if not voice:
        raise gr.Error(translate(missing), print_exception=False)
    with shown_errors():
        return choices.voice_path(voice)
