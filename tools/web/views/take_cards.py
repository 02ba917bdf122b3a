"""Takes as cards: what each was made with, and what can be done with it."""

from __future__ import annotations

import time
from pathlib import Path

from infer.options import ConvertOptions
from options import default_of
from tools.jobs.takes import BY_HAND, Take, recording_of
from tools.web.i18n import read_texts, translate
from tools.web.views.tray import SEEN, button_html, card_html, setting_html

DEFAULTS = {name: default_of(item) for name, item in ConvertOptions.__dataclass_fields__.items()}


def take_card(take: Take) -> str:
    """Return HTML of a take's card."""
    title = translate("takes_from", voice=Path(take.voice).stem, source=recording_of(take))
    mix = button_html("mix", take.name, translate("takes_mix")) if take.cover else ""
    return card_html(take, title, settings_html(take), take.made, tuple(SEEN), mix)


def take_label(take: Take) -> str:
    """What a take is called where there is little room."""
    return f"{Path(take.voice).stem} {time.strftime('%H:%M:%S', time.localtime(take.made))}"


def settings_html(take: Take) -> str:
    """Return HTML of the settings that are not the usual ones, in the language of the page."""
    settings, is_by_hand = dict(take.settings), take.pitch == BY_HAND
    if not settings.get("semitones") and not is_by_hand:
        settings.pop("semitones", None)  # nothing was moved, and nobody asked for it
    changed = [
        setting_html(name, value)
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
