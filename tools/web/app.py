"""The web page: its tabs and its server."""

from __future__ import annotations

import errno
import logging
import os
import socket
import threading
from dataclasses import replace
from importlib.util import find_spec

import gradio as gr
from gradio_client import Client
from starlette.middleware import Middleware

import config
from errors import UserError, os_reason
from tools.convert.client import Session
from tools.jobs.jobs import Jobs
from tools.machine.environment import LOOPBACK
from tools.options import WebOptions
from tools.voices import choices
from tools.web.api import add_endpoints
from tools.web.frame import Frame
from tools.web.guard import Guard, host_name, other_names
from tools.web.i18n import load_texts, read_texts, translate
from tools.web.live.route import LiveRoute
from tools.web.mcp import accept_uploads
from tools.web.tabs.convert import ConvertTab
from tools.web.tabs.help import HelpTab
from tools.web.tabs.live import LiveTab
from tools.web.tabs.song import SongTab
from tools.web.tabs.train import TrainTab
from tools.web.tabs.voices import VoicesTab
from tools.web.theme import THEME, page_head, page_script, page_style
from tools.web.views.job_chip import JobChip

# name -> class of each tab, from left to right; its title is the text <name>_tab
TABS = {
    "convert": ConvertTab,
    "live": LiveTab,
    "song": SongTab,
    "train": TrainTab,
    "voices": VoicesTab,
    "help": HelpTab,
}
PORTS_TRIED = 100
QUEUE_SECONDS = 0.02  # between two looks of gradio's queue; its own are up to 1000 a second
logger = logging.getLogger(__name__)


def build_page(session: Session, jobs: Jobs, text: gr.I18n, warning: str = "") -> gr.Blocks:
    """Put the tabs together; warning: name of a text that stands above them."""
    with gr.Blocks(title="RVC WebUI", analytics_enabled=False) as page:
        gr.HTML(page_head())
        if warning:
            gr.HTML(f'<p class="alert" role="alert">{translate(warning)}</p>')
        add_endpoints(session, jobs)
        frame = Frame(page, gr.Tabs(), text, session, jobs)
        with frame.tabs:
            for name, build_tab in TABS.items():
                with gr.Tab(text(f"{name}_tab"), id=name) as tab:
                    build_tab(replace(frame, tab=tab))
    return page


def open_to_others(options: WebOptions) -> str:
    """Return the name of the warning that a page without a password needs, "" if none."""
    if options.login:
        return ""
    if options.share:
        return "share_warning"
    return "" if options.host in LOOPBACK else "open_warning"


def free_port(host: str, first: int) -> int:
    """Return the first port from `first` on that nobody listens at.

    UserError: the host is not an address of this machine, or all are taken.
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
                raise UserError("no_host", host=host, reason=os_reason(error)) from error
    raise UserError("no_port", first=first, last=last)


def handed_out() -> list[str]:
    """Folders whose files gradio may hand out beside the working folder's: of another data root."""
    if config.DATA.is_relative_to(config.ROOT):
        return []
    return [str(config.RESULTS), str(config.LOGS)]


def serve(options: WebOptions) -> None:
    """Show the page until Ctrl-C."""
    if options.mcp and find_spec("mcp") is None:
        raise UserError("no_mcp", command="python -m pip install -r requirements-mcp.txt")
    port = free_port(options.host, options.port)
    if port != options.port:
        logger.info("Port %d is taken.", options.port)
    session, jobs = Session(), Jobs()
    threading.Thread(target=jobs.watch, args=[session.unload], daemon=True).start()
    text = load_texts()
    warning = open_to_others(options)
    if warning:
        logger.warning("WARNING: %s", read_texts()["en"][warning])
    page = build_page(session, jobs, text, warning)
    names = other_names([options.host, *options.names.split(",")])
    app, local_url, share_url = page.launch(
        server_name=f"[{options.host}]" if ":" in options.host else options.host,
        server_port=port,
        inbrowser=options.browser,
        share=options.share,
        prevent_thread_lock=True,
        quiet=True,
        ssr_mode=False,
        allowed_paths=handed_out(),
        run_history=False,
        footer_links=["api"],
        auth=options.login,
        root_path=options.root_path or None,
        mcp_server=options.mcp,
        theme=THEME,
        head=page_style(),
        js=page_script(list(TABS)),
        i18n=text,
        app_kwargs={"middleware": [Middleware(Guard, names=names, login=options.login)]},
    )
    page.server.config.ws_per_message_deflate = False  # speech does not shrink, and it takes time
    page._queue.sleep_when_free = max(QUEUE_SECONDS, page._queue.sleep_when_free)
    LiveRoute().add_to(app)
    JobChip(session, jobs).add_to(app)
    if share_url:
        names.add(host_name(share_url.partition("://")[2]))
    if page.mcp_server_obj:
        accept_uploads(page.mcp_server_obj)
    if page.mcp_server_obj and options.login:  # its tools ask the page, which asks for the password
        page.mcp_server_obj._client_instance = Client(
            local_url, auth=options.login, download_files=False, verbose=False,
            headers={"x-gradio-user": "mcp"}, _skip_components=False, analytics_enabled=False,
        )  # fmt: skip
    logger.info("The page is at %s (Ctrl-C ends it)", local_url)
    try:
        if known := choices.voices():
            session.load(known[0][1])
        page.block_thread()
    finally:
        session.close()
