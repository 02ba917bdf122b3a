"""The page's endpoints, as other programs use them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import soundfile

from tests.tools.web.conftest import start_page

OWN = (
    "voices describe_voice convert compare_index_rates listen suggest_semitones "
    "match_loudness presets save_preset delete_preset"
).split()


@pytest.fixture(scope="module")
def client(url: str) -> Any:
    """A client of the running page."""
    from gradio_client import Client

    return Client(url, verbose=False)


@pytest.fixture
def no_results_left(data: Path) -> Iterator[None]:
    """Deletes what a test converted."""
    before = set((data / "results").glob("*"))
    yield
    for path in set((data / "results").glob("*")) - before:
        path.unlink()


@pytest.mark.usefixtures("shipped_voice", "no_results_left")
def test_the_example_of_the_docs_converts_a_recording(url: str, root: Path, tmp_path: Path) -> None:
    code = re.search(r"```python\n(.*?)```", (root / "docs/api.md").read_text("utf-8"), re.S)[1]
    code = code.replace("http://127.0.0.1:7865", url).replace(
        "assets/", f"{root.as_posix()}/assets/"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "NO_PROXY": "127.0.0.1"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    source = soundfile.info(root / "assets/examples/italian.flac").duration
    assert soundfile.info(tmp_path / "converted.flac").duration == pytest.approx(source, abs=0.05)
    spoken = float(re.search(r"speaks around ([\d.]+) Hz", ran.stdout)[1])
    heard = float(re.search(r"([\d.]+) Hz\s*$", ran.stdout)[1])
    assert heard == pytest.approx(spoken, rel=0.06)  # a semitone


def test_every_public_endpoint_is_named_and_documented(client: Any, root: Path) -> None:
    named = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    docs = (root / "docs/api.md").read_text(encoding="utf-8")
    assert {f"/{name}" for name in OWN} <= named.keys()
    assert [name for name in named if f"`{name}`" not in docs] == []


@pytest.mark.usefixtures("shipped_voice")
def test_refusals_say_why(client: Any, root: Path, english: Path) -> None:
    from gradio_client import handle_file
    from gradio_client.exceptions import AppError

    with pytest.raises(AppError, match="no voice '../secret.pth' here; the voices are: .*demo"):
        client.predict("../secret.pth", api_name="/describe_voice")
    with pytest.raises(AppError, match="--protect is 0.7; it must be from 0 to 0.5"):
        client.predict(handle_file(english), "demo", protect=0.7, api_name="/convert")
    with pytest.raises(AppError, match="--format is '../x'"):
        client.predict(handle_file(english), "demo", format="../x", api_name="/convert")
    with pytest.raises(AppError, match="no such setting: output"):
        client.predict("demo", "x", {"output": "/etc"}, api_name="/save_preset")
    assert not list((root / "assets/lite").glob("*.json"))


@pytest.mark.usefixtures("shipped_voice")
def test_presets_are_kept_and_forgotten(client: Any, root: Path) -> None:
    before = client.predict("demo", api_name="/presets")
    try:
        client.predict("demo", "high 高", {"semitones": 4}, api_name="/save_preset")
        assert client.predict("demo", api_name="/presets")["high 高"] == {"semitones": 4}
    finally:
        left = client.predict("demo", "high 高", api_name="/delete_preset")
    assert left == list(before)


@pytest.mark.skipif(find_spec("mcp") is not None, reason="mcp is installed")
def test_mcp_without_its_package_says_what_to_install(root: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "infer-web.py", "--no-browser", "--mcp"],
        cwd=root, capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 1
    assert ran.stderr.strip().splitlines()[-1].startswith("error: --mcp needs one more package")


@pytest.mark.skipif(find_spec("mcp") is None, reason="mcp is not installed: requirements-mcp.txt")
@pytest.mark.usefixtures("shipped_voice", "no_results_left")
def test_mcp_offers_convert_and_the_voices_as_tools(
    root: Path, english: Path, tmp_path: Path
) -> None:
    page, url = start_page(root, "--mcp")
    try:
        tools = ask_mcp(url, "tools/list", {})["tools"]
        assert {"convert", "voices"} <= {tool["name"] for tool in tools}
        listed = ask_mcp(url, "tools/call", {"name": "voices", "arguments": {}})
        assert "demo" in listed["content"][0]["text"]
    finally:
        page.terminate()
        page.wait(20)


def ask_mcp(url: str, method: str, params: dict[str, Any]) -> dict[str, Any]:
    """Send one request of the Model Context Protocol over HTTP."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
    }
    asked = urllib.request.Request(f"{url}gradio_api/mcp/", body, headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(asked, timeout=120) as reply:
        text = reply.read().decode()
    data = re.search(r"^(?:data: )?(\{.*)$", text, re.M)[1]
    return json.loads(data)["result"]
