"""What the page is started with: its command line and its environment variables."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from errors import UserError
from options import Options, option

LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, kw_only=True)
class WebOptions(Options):
    """Open the web page of the voice converter."""

    MODULE = "infer-web"

    host: str = option("address to listen at; 0.0.0.0 opens it to your network", "127.0.0.1")
    port: int = option("first port to try", 7865, within=(1, 65535))
    browser: bool = option("open the page in your browser", True)
    share: bool = option("also make a public link through gradio's server", False)
    names: str = option(
        "other names that the page is reached under, with commas, e.g. behind a proxy; * for any",
        "",
    )
    auth: str = option("name:password that the page asks for", "")
    mcp: bool = option("also serve the API as MCP tools; needs requirements-mcp.txt", False)
    root_path: str = option("path at which a reverse proxy shows the page, e.g. /rvc", "")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.auth and not all(self.auth.partition(":")):
            raise UserError("auth")

    @property
    def login(self) -> tuple[str, str] | None:
        """Name and password that the page asks for, if it does."""
        name, _, password = self.auth.partition(":")
        return (name, password) if self.auth else None


def page_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that the page's process needs beside those it has.

    The page talks to itself over loopback, so a proxy must not come between; nothing is reported
    to anyone; uploads go to a folder of this user's own; a GPU has the number that nvidia-smi
    gives it, also in the processes that this one starts.
    """
    # getproxies lets the lower-case name win, so both names get the same list
    listed = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    hosts = [host.strip() for host in listed.split(",") if host.strip()]
    without_proxy = ",".join(hosts + [host for host in LOOPBACK if host not in hosts])
    user = f"-{os.getuid()}" if hasattr(os, "getuid") else ""
    uploads = str(Path(tempfile.gettempdir()) / f"rvc-webui{user}")
    return {
        "no_proxy": without_proxy,
        "NO_PROXY": without_proxy,
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "GRADIO_TEMP_DIR": environment.get("GRADIO_TEMP_DIR") or uploads,
    }
