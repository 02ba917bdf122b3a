"""How a method becomes an endpoint, and its refusals one line that reaches the caller."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import gradio as gr

from errors import UserError, as_user_error


def add_plain(*actions: Callable[..., Any]) -> None:
    """Make an endpoint of each function, named as it is; its hints are the types of its values."""
    for action in actions:
        gr.api(_refusing(action), api_name=action.__name__, concurrency_limit=4)


def add_with_files(action: Callable[..., Any], inputs: list[Any], outputs: Any) -> None:
    """Make an endpoint whose inputs or outputs are files, which gr.api does not carry."""
    gr.Button(visible=False).click(
        _refusing(action), inputs, outputs, api_name=action.__name__, concurrency_limit=4
    )


def audio(label: str) -> gr.Audio:
    """Return an input for an audio or video file."""
    return gr.Audio(type="filepath", label=label, visible=False)


def file(label: str) -> gr.File:
    """Return an input or output for any file."""
    return gr.File(label=label, visible=False)


def textbox(label: str, default: str | None = None) -> gr.Textbox:
    """Return an input for a text."""
    return gr.Textbox(default, label=label, visible=False)


def number(label: str, default: float | None = None) -> gr.Number:
    """Return an input for a number."""
    return gr.Number(default, label=label, visible=False)


def answer() -> gr.JSON:
    """Return an output for plain values."""
    return gr.JSON(label="answer", visible=False)


def uploaded(path: str | None, what: str = "recording") -> Path:
    """Return the path of a file that the caller sent. UserError: there is none."""
    if not path:
        raise UserError("needed", what=what)
    return Path(path)


def _refusing(action: Callable[..., Any]) -> Callable[..., Any]:
    """Let the caller read why something was refused; other failures stay failures."""

    @wraps(action)
    def asked(*arguments: Any) -> Any:
        try:
            return action(*arguments)
        except (ValueError, TypeError, OSError) as error:
            raise gr.Error(str(as_user_error(error)), print_exception=False) from error

    return asked
