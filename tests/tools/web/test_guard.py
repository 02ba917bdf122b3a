"""Who may ask the page: docs/security.md, line by line, against the real server."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.tools.web.conftest import start_page
from tools.web.guard import host_name, is_address, other_names

LOGIN = "me:geheim 密"
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
JOB = json.dumps({"data": [], "session_hash": "x", "fn_index": 0}).encode()


def ask(address: str, body: bytes | None = None, **headers: str) -> int:
    """The status of a request; header names with _ for -."""
    sent = {"Content-Type": "application/json"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        return DIRECT.open(urllib.request.Request(address, body, sent), timeout=60).status
    except urllib.error.HTTPError as error:
        return error.code


def port_of(url: str) -> int:
    return urllib.parse.urlsplit(url).port


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "", "127.0.0.1.evil.example"]
)
def test_a_host_that_is_not_this_page_is_refused(url: str, host: str) -> None:
    for path in ("", "config", "gradio_api/info"):
        assert ask(url + path, Host=host.format(port=port_of(url))) == 403


def test_this_computer_and_its_addresses_are_known_hosts(url: str) -> None:
    for host in ("127.0.0.1", "localhost", "LOCALHOST", "[::1]", "192.168.1.7"):
        assert ask(f"{url}config", Host=f"{host}:{port_of(url)}") == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://localhost:3000", "null", "http://127.0.0.1:1", "x"]
)
def test_another_web_site_starts_nothing_and_uploads_nothing(url: str, origin: str) -> None:
    assert ask(f"{url}gradio_api/queue/join", JOB, Origin=origin) == 403
    assert ask(f"{url}gradio_api/call/voices", b'{"data": []}', Origin=origin) == 403
    assert ask(f"{url}gradio_api/upload", b"x", Origin=origin) == 403
    # a browser that says nothing of its origin, as with a picture's or a form's address
    assert (
        ask(f"{url}gradio_api/info", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors") == 403
    )


def test_a_link_to_the_page_works_but_no_frame_around_it(url: str) -> None:
    site = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
    assert ask(url, **site, Sec_Fetch_Dest="document") == 200
    assert ask(url, **site, Sec_Fetch_Dest="iframe") == 403
    assert ask(f"{url}login", b"", **site, Sec_Fetch_Dest="document") == 403


def test_the_page_itself_may_ask(url: str) -> None:
    own = url.rstrip("/")
    body = b'{"data": []}'
    assert (
        ask(f"{url}gradio_api/call/voices", body, Origin=own, Sec_Fetch_Site="same-origin") == 200
    )
    assert ask(f"{url}gradio_api/call/voices", body) == 200  # a program, which has no origin


def test_files_outside_the_folders_of_the_page_are_not_served(url: str, root: Path) -> None:
    files = [root / "config.py", root / "assets/lite/demo.pth", Path("/etc/passwd"), root / "logs"]
    names = [path.as_posix() for path in files]
    names += ["config.py", "../../etc/passwd", "results/../config.py", "%2e%2e/config.py"]
    for name in names:
        assert ask(f"{url}gradio_api/file={name}") == 403, name
    for name in ("http://127.0.0.1:1/x", "https://example.org/x"):
        assert ask(f"{url}gradio_api/file={name}") == 403, name
        assert ask(f"{url}gradio_api/proxy={name}") == 403, name


def test_a_caller_names_no_file_that_was_not_uploaded(url: str, root: Path) -> None:
    named = {
        "path": str(root / "assets/examples/english.flac"),
        "meta": {"_type": "gradio.FileData"},
    }
    body = json.dumps({"data": [named]}).encode()
    sent = urllib.request.Request(
        f"{url}gradio_api/call/listen", body, {"Content-Type": "application/json"}
    )
    event = json.loads(DIRECT.open(sent, timeout=60).read())["event_id"]
    told = DIRECT.open(f"{url}gradio_api/call/listen/{event}", timeout=60).read().decode()
    assert "event: error" in told and "f0_median" not in told


def test_names_of_a_proxy_are_allowed_when_they_are_named() -> None:
    named = [" RVC.example.org ", "", "localhost", "127.0.0.1"]
    assert other_names(named) == {"rvc.example.org"}
    assert host_name("RVC.example.org:80") == "rvc.example.org" and host_name("[x") == ""
    assert host_name("[::1]:80") == "::1" and host_name("[::1]evil.example") == ""
    assert is_address("::1") and is_address("fe80::1%eth0") and not is_address("1.2.3.4.example")


@pytest.fixture(scope="module")
def locked(root: Path) -> Iterator[str]:
    """A page with a password, and with MCP where that is installed, behind a proxy's name."""
    mcp = ["--mcp"] if find_spec("mcp") else []
    page, address = start_page(root, "--auth", LOGIN, "--names", "rvc.example.org", *mcp)
    yield address
    page.terminate()
    page.wait(20)


def test_without_the_password_nothing_but_its_form_is_given(locked: str, root: Path) -> None:
    assert ask(locked) == 200
    assert ask(f"{locked}theme.css") == 200
    paths = ["config", "monitoring"] + [
        f"gradio_api/{each}"
        for each in (
            "info", "openapi.json", "file=x", "queue/data?session_hash=x", "heartbeat/x", "mcp/",
            "mcp/schema", "app_id", "token", "upload_progress?upload_id=x",
            "stream/a/b/1/playlist.m3u8",
        )
    ]  # fmt: skip
    for path in paths:
        assert ask(locked + path) == 401, path
    posted = ["queue/join", "call/voices", "run/voices", "upload", "cancel", "reset", "mcp/"]
    for path in posted:
        assert ask(f"{locked}gradio_api/{path}", JOB) == 401, path
    wrong = base64.b64encode(b"me:guess").decode()
    for given in (f"Basic {wrong}", "Basic !", "Bearer x", "Basic"):
        assert ask(f"{locked}config", Authorization=given) == 401


def test_the_password_opens_it_for_programs_too(locked: str) -> None:
    from gradio_client import Client

    given = "Basic " + base64.b64encode(LOGIN.encode()).decode()
    assert ask(f"{locked}config", Authorization=given) == 200
    client = Client(locked, auth=tuple(LOGIN.split(":")), verbose=False)
    assert isinstance(client.predict(api_name="/voices"), list)


def test_a_proxy_is_known_by_the_name_it_was_given(locked: str) -> None:
    assert ask(locked, Host="rvc.example.org", Origin="https://rvc.example.org") == 200
    assert ask(locked, Origin="https://rvc.example.org") == 200  # it names this computer as Host
    assert ask(locked, Host="other.example.org") == 403
