"""How the page looks: one calm theme, light and dark. page.css and page.js stand beside."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from tools.web.i18n import spoken

HERE = Path(__file__).parent
STYLE = HERE / "page.css"
SCRIPT = HERE / "page.js"  # switches language and shade
LANGUAGES = {"en": "English", "zh-CN": "中文"}
THEME = gr.themes.Soft(
    primary_hue="teal",
    neutral_hue="slate",
    font=["system-ui", "Segoe UI", "PingFang SC", "Microsoft YaHei", "sans-serif"],
    font_mono=["ui-monospace", "Consolas", "monospace"],
).set(  # darker than the theme's own, so that text stands out 4.5 : 1
    body_background_fill="*neutral_50",
    block_label_background_fill="*block_background_fill",
    block_label_background_fill_dark="*block_background_fill",
    block_label_shadow="none",
    block_title_background_fill="none",
    block_title_background_fill_dark="none",
    block_title_padding="0",
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_dark="*primary_700",
    button_primary_background_fill_hover_dark="*primary_600",
    block_info_text_color="*neutral_600",
    block_info_text_color_dark="*neutral_300",
    block_label_text_color="*primary_800",
    block_label_text_color_dark="*primary_200",
    block_title_text_color="*primary_800",
    block_title_text_color_dark="*primary_200",
    body_text_color_subdued="*neutral_600",
    body_text_color_subdued_dark="*neutral_300",
)


def page_style() -> str:
    """Return page.css for the page's <head>; gradio's own `css` rewrites its selectors."""
    return f"<style>{STYLE.read_text(encoding='utf-8')}</style>"


def page_head() -> str:
    """Return the HTML of title, subtitle and the switches of language and shade."""
    switches = "".join(
        f'<button type="button" data-language="{code}" lang="{code}">{name}</button>'
        for code, name in LANGUAGES.items()
    )
    return (
        f'<div class="page-head"><h1>RVC WebUI</h1><p>{spoken("subtitle")}</p><nav>{switches}'
        f'<button type="button" data-shade>◐ {spoken("shade")}</button></nav></div>'
    )
