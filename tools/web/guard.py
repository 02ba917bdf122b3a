"""Who may ask the page: requests of foreign web sites, and without the password, are refused."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import re
import secrets
import socket
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from gradio.utils import get_upload_folder
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

API = "/gradio_api"
# what the form that asks for the password is made of, and what the page asks of itself at its start
OPEN = ("/", "/login", "/logout", "/theme.css", "/favicon.ico", "/manifest.json", "/robots.txt",
        "/pwa_icon", f"{API}/user", f"{API}/login_check", f"{API}/startup-events",
        f"{API}/theme.css")  # fmt: skip
OPEN_FOLDERS = ("/assets/", "/static/", "/svelte/")
ANY = "*"


class Guard:
    """ASGI middleware: asks Host, Origin and Sec-Fetch-Site of every request, then its password.

    A web site that the user visits can send requests to 127.0.0.1, under its own Origin; with a
    name of its own that leads to 127.0.0.1 (DNS rebinding), under its own Host. names: under which
    the page may be reached, beside addresses and this computer's own names; ANY for all of them.
    """

    def __init__(self, app: ASGIApp, names: set[str], login: tuple[str, str] | None = None) -> None:
        self._app, self._names, self._login = app, names, login

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        refusal = self._refuse_site(Headers(scope=scope), scope)
        if refusal is None:
            refusal = self._refuse_stranger(scope)
        if refusal is None and not _is_handed_out(scope["path"]):
            refusal = _refusal("only what was uploaded or made here is handed out")
        if refusal is None:
            return await self._app(scope, receive, send)
        await refusal(scope, receive, send)

    def _refuse_site(self, headers: Headers, scope: Scope) -> Response | None:
        """403 for what another web site asks, None for what may go on."""
        host = headers.get("host", "")
        if not self._is_own(host_name(host)):
            return _refusal(f"Host {host!r} is not this page; start it with --names to allow it")
        origin = headers.get("origin")
        if origin is not None and not self._is_same(origin, host):
            return _refusal(f"Origin {origin!r} is another web site")
        is_link = scope.get("method") == "GET" and (
            headers.get("sec-fetch-mode") == "navigate"
            and headers.get("sec-fetch-dest") == "document"
        )  # to follow a link to the page is allowed, to show it in a frame is not
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and not is_link:
            return _refusal("another web site asks")
        return None

    def _refuse_stranger(self, scope: Scope) -> Response | None:
        """401 without the password, where there is one; None for what may go on."""
        if self._login is None:
            return None
        app = scope["app"]  # gradio's, which knows who has logged in
        headers = Headers(scope=scope)
        if _cookie(headers, app.cookie_id) in app.tokens:
            return None
        if _has_password(headers.get("authorization", ""), self._login):
            token = secrets.token_urlsafe(16)  # gradio itself knows cookies only
            app.tokens[token] = self._login[0]
            MutableHeaders(scope=scope)["cookie"] = f"access-token-unsecure-{app.cookie_id}={token}"
            return None
        path = scope["path"].removeprefix(scope.get("root_path", "")).rstrip("/") or "/"
        if path in OPEN or f"{path}/".startswith(OPEN_FOLDERS) or path.startswith("/pwa_icon/"):
            return None
        headers = {"WWW-Authenticate": "Basic"} if path.startswith(f"{API}/mcp") else None
        return PlainTextResponse("Not authenticated", 401, headers)

    def _is_own(self, name: str) -> bool:
        return ANY in self._names or name in self._names | own_names() or is_address(name)

    def _is_same(self, origin: str, host: str) -> bool:
        """Whether an Origin is this page: the very Host that was asked, or a name it may have."""
        parts = urlsplit(origin)
        default = {"http": 80, "https": 443}.get(parts.scheme)
        try:
            asked = urlsplit(f"//{host}")
            if (parts.hostname, parts.port or default) == (asked.hostname, asked.port or default):
                return True
        except ValueError:
            return False
        return ANY in self._names or parts.hostname in self._names


@cache
def own_names() -> frozenset[str]:
    """Return the names that only this computer has."""
    name = socket.gethostname().lower()
    return frozenset({"localhost", name, f"{name.partition('.')[0]}.local"})


def other_names(named: Iterable[str]) -> set[str]:
    """Return the names among those given that are not this computer's anyway."""
    names = {name.strip().lower() for name in named}
    return {name for name in names - own_names() if name and not is_address(name)}


def host_name(host: str) -> str:
    """Return the name in a Host header: without port and brackets, "" if it is none."""
    if not re.fullmatch(r"\[[^\[\]]*\](:\d*)?|[^\[\]]*", host):  # Python 3.11 lets more pass
        return ""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def is_address(name: str) -> bool:
    """Whether a name is an IP address: that can not be made to lead elsewhere."""
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def _is_handed_out(path: str) -> bool:
    """Whether what a path asks for is no file, or one of gradio's cache.

    All that the page shows is copied there; no other folder needs to be open.
    """
    _, _, asked = path.partition(f"{API}/")
    if asked.startswith("proxy="):
        return False
    if not asked.startswith(("file=", "file/")):
        return True
    return Path(asked[5:]).resolve().is_relative_to(Path(get_upload_folder()).resolve())


def _cookie(headers: Headers, cookie_id: str) -> str:
    cookies = cookie_parser("; ".join(headers.getlist("cookie")))
    names = (f"access-token-{cookie_id}", f"access-token-unsecure-{cookie_id}")
    return next((cookies[name] for name in names if name in cookies), "")


def _has_password(authorization: str, login: tuple[str, str]) -> bool:
    """Whether an Authorization header (Basic) has the name and the password."""
    kind, _, value = authorization.partition(" ")
    try:
        given = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return False
    return kind.lower() == "basic" and hmac.compare_digest(given, ":".join(login).encode())


def _refusal(reason: str) -> Response:
    return PlainTextResponse(f"Refused: {reason}", 403)
