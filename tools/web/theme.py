"""How the page looks: one calm theme, light and dark. Its .css and .js files stand beside."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import gradio as gr

from tools.web.i18n import read_texts, translate

HERE = Path(__file__).parent
STYLES = [HERE / "page.css", HERE / "stage.css", HERE / "live" / "page.css"]
SCRIPT = HERE / "page.js"  # switches language and shade
DROP = HERE / "drop.js"  # takes what is dropped
LANGUAGES = {"en": "English", "zh-CN": "中文"}
THEME = gr.themes.Base(
    primary_hue="teal",
    neutral_hue="slate",
    radius_size="lg",
    font=["system-ui", "Segoe UI", "PingFang SC", "Microsoft YaHei", "sans-serif"],
    font_mono=["ui-monospace", "Consolas", "monospace"],
).set(  # texts stand out 4.5 : 1 at least, borders of what can be changed 3 : 1
    body_background_fill="*neutral_50",
    body_text_color_subdued="*neutral_600",
    body_text_color_subdued_dark="*neutral_300",
    link_text_color="*primary_700",
    link_text_color_dark="*primary_300",
    block_background_fill="white",
    block_border_width="1px",
    block_shadow="none",
    block_label_background_fill="transparent",
    block_label_background_fill_dark="transparent",
    block_label_border_width="0px",
    block_label_shadow="none",
    block_label_text_color="*body_text_color",
    block_label_text_color_dark="*body_text_color",
    block_label_text_size="*text_sm",
    block_label_text_weight="600",
    block_title_text_color="*body_text_color",
    block_title_text_color_dark="*body_text_color",
    block_title_text_size="*text_sm",
    block_title_text_weight="600",
    block_info_text_color="*neutral_600",
    block_info_text_color_dark="*neutral_300",
    block_info_text_size="*text_sm",
    input_background_fill="white",
    input_background_fill_dark="*neutral_900",
    input_border_color="*neutral_400",
    input_border_color_dark="*neutral_500",
    input_border_color_focus="*primary_600",
    input_border_color_focus_dark="*primary_400",
    input_border_width="1px",
    checkbox_border_color="*neutral_400",
    checkbox_border_color_dark="*neutral_500",
    input_shadow="none",
    input_shadow_focus="0 0 0 3px color-mix(in srgb, *primary_500 25%, transparent)",
    slider_color="*primary_600",
    slider_color_dark="*primary_500",
    button_border_width="1px",
    button_large_text_size="*text_md",
    button_large_text_weight="600",
    button_small_text_weight="500",
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_dark="*primary_700",
    button_primary_background_fill_hover_dark="*primary_600",
    button_primary_border_color="*primary_700",
    button_primary_border_color_dark="*primary_700",
    button_primary_text_color="white",
    button_primary_text_color_dark="white",
    button_secondary_background_fill="white",
    button_secondary_background_fill_hover="*neutral_100",
    button_secondary_background_fill_dark="*neutral_800",
    button_secondary_background_fill_hover_dark="*neutral_700",
    button_secondary_border_color="*neutral_300",
    button_secondary_border_color_dark="*neutral_600",
    button_cancel_background_fill="white",
    button_cancel_background_fill_hover="*neutral_100",
    button_cancel_background_fill_dark="*neutral_800",
    button_cancel_background_fill_hover_dark="*neutral_700",
    button_cancel_border_color="#dc2626",
    button_cancel_border_color_dark="#f87171",
    button_cancel_text_color="#b91c1c",
    button_cancel_text_color_dark="#fca5a5",
)


# of every player: the played part is of the page's colour
WAVEFORM = gr.WaveformOptions(waveform_color="#94a3b8", waveform_progress_color="#0d9488")


def page_style() -> str:
    """Return styles and drop.js for the page's <head>; gradio's own `css` rewrites selectors."""
    styles = "".join(f"<style>{style.read_text(encoding='utf-8')}</style>" for style in STYLES)
    texts = read_texts()
    words = {
        name: {language: texts[language][name] for language in texts}
        for name in texts["en"]
        if name.startswith("drop_")
    }
    script = DROP.read_text(encoding="utf-8").replace("DROP_WORDS", json.dumps(words))
    return f"{styles}<script>{script}</script>"


def page_script(tabs: Sequence[str]) -> str:
    """Return page.js with the names of the tabs and the translations that gradio lacks."""
    texts = read_texts()
    late = [f"{name}_tab" for name in tabs]
    late += ["one_recording", "many_recordings", "song_whole", "song_stems"]
    late += [name for name in texts["en"] if name.startswith("late_")]
    words = {
        said: {language: texts[language][name] for language in texts}
        for name, said in texts["en"].items()
        if name.startswith("gradio_")
    }
    values = {
        "WORDS": words,
        "LATE": [{language: texts[language][name] for language in texts} for name in late],
        "TABS": list(tabs),
    }
    script = SCRIPT.read_text(encoding="utf-8")
    for name, value in values.items():
        script = script.replace(name, json.dumps(value))
    return script


def page_head() -> str:
    """Return the HTML of title, subtitle and the switches of language and shade."""
    switches = "".join(
        f'<button type="button" data-language="{code}" lang="{code}">{name}</button>'
        for code, name in LANGUAGES.items()
    )
    return (
        f'<div class="page-head"><h1>RVC WebUI</h1><p>{translate("subtitle")}</p><nav>{switches}'
        f'<button type="button" data-shade>◐ {translate("shade")}</button></nav></div>'
        '<div id="job-chip" role="status"></div>'
    )
