"""Fetch a file over HTTP: resumed, retried, checked; it appears when it is complete."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import httpx

from errors import NoFile, UserError, as_user_error
from tools.machine.assets import Asset, sha256_of

CONNECT_SECONDS = 5.0
READ_SECONDS = 10.0  # without a byte
PROBE_SECONDS = 8.0  # for the first answer in all, looking up the name included
ATTEMPTS = 5  # in a row that bring nothing
PAUSE_SECONDS = 1.0  # after the first of them; doubled after each further one
BLOCK = 1 << 20


class FetchError(UserError):
    """A file could not be fetched."""


class ConnectionLost(FetchError):
    """The server answers no more; other files will fare no better."""


class WrongFile(UserError):
    """What a server offers is not of the size that is wanted."""


class _Again(UserError):
    """This answer is of no use, the next may be."""


def open_client() -> httpx.Client:
    """A client that follows redirects and takes proxies from the environment."""
    timeout = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
    headers = {"User-Agent": "rvc-webui", "Accept-Encoding": "identity"}
    return httpx.Client(timeout=timeout, headers=headers, follow_redirects=True)


def probe(url: str) -> UserError | None:
    """Why there is no answer from a server, None if there is; takes at most PROBE_SECONDS."""
    reasons: list[UserError | None] = [UserError("no_answer", seconds=PROBE_SECONDS)]

    def ask() -> None:
        try:
            with open_client() as client, client.stream("GET", url, headers={"Range": "bytes=0-0"}):
                reasons.append(None)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, ImportError) as error:
            reasons.append(as_user_error(error))

    # a thread, because nothing else ends a look-up of a name that nobody answers
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PROBE_SECONDS)
    return reasons[-1]


def fetch(client: httpx.Client, asset: Asset, hub: str, on_bytes: Callable[[int], None]) -> None:
    """Fetch one asset to its place, going on with what an earlier run has left.

    on_bytes is told how many more bytes are there; a negative number where it began anew. Raises
    FetchError, OSError where the disk refuses.
    """
    asset.part.parent.mkdir(parents=True, exist_ok=True)
    urls = asset.urls(hub)
    if asset.part.exists():  # should it turn out to be damaged, there is a second try
        urls.insert(0, urls[0])
    reason: UserError | None = None
    for url in urls:
        try:
            _fill(client, url, asset, on_bytes)
            size = asset.part.stat().st_size
            if publish(asset):
                return
            on_bytes(-size)
            reason = FetchError("other_file", url=url, reason=UserError("sha", sha256=asset.sha256))
        except FileNotFoundError:
            reason = reason or FetchError("not_there", url=url)
        except WrongFile as error:
            reason = FetchError("other_file", url=url, reason=error)
    raise reason or FetchError("not_there", url=asset.name)


def publish(asset: Asset) -> bool:
    """Give a complete .part its name; False, and it is gone, if its SHA-256 is another one."""
    if sha256_of(read_blocks(asset.part)) != asset.sha256:
        asset.part.unlink()
        return False
    with asset.part.open("rb+") as file:
        os.fsync(file.fileno())
    asset.part.replace(asset.path)
    return True


def read_blocks(path: Path) -> Iterator[bytes]:
    """A file in blocks."""
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            yield block


def _fill(client: httpx.Client, url: str, asset: Asset, on_bytes: Callable[[int], None]) -> None:
    """Complete a .part; FileNotFoundError if the server does not have it."""
    part, size, fruitless = asset.part, asset.size, 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        if size is not None and before == size:
            return
        try:
            total = _receive(client, url, part, size, on_bytes)
            if part.stat().st_size == total:
                return
            reason = UserError("ended_early")
        except (httpx.TransportError, httpx.TooManyRedirects, _Again) as error:
            reason = as_user_error(error)
        gained = (part.stat().st_size if part.exists() else 0) > before
        fruitless = 0 if gained else fruitless + 1
        if fruitless == ATTEMPTS:
            raise ConnectionLost("lost", url=url, reason=reason, count=ATTEMPTS)
        time.sleep(PAUSE_SECONDS * 2 ** max(0, fruitless - 1))


def _receive(
    client: httpx.Client, url: str, part: Path, size: int | None, on_bytes: Callable[[int], None]
) -> int:
    """Append what one answer brings; returns the file's full size by that answer."""
    have = part.stat().st_size if part.exists() else 0
    with client.stream("GET", url, headers={"Range": f"bytes={have}-"} if have else {}) as answer:
        _check_status(answer, url, have, part, on_bytes)
        first = 0 if answer.status_code == 200 else have  # 200: it does not do ranges
        length = answer.headers.get("Content-Length")
        total = first + int(length) if length and length.isdigit() else size
        if size is not None and total != size:
            raise WrongFile("wrong_size", found=total, wanted=size)
        on_bytes(first - have)
        with part.open("ab" if first else "wb") as file:
            _write(answer, file, total, on_bytes)
        return total if total is not None else part.stat().st_size


def _check_status(
    answer: httpx.Response, url: str, have: int, part: Path, on_bytes: Callable[[int], None]
) -> None:
    status = answer.status_code
    if status in (404, 410):
        raise NoFile("not_there", url=url)
    if status == 429 or status >= 500:
        raise _Again("status", status=status, phrase=answer.reason_phrase)
    if status in (200, 206):
        first = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
        if status == 200 or (first and int(first[1]) == have):
            return
    elif status != 416:
        reason = UserError("status", status=status, phrase=answer.reason_phrase)
        raise FetchError("not_fetched", url=url, reason=reason)
    on_bytes(-have)
    part.unlink(missing_ok=True)  # nothing can follow on it
    raise _Again("no_ranges")


def _write(
    answer: httpx.Response, file: BinaryIO, total: int | None, on_bytes: Callable[[int], None]
) -> None:
    for block in answer.iter_raw():  # in blocks of a given size the last would be lost
        if total is not None and file.tell() + len(block) > total:
            raise _Again("more_bytes", total=total)
        file.write(block)
        on_bytes(len(block))
