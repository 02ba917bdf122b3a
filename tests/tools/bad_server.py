"""A server on this machine that does everything wrong a server can do."""

from __future__ import annotations

import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONTENT = bytes(range(256)) * 2000  # 512 kB


class Server(ThreadingHTTPServer):
    """Answers each request with the next of `script`, the last one for ever."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[Callable[[Handler], None]] = []
        self.ranges: list[str | None] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        """Play the next answer."""
        self.server.ranges.append(self.headers["Range"])
        script = self.server.script
        (script.pop(0) if len(script) > 1 else script[0])(self)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


def send(
    content: bytes = CONTENT,
    stated: int | None = None,
    sent: int | None = None,
    ranges: bool = True,
    stall: float = 0,
) -> Callable[[Handler], None]:
    """An answer: stated = Content-Length if it is a lie, sent = bytes before it breaks off."""

    def play(handler: Handler) -> None:
        first = 0
        if ranges and (wanted := handler.headers["Range"]):
            first = int(wanted.removeprefix("bytes=").split("-")[0])
        body = content[first:]
        handler.send_response(206 if first else 200)
        if first:
            handler.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        handler.send_header("Content-Length", str(len(body) if stated is None else stated))
        handler.end_headers()
        handler.wfile.write(body[:sent])
        handler.wfile.flush()
        time.sleep(stall)
        handler.close_connection = True

    return play


def fail(status: int, **headers: str) -> Callable[[Handler], None]:
    """An answer without a file."""

    def play(handler: Handler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return play
