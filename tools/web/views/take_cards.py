"""Takes as cards: what each was made with, and what can be done with it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from html import escape
from pathlib import Path

from infer.options import ConvertOptions
from options import default_of
from tools.jobs.takes import BY_HAND, Take
from tools.web.i18n import read_texts, translate

ACTIONS = {  # name -> what is seen of its button; its words are those of gradio_take_<name>
    "star": "☆", "compare": "A", "download": "⤓", "settings": "⟲", "delete": "✕",
}  # fmt: skip
PRESSED = """element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-act]");
  if (button) trigger("select", { act: button.dataset.act, name: button.dataset.name || "" });
});"""  # the event of gr.HTML that tells what was pressed
DEFAULTS = {name: default_of(item) for name, item in ConvertOptions.__dataclass_fields__.items()}


def take_cards(takes: Sequence[Take], making: Sequence[str], deleted: str, more: int) -> str:
    """Return HTML of the takes. making: names of files that are being made; deleted: the take that
    can be brought back, "" for none; more: how many there are if they are not all shown, else 0.
    """
    undo = ""
    if deleted:
        said = translate("takes_deleted", name=deleted)
        undo = (
            f'<p role="status">{said} {button_html("undo", deleted, translate("takes_undo"))}</p>'
        )
    made = "".join(
        f'<li class="making">{translate("takes_making", name=each)} '
        f"{button_html('stop', each, translate('stop'))}</li>"
        for each in making
    )
    cards = "".join(_card(take) for take in takes)
    rest = button_html("more", "", translate("takes_more", count=more)) if more else ""
    empty = "" if cards or made else f'<p class="quiet">{translate("takes_empty")}</p>'
    return f'{undo}<ul class="takes">{made}{cards}</ul>{rest}{empty}'


def take_label(take: Take) -> str:
    """What a take is called where there is little room."""
    return f"{Path(take.voice).stem} {time.strftime('%H:%M:%S', time.localtime(take.made))}"


def settings_html(take: Take) -> str:
    """Return HTML of the settings that are not the usual ones, in the language of the page."""
    settings, is_by_hand = dict(take.settings), take.pitch == BY_HAND
    if not settings.get("semitones") and not is_by_hand:
        settings.pop("semitones", None)  # nothing was moved, and nobody asked for it
    changed = [
        f"{translate(name)} {escape(_shown(value))}"
        for name, value in settings.items()
        if name in read_texts()["en"] and value not in (DEFAULTS.get(name), "", None)
        and name != "format"
    ]  # fmt: skip
    if take.is_drawn:
        changed.append(translate("takes_curve"))
    if take.part is not None:
        first, last = (f"{second:.1f}" for second in take.part)
        changed.append(translate("takes_part", first=first, last=last))
    return " · ".join(changed) or translate("takes_usual")


def _card(take: Take) -> str:
    title = translate("takes_from", voice=Path(take.voice).stem, source=Path(take.source).stem)
    day = time.strftime("%Y-%m-%d %H:%M", time.localtime(take.made))
    number = f"take-{escape(take.name)}"
    buttons = "".join(
        button_html(
            act, take.name, "★" if act == "star" and take.is_starred else seen,
            read_texts()["en"][f"gradio_take_{act}"],
            f' aria-pressed="{"true" if take.is_starred else "false"}"' if act == "star" else "",
        )
        for act, seen in ACTIONS.items()
    )  # fmt: skip
    if take.cover:
        buttons = button_html("mix", take.name, translate("takes_mix")) + buttons
    play = button_html("play", take.name, "▶", read_texts()["en"]["gradio_take_play"])
    return (
        f'<li aria-labelledby="{number}">{play}<span class="take-words">'
        f'<strong id="{number}">{title}</strong><small>{settings_html(take)} · {day}</small></span>'
        f'<span class="take-acts">{buttons}</span></li>'
    )


def button_html(act: str, name: str, seen: str, label: str = "", more: str = "") -> str:
    """Return a button that triggers the event of PRESSED."""
    named = f' aria-label="{escape(label)}"' if label else ""
    return (
        f'<button type="button" data-act="{act}" data-name="{escape(name)}"{named}{more}>'
        f"{seen}</button>"
    )


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else Path(str(value)).stem
