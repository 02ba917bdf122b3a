"""Downloads from a real server on this machine that does everything wrong a server can do."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tools.bad_server import CONTENT, Handler, Server, fail, send
from tools.machine.assets import Asset
from tools.machine.fetch import ConnectionLost, FetchError, fetch, open_client, probe


@pytest.fixture
def asset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asset:
    monkeypatch.setattr("config.DOWNLOADS", tmp_path)
    return Asset("rmvpe.pt", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


def get(server: Server, asset: Asset) -> list[int]:
    """Fetch it; returns what was told of bytes."""
    told: list[int] = []
    with open_client() as client:
        fetch(client, asset, server.url, told.append)
    return told


def assert_whole(asset: Asset) -> None:
    assert asset.path.read_bytes() == CONTENT
    assert not asset.part.exists()


def test_a_file_arrives_with_its_bytes_counted(server: Server, asset: Asset) -> None:
    server.script = [send()]
    assert sum(get(server, asset)) == len(CONTENT)
    assert_whole(asset)


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param([send(sent=100_000)], id="truncates"),
        pytest.param([send(sent=100_000, stall=2)], id="stalls"),
        pytest.param([send(sent=1000), send(sent=1000), send(sent=0), send(sent=9)], id="crawls"),
        pytest.param([fail(503), fail(500), fail(429)], id="is overloaded"),
        pytest.param([send(sent=100_000), fail(502)], id="fails after a part"),
        pytest.param([send(sent=0, stall=1), send(sent=0)], id="is mute"),
        pytest.param([send(CONTENT[:-1])], id="offers too little"),
        pytest.param([send(CONTENT + b"x")], id="offers too much"),
        pytest.param([send(b"<html>log in</html>")], id="shows a page to log in"),
        pytest.param([send(b"y" * len(CONTENT))], id="sends another file of that size"),
        pytest.param([send(stated=len(CONTENT) + 5)], id="states too much"),
        pytest.param([send(stated=1000)], id="states too little"),
        pytest.param([fail(404)], id="has it elsewhere"),
    ],
)
def test_a_server_that_recovers_gives_the_file(
    server: Server, asset: Asset, bad: list[Callable[[Handler], None]]
) -> None:
    server.script = [*bad, send()]
    assert sum(get(server, asset)) == len(CONTENT)
    assert_whole(asset)


def test_it_goes_on_where_an_earlier_run_stopped(server: Server, asset: Asset) -> None:
    asset.part.parent.mkdir(parents=True)
    asset.part.write_bytes(CONTENT[:300_000])
    server.script = [send()]
    assert sum(get(server, asset)) == len(CONTENT) - 300_000
    assert server.ranges == ["bytes=300000-"]
    assert_whole(asset)


@pytest.mark.parametrize(
    ("left", "script"),
    [
        pytest.param(b"z" * 300_000, [send()], id="damaged"),
        pytest.param(b"z" * len(CONTENT), [send()], id="complete but damaged"),
        pytest.param(CONTENT + b"z", [fail(416), send()], id="too long"),
        pytest.param(CONTENT[:300_000], [send(ranges=False)], id="no ranges"),
        pytest.param(CONTENT[:300_000], [fail(416), send()], id="range refused"),
    ],
)
def test_what_an_earlier_run_left_is_dropped_where_it_does_not_fit(
    server: Server, asset: Asset, left: bytes, script: list[Callable[[Handler], None]]
) -> None:
    asset.part.parent.mkdir(parents=True)
    asset.part.write_bytes(left)
    server.script = script
    assert sum(get(server, asset)) == len(CONTENT) - len(left)
    assert_whole(asset)


def test_redirects_are_followed(server: Server, asset: Asset) -> None:
    server.script = [fail(302, Location=f"{server.url}/elsewhere"), send()]
    get(server, asset)
    assert_whole(asset)


def test_a_file_of_unknown_size_is_taken_by_its_hash(server: Server, asset: Asset) -> None:
    asset = Asset(asset.name, None, asset.sha256)
    server.script = [send(sent=5), send()]
    get(server, asset)
    assert_whole(asset)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (send(b"y" * len(CONTENT)), "another file: its SHA-256"),
        (send(b"short"), "another file: it has 5 bytes and not 512000"),
        (fail(404), "does not exist"),
        (fail(403), "the server says 403"),
    ],
)
def test_a_server_without_the_right_file_is_an_error_that_says_so(
    server: Server, asset: Asset, answer: Callable[[Handler], None], reason: str
) -> None:
    server.script = [answer]
    with pytest.raises(FetchError, match=reason):
        get(server, asset)
    assert not asset.path.exists()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("answer", [fail(503), send(sent=0, stall=0.7), send(stated=0, sent=0)])
def test_a_server_that_never_recovers_is_given_up(
    server: Server, asset: Asset, answer: Callable[[Handler], None]
) -> None:
    server.script = [answer]
    with pytest.raises(FetchError):
        get(server, asset)
    assert not asset.path.exists()


def test_what_came_is_kept_when_the_server_goes_away(server: Server, asset: Asset) -> None:
    server.script = [send(sent=100_000), fail(503)]
    with pytest.raises(ConnectionLost, match="503"):
        get(server, asset)
    assert asset.part.read_bytes() == CONTENT[:100_000]


def test_why_there_is_no_answer_is_said(server: Server) -> None:
    server.script = [send()]
    assert probe(server.url) is None
    assert probe("http://127.0.0.1:9") is not None
    assert probe("http://no-such-host.invalid") is not None
    assert probe("http://[bad") is not None


def test_a_name_that_is_looked_up_for_ever_is_not_waited_for(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_up = threading.Event()

    def look_up(*_: object, **__: object) -> None:
        given_up.wait(60)
        raise socket.gaierror("nobody knows")

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    monkeypatch.setattr("tools.machine.fetch.PROBE_SECONDS", 0.2)
    assert str(probe("http://hub.invalid/")) == "no answer within 0.2 s"
    given_up.set()
