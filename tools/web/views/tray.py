"""A tray: cards of what was made, the starred first, and what can be done with each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from tools.jobs.covers import CoverJob
from tools.jobs.takes import Take
from tools.web.i18n import read_texts, translate

SHOWN = 8  # cards, until all are asked for
SEEN = {  # act -> what is seen of its button; its words are those of gradio_take_<act>
    "play": "▶", "star": "☆", "compare": "A", "download": "⤓", "settings": "⟲", "delete": "✕",
}  # fmt: skip
PRESSED = """element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-act]");
  if (button) trigger("select", { act: button.dataset.act, name: button.dataset.name || "" });
});"""  # the event of gr.HTML that tells what was pressed


def build_tray(elem_id: str, heading: str) -> gr.HTML:
    """Lay out a tray under a heading; its event `select` tells act and name of what is pressed."""
    gr.HTML(f'<h2 class="step-head">{translate(heading)}</h2>')
    return gr.HTML(elem_id=elem_id, js_on_load=PRESSED)


def tray_html(
    made: Sequence[Take | CoverJob],
    card: Callable[[Any], str],
    making: Sequence[str],
    trashed: tuple[str, str] | None,
    is_all: bool,
    empty: str,
) -> str:
    """Return HTML of a tray. card: gives the HTML of one; making: HTML of what is being made.

    trashed: name of what can be brought back, and what it is called; is_all: more than SHOWN are
    shown; empty: name of the text that stands where there is nothing.
    """
    undo = more = ""
    if trashed is not None:
        name, called = trashed
        button = button_html("undo", name, translate("takes_undo"))
        undo = f'<p role="status">{translate("takes_deleted", name=called)} {button}</p>'
    shown = sorted(made, key=lambda each: not each.is_starred)
    if len(shown) > SHOWN and not is_all:
        more = button_html("more", "", translate("takes_more", count=len(shown)))
        shown = shown[:SHOWN]
    cards = "".join([*making, *map(card, shown)])
    nothing = "" if cards else f'<p class="quiet">{translate(empty)}</p>'
    return f'{undo}<ul class="takes">{cards}</ul>{more}{nothing}'


def making_html(name: str, said: str) -> str:
    """Return HTML of what is being made, and can be stopped; said: HTML."""
    return f'<li class="making">{said} {button_html("stop", name, translate("stop"))}</li>'


def card_html(
    item: Take | CoverJob,
    title: str,
    about: str,
    moment: float,
    acts: Sequence[str],
    buttons: str = "",
) -> str:
    """Return HTML of a card. title, about and buttons (its first ones) are HTML.

    moment: seconds since 1970; acts: those of SEEN that it can do, play stands in front.
    """
    number = f"take-{'-'.join(escape(item.name).split())}"  # a space would begin another name
    day = time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))
    can = {act: _act_html(act, item) for act in acts}
    play = can.pop("play", "")
    return (
        f'<li aria-labelledby="{number}">{play}<span class="take-words">'
        f'<strong id="{number}">{title}</strong><small>{about} · {day}</small></span>'
        f'<span class="take-acts">{buttons}{"".join(can.values())}</span></li>'
    )


def button_html(act: str, name: str, seen: str, label: str = "", more: str = "") -> str:
    """Return a button that triggers the event of PRESSED."""
    named = f' aria-label="{escape(label)}"' if label else ""
    return (
        f'<button type="button" data-act="{act}" data-name="{escape(name)}"{named}{more}>'
        f"{seen}</button>"
    )


def setting_html(label: str, value: object) -> str:
    """Return HTML of a setting, its label a text's name; what is only switched on has no value."""
    if value is True:
        return translate(label)
    shown = f"{value:g}" if isinstance(value, float) else Path(str(value)).stem
    return f"{translate(label)} {escape(shown)}"


def _act_html(act: str, item: Take | CoverJob) -> str:
    label, seen, more = read_texts()["en"][f"gradio_take_{act}"], SEEN[act], ""
    if act == "star":
        seen = "★" if item.is_starred else seen
        more = f' aria-pressed="{"true" if item.is_starred else "false"}"'
    return button_html(act, item.name, seen, label, more)
