"""The web page: its tabs, its look and its server."""

from __future__ import annotations

import errno
import logging
import os
import socket

import gradio as gr

from tools.web import choices
from tools.web.frame import Frame
from tools.web.i18n import load_texts
from tools.web.options import WebOptions
from tools.web.session import Session
from tools.web.tabs.convert import ConvertTab

# name -> class of each tab, from left to right; its title is the text <name>_tab
TABS = {
    "convert": ConvertTab,
}
PORTS_TRIED = 100
THEME = gr.themes.Soft(
    primary_hue="teal",
    neutral_hue="slate",
    font=["system-ui", "Segoe UI", "PingFang SC", "Microsoft YaHei", "sans-serif"],
    font_mono=["ui-monospace", "Consolas", "monospace"],
).set(  # darker than the theme's own, so that text stands out 4.5 : 1
    body_background_fill="*neutral_50",
    block_label_background_fill_dark="*primary_800",
    block_title_background_fill_dark="*primary_800",
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_dark="*primary_700",
    button_primary_background_fill_hover_dark="*primary_600",
    block_info_text_color="*neutral_600",
    block_info_text_color_dark="*neutral_300",
    block_label_text_color="*primary_800",
    block_title_text_color="*primary_800",
    body_text_color_subdued="*neutral_600",
    body_text_color_subdued_dark="*neutral_300",
)
CSS = """
.gradio-container { max-width: 1100px !important; margin: 0 auto !important; }
@media (max-width: 480px) { .gradio-container > main { padding: 12px !important; } }
.command textarea { font-family: var(--font-mono); font-size: var(--text-sm); }
"""

logger = logging.getLogger(__name__)


def build_page(session: Session, text: gr.I18n) -> gr.Blocks:
    """Put the tabs together."""
    with gr.Blocks(title="RVC WebUI", analytics_enabled=False) as page:
        gr.Markdown("# RVC WebUI")
        gr.Markdown(text("subtitle"))
        with gr.Tabs() as tabs:
            frame = Frame(page, tabs, text, session)
            for name, build_tab in TABS.items():
                with gr.Tab(text(f"{name}_tab"), id=name):
                    build_tab(frame)
    return page


def free_port(host: str, first: int) -> int:
    """Return the first port from `first` on that nobody listens at.

    ValueError: the host is not an address of this machine, or all are taken.
    """
    last = min(first + PORTS_TRIED, 65536) - 1
    for port in range(first, last + 1):
        try:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            with socket.socket(family) as listener:
                if os.name == "posix":  # elsewhere it would share a port that is in use
                    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(address)
            return port
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise ValueError(f"cannot listen at --host {host}: {error}") from error
    raise ValueError(f"ports {first} to {last} are all taken; choose another with --port")


def serve(options: WebOptions) -> None:
    """Show the page until Ctrl-C."""
    port = free_port(options.host, options.port)
    if port != options.port:
        logger.info("Port %d is taken.", options.port)
    session = Session()
    text = load_texts()
    page = build_page(session, text)
    _, local_url, _ = page.launch(
        server_name=options.host,
        server_port=port,
        inbrowser=options.browser,
        share=options.share,
        prevent_thread_lock=True,
        quiet=True,
        ssr_mode=False,
        run_history=False,
        footer_links=["settings", "api"],
        theme=THEME,
        css=CSS,
        i18n=text,
    )
    logger.info("The page is at %s (Ctrl-C ends it)", local_url)
    try:
        if known := choices.voices():
            session.load(known[0][1])
        page.block_thread()
    finally:
        session.close()
