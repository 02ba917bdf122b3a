"""The voices as cards: picture, name, and in one line each what they are and what is known."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

import gradio as gr

from tools.voices.library import Voice, from_root
from tools.web.errors import error_html
from tools.web.i18n import explained, read_texts, translate
from tools.web.units import size_text
from tools.web.views.said import said_html

PICTURE_BYTES = 2**20  # larger ones are not put into the page
MIME = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}
SCRIPT = Path(__file__).parents[1] / "voices.js"  # what is pressed and heard


def build_cards() -> gr.HTML:
    """Lay out the cards; their events select, use and hear tell which voice was pressed."""
    said = {
        name: read_texts()["en"][f"gradio_voice_{name}"] for name in ("hear", "pause", "making")
    }
    script = SCRIPT.read_text(encoding="utf-8").replace("SAID", json.dumps(said))
    return gr.HTML(elem_id="voices", js_on_load=script, heard={})


def voice_cards(voices: Sequence[Voice], selected: str | None) -> str:
    """Return HTML of a button for each voice; selected: path of the one that is worked on."""
    if not voices:
        return f'<p class="waiting">{translate("voices_empty")}</p>'
    cards = "".join(f"<li>{_card(voice, selected)}{_acts(voice)}</li>" for voice in voices)
    return f'<ul class="voices">{cards}</ul>'


def _card(voice: Voice, selected: str | None) -> str:
    path = from_root(voice.path)
    info = f"<small>{said_html(voice.header.info)}</small>" if voice.header.info else ""
    return (
        f'<button type="button" data-voice="{escape(path)}" aria-pressed="{_js(path == selected)}">'
        f"{_picture(voice)}<span><strong>{escape(voice.name)}</strong>"
        f"{_facts(voice)}{info}</span></button>"
    )


def _acts(voice: Voice) -> str:
    if voice.problem:
        return ""
    button = f'<button type="button" data-voice="{escape(from_root(voice.path))}"'
    return (
        f'{button} class="hear" aria-label="{read_texts()["en"]["gradio_voice_hear"]}">▶</button>'
        f'{button} class="use">{translate("voices_use")}</button>'
    )


def _facts(voice: Voice) -> str:
    header = voice.header
    if voice.problem:
        return f'<span class="alert">{error_html(voice.problem)}</span>'
    facts = [
        explained(header.version, "kind_info"),
        f"{header.sample_rate / 1000:g} kHz",
        size_text(voice.size),
    ]
    if not header.use_f0:
        facts.append(translate("voices_without_f0"))
    elif hertz := header.f0_median.get(0):
        facts.append(pitch_html(hertz, header.f0_range.get(0)))
    if header.num_speakers > 1:
        facts.append(translate("voices_speakers", count=header.num_speakers))
    known = "voices_with_index" if voice.index else "voices_without_index"
    facts.append(explained(known, "index_info"))
    if voice.is_shipped:
        facts.append(translate("voices_shipped"))
    return f'<span class="facts">{"".join(f"<span>{fact}</span>" for fact in facts)}</span>'


def pitch_html(hertz: float, around: Sequence[float] | None) -> str:
    """Return HTML of where a voice lies: its median in Hz, and its range where that is known."""
    values: dict[str, object] = {"hertz": round(hertz)}
    if around:
        return translate("about_range", **values, low=round(around[0]), high=round(around[1]))
    return translate("about_pitch", **values)


def _picture(voice: Voice) -> str:
    path = voice.picture
    if path is None or path.stat().st_size > PICTURE_BYTES:
        letter = escape(voice.name[:1].upper())
        return f'<span class="voice-picture" aria-hidden="true">{letter}</span>'
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    source = f"data:image/{MIME[path.suffix.lower()]};base64,{data}"
    return f'<img class="voice-picture" alt="" src="{source}">'


def _js(value: bool) -> str:
    return "true" if value else "false"
