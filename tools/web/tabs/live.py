"""The tab of live speech: a page of its own kind, whose sound goes through a WebSocket.

What it looks like and does stands in tools/web/live; the sound's way in tools/web/live/route.py.
"""

from __future__ import annotations

import json
import re
from html import escape
from pathlib import Path

import gradio as gr

from infer.options import STREAM_MODES, StreamOptions
from tools.web.frame import Frame
from tools.web.i18n import read_texts, translate

HERE = Path(__file__).parents[1] / "live"
SAID = "live_said_"  # what texts are called that page.js shows when it is time
PLAIN = ("live_default",)  # for options of a list, which hold no HTML


class LiveTab:
    """Microphone in, another voice out."""

    def __init__(self, frame: Frame) -> None:
        gr.HTML(_page(), js_on_load=_script(), elem_id="live", apply_default_css=False)


def _page() -> str:
    said = "".join(
        f'<div data-live="text-{name.removeprefix(SAID)}">{_keeping_places(name)}</div>'
        for name in read_texts()["en"]
        if name.startswith(SAID)
    )
    values = {
        "MODES": "".join(map(_mode, STREAM_MODES)),
        "INDEX_RATE": str(StreamOptions.index_rate),
        "GATE_DB": str(round(StreamOptions.gate_db)),
        "SAID": said,
    }
    page = (HERE / "page.html").read_text(encoding="utf-8")
    page = re.sub(r"\{(\w+)\}", lambda found: translate(found[1]), page)
    return re.sub(r"\[([A-Z_]+)\]", lambda found: values[found[1]], page)


def _mode(mode: str) -> str:
    block, look_ahead, _ = STREAM_MODES[mode]
    least = translate("live_at_least", milliseconds=round(1000 * (block + look_ahead)))
    checked = " checked" if mode == StreamOptions.mode else ""
    return (
        f'<label><input type="radio" name="live-mode" data-live="mode" value="{mode}"{checked}>'
        f"{translate(f'live_mode_{mode}')} <small>{least}</small></label>"
    )


def _keeping_places(name: str) -> str:
    """A text in every language whose {places} page.js fills."""
    places = set(re.findall(r"\{(\w+)\}", read_texts()["en"][name]))
    return translate(name, **{place: f"{{{place}}}" for place in places})


def _script() -> str:
    sources = {
        "AUDIO_SOURCE": _source("audio.js"),
        "SOCKET_SOURCE": _source("socket.js"),
        "TEXTS": {
            language: {name: escape(texts[name], quote=False) for name in PLAIN}
            for language, texts in read_texts().items()
        },
    }
    script = _source("page.js")
    for name, value in sources.items():
        script = script.replace(name, json.dumps(value, ensure_ascii=False), 1)
    return script


def _source(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")
