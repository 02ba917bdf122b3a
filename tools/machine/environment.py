"""What the page's process needs of its environment variables."""

from __future__ import annotations

import inspect
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def unusable_proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables with proxies that httpx refuses, such as socks:// or http://host:port.

    Where one is set, httpx opens no connection at all, not even one that needs no proxy.
    """
    known = ("http", "https", *(("socks5", "socks5h") if find_spec("socksio") else ()))
    return {
        name: value
        for name, value in environment.items()
        if name.lower() in ("all_proxy", "http_proxy", "https_proxy")
        and "://" in value
        and (value.partition("://")[0].lower() not in known or not _is_address(value))
    }


def _is_address(text: str) -> bool:
    """Whether httpx can read an address."""
    import httpx

    try:
        httpx.URL(text)
    except httpx.InvalidURL:
        return False
    return True


def _hosts(listed: str) -> list[str]:
    """Return the hosts of a no_proxy, without what httpx refuses: brackets, masks and nonsense."""
    hosts = []
    for host in map(str.strip, listed.split(",")):
        if host.count(":") > 1 and "://" not in host:
            host = host.strip("[]").partition("/")[0]
            address = f"all://[{host}]"
        else:
            address = host if "://" in host else f"all://*{host}"
        if host == "*" or (host and _is_address(address)):
            hosts.append(host)
    return hosts


def page_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that the page's process needs beside those it has.

    The page talks to itself over loopback, so a proxy must not come between; nothing is reported
    to anyone; proxies that httpx refuses are left out; uploads go to a folder of this user's own;
    a GPU has the number that nvidia-smi gives it, also in the processes that this one starts.
    """
    # getproxies lets the lower-case name win, so both names get the same list
    listed = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    hosts = _hosts(listed)
    without_proxy = ",".join(hosts + [host for host in LOOPBACK if host not in hosts])
    user = f"-{os.getuid()}" if hasattr(os, "getuid") else ""
    uploads = str(Path(tempfile.gettempdir()) / f"rvc-webui{user}")
    return {
        **dict.fromkeys(unusable_proxies(environment), ""),
        "no_proxy": without_proxy,
        "NO_PROXY": without_proxy,
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "GRADIO_TEMP_DIR": environment.get("GRADIO_TEMP_DIR") or uploads,
    }


@contextmanager
def quick_gradio() -> Iterator[None]:
    """Let gradio be imported without the stubs that it writes for editors: half of its time.

    Each time it reads its own sources and makes a .pyi anew for every class of component, but for
    those whose file `inspect` does not find.
    """
    find = inspect.getfile

    def find_for_others(thing: Any) -> str:
        if sys._getframe(1).f_code.co_name == "create_or_modify_pyi":
            raise OSError  # as for a class that has no file
        return find(thing)

    inspect.getfile = find_for_others
    try:
        yield
    finally:
        inspect.getfile = find
