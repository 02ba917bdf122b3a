"""What training says in its own words (notes of progress, the line in a voice), in plain ones."""

from __future__ import annotations

import re
from html import escape

from tools.web.i18n import translate

SAID = {  # pattern -> name of the text that takes its groups
    r"(?P<steps>\d+) steps, held-out loss (?P<loss>[\d.]+)": "said_trained",
    r"(?P<steps>\d+) steps, held-out loss nan": "said_unmeasured",
    r"(?P<epochs>\d+)epoch": "said_epochs",
    r"extracted from (?P<file>.+), epoch (?P<epochs>\d+)": "said_extracted",
    r"step (?P<step>\d+), epoch (?P<epoch>\d+), mel loss (?P<loss>[\d.]+)": "said_step",
    r"(?P<file>.+) loads": "said_loads",
    r"(?P<file>.+) opens": "said_opens",
    r"a clip converts": "said_converts",
}


def said_html(text: str) -> str:
    """Return HTML of it in the language of the page; what a user wrote stays as it is."""
    for pattern, name in SAID.items():
        if match := re.fullmatch(pattern, text):
            return translate(name, **match.groupdict())
    return escape(text)
