"""The page's endpoints, as other programs use them."""

from __future__ import annotations

import ast
import base64
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import soundfile

from tests.tools.conftest import wait_until
from tests.tools.web.conftest import start_page
from train.experiment import Experiment

TRAINING = """train training_status stop_training resume_training try_saved_state check_dataset
dataset_report""".split()
VOICES = """list_voices add_voice extract_voice share_voice edit_voice merge_voices listen_to_merge
trash_voice restore_voice""".split()


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
        shutil.rmtree(path) if path.is_dir() else path.unlink()


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


def test_the_rows_of_the_docs_are_the_endpoints_and_each_is_called_here(
    client: Any, root: Path
) -> None:
    named = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    docs = (root / "docs/api.md").read_text(encoding="utf-8")
    table = docs.partition("| endpoint |")[2]
    rows = re.findall(r"`(/\w+)`", "".join(re.findall(r"^\| (`/.*?) \|", table, re.M)))
    assert sorted(rows) == sorted(named)
    code = Path(__file__).read_text(encoding="utf-8")
    called = set(re.findall(r'api_name="(/\w+)"', code)) | {f"/{each}" for each in VOICES}
    called |= set(re.findall(r'api_name="(/\w+)"', docs))  # its example is run
    assert set(rows) <= called


def test_every_parameter_has_a_name_and_a_type(client: Any) -> None:
    named = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    for endpoint in named.values():
        for parameter in endpoint["parameters"]:
            assert not re.match(r"param_\d", parameter["parameter_name"])


@pytest.mark.usefixtures("shipped_voice")
def test_refusals_say_why(client: Any, root: Path, english: Path) -> None:
    from gradio_client import handle_file
    from gradio_client.exceptions import AppError

    with pytest.raises(AppError, match="no voice '../secret.pth'; there are: .*demo"):
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


@pytest.mark.usefixtures("shipped_voice", "no_results_left")
def test_index_rates_are_compared_and_two_recordings_made_equally_loud(
    client: Any, english: Path
) -> None:
    from gradio_client import handle_file

    figures, files = client.predict(
        handle_file(english), "demo", semitones=0, api_name="/compare_index_rates"
    )
    assert [row["index_rate"] for row in figures] == [None, 0, 0.25, 0.5, 0.75, 1]
    assert [Path(row["file"]).stem for row in figures[1:]] == [Path(each).stem for each in files]
    assert all(soundfile.info(file).duration > 1 for file in files)
    one, other = client.predict(
        handle_file(english), handle_file(files[0]), api_name="/match_loudness"
    )
    loudness = [
        client.predict(handle_file(path), api_name="/listen")["loudness_db"]
        for path in (one, other)
    ]
    assert loudness[0] == pytest.approx(loudness[1], abs=0.2)


def test_voices_are_added_changed_merged_shared_thrown_away_and_brought_back(
    client: Any, untrained_voice: Path, data: Path, tmp_path: Path
) -> None:
    from gradio_client import handle_file

    def call(name: str, *arguments: Any) -> Any:
        return client.predict(*arguments, api_name=f"/{name}")

    arrived = call("add_voice", handle_file(untrained_voice), "api one 声")
    (file,) = arrived["files"]
    assert arrived["refused"] == []
    assert (data / file).samefile(data / "weights/api one 声.pth")
    call("add_voice", handle_file(untrained_voice), "api two")
    listed = {voice["name"]: voice for voice in call("list_voices")}
    assert listed["api one 声"]["file"] == file and listed["api one 声"]["problem"] == ""
    assert call("edit_voice", "api two", "api second", "low 低", None)["info"] == "low 低"
    merged = call("merge_voices", "api one 声", "api second", 0.25, "api merged")
    assert (data / merged).name == "api merged.pth"
    assert soundfile.info(call("listen_to_merge", "api one 声", "api second", 0.5)).duration > 1
    with zipfile.ZipFile(call("share_voice", "api merged")) as archive:
        assert "api merged.pth" in archive.namelist()
    for name in ("api one 声", "api second", "api merged"):
        trash = {each["name"]: each["folder"] for each in call("trash_voice", name)}
    call("restore_voice", trash["api merged"])
    assert (data / "weights/api merged.pth").is_file()
    call("trash_voice", "api merged")


def test_the_voice_in_a_training_state_is_extracted(
    client: Any, root: Path, data: Path, tmp_path: Path
) -> None:
    from gradio_client import handle_file

    state = root / "assets/lite/base_G.pth"
    if not state.is_file():
        pytest.skip("the base model is not here")
    made = client.predict(handle_file(state), "api extracted", api_name="/extract_voice")
    assert (data / made).is_file()
    (data / made).unlink()


def test_machine_and_bug_report(client: Any) -> None:
    checks = client.predict(api_name="/doctor")
    assert {check["level"] for check in checks} <= {"ok", "warning", "problem"}
    assert any("Python" in check["text"] for check in checks)
    assert zipfile.is_zipfile(client.predict(api_name="/support_bundle"))


def test_a_training_is_started_told_stopped_and_gone_on_with(
    client: Any, experiment: Experiment, root: Path, english: Path
) -> None:
    from gradio_client.exceptions import AppError

    name, dataset = experiment.name, str(english.parent)
    report = client.predict(dataset, api_name="/dataset_report")
    assert len(report["recordings"]) == 2 and all(each["text"] for each in report["findings"])
    client.predict(name, dataset, api_name="/check_dataset")
    wait_until(lambda: status(client, name)["state"] == "done")
    with pytest.raises(AppError, match="no saved state 7"):
        client.predict(name, 7, api_name="/try_saved_state")
    for wrong in ({"kind": "v9"}, {"kind": ""}, {"dataset": "/no/such folder"}, {"minutes": -1}):
        with pytest.raises(AppError):
            client.predict(**{"name": name, "dataset": dataset, **wrong}, api_name="/train")
    begun = client.predict(name, dataset, minutes=9, api_name="/train")
    assert begun["num_steps"] == 6
    client.predict(name, api_name="/stop_training")
    wait_until(lambda: status(client, name)["state"] == "stopped")
    assert client.predict(name, api_name="/resume_training")["state"] in ("waiting", "running")


def status(client: Any, name: str) -> dict[str, Any]:
    """How far a training is."""
    return client.predict(name, api_name="/training_status")


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
@pytest.mark.parametrize("login", ["", "me:geheim"])
def test_mcp_offers_every_endpoint_as_a_tool(root: Path, english: Path, login: str) -> None:
    page, url = start_page(root, "--mcp", *(["--auth", login] if login else []))
    try:
        tools = {tool["name"]: tool for tool in ask_mcp(url, "tools/list", {}, login)["tools"]}
        assert {"convert", "voices", *TRAINING, *VOICES} <= tools.keys()
        assert "dataset" in tools["train"]["inputSchema"]["properties"]
        call = {"name": "voices", "arguments": {}}
        assert "demo" in ask_mcp(url, "tools/call", call, login)["content"][0]["text"]
        refused = {"name": "describe_voice", "arguments": {"voice": "../x"}}
        assert "no voice" in ask_mcp(url, "tools/call", refused, login)["content"][0]["text"]
        upload = send_file(url, english, login)
        for file in (upload, f"{url}gradio_api/file={quote(upload)}"):
            heard = {"name": "listen", "arguments": {"recording": file}}
            assert "loudness_db" in ask_mcp(url, "tools/call", heard, login)["content"][0]["text"]
        heard = {"name": "listen", "arguments": {"recording": str(english)}}  # no upload
        assert ask_mcp(url, "tools/call", heard, login)["isError"]
    finally:
        page.terminate()
        page.wait(20)


@pytest.mark.skipif(find_spec("mcp") is None, reason="mcp is not installed: requirements-mcp.txt")
@pytest.mark.usefixtures("shipped_voice", "no_results_left")
def test_every_row_of_the_docs_is_called_as_a_tool(
    root: Path, data: Path, english: Path, untrained_voice: Path, experiment: Experiment
) -> None:
    page, url = start_page(root, "--mcp")
    called = set()

    def tool(name: str, /, **arguments: Any) -> str:
        asked = {"name": name, "arguments": arguments}
        answer = ask_mcp(url, "tools/call", asked)
        text = "\n".join(part.get("text", "") for part in answer["content"])
        assert not answer.get("isError"), f"{name}: {text}"
        called.add(name)
        return text

    try:
        named = {each["name"] for each in ask_mcp(url, "tools/list", {})["tools"]}
        speech, voice = send_file(url, english, ""), send_file(url, untrained_voice, "")
        assert "demo" in tool("voices") and "demo" in tool("list_voices")
        assert "lite" in tool("describe_voice", voice="demo")
        tool("save_preset", voice="demo", name="x", settings={"semitones": 3})
        assert "x" in tool("presets", voice="demo")
        tool("delete_preset", voice="demo", name="x")
        assert "f0_median" in tool("listen", recording=speech)
        assert "-1" in tool("suggest_semitones", recording=speech, voice="demo")
        assert "file=" in tool("convert", recording=speech, voice="demo")
        assert "0.75" in tool("compare_index_rates", recording=speech, voice="demo")
        tool("match_loudness", recording=speech, other=speech)
        for name in ("mcp one", "mcp two"):
            assert name in tool("add_voice", file=voice, name=name)
        assert "low" in tool("edit_voice", voice="mcp two", name="mcp 2", info="low")
        tool("merge_voices", first="mcp one", second="mcp 2", share=0.5, name="mcp merged")
        tool("listen_to_merge", first="mcp one", second="mcp 2", share=0.5)
        assert ".zip" in tool("share_voice", voice="mcp merged")
        for name in ("mcp one", "mcp 2", "mcp merged"):
            trash = ast.literal_eval(tool("trash_voice", voice=name))
        folders = {each["name"]: each["folder"] for each in trash}
        tool("restore_voice", trashed=folders["mcp one"])
        tool("trash_voice", voice="mcp one")
        state = send_file(url, root / "assets/lite/base_G.pth", "")
        tool("extract_voice", file=state, name="mcp extracted")
        (data / "weights/mcp extracted.pth").unlink()
        dataset = str(english.parent)
        assert "recordings" in tool("dataset_report", dataset=dataset)
        tool("check_dataset", name=experiment.name, dataset=dataset)
        wait_until(lambda: "'state': 'done'" in tool("training_status", name=experiment.name))
        tool("train", name=experiment.name, dataset=dataset, minutes=9)
        tool("stop_training", name=experiment.name)
        wait_until(lambda: "'state': 'stopped'" in tool("training_status", name=experiment.name))
        tool("resume_training", name=experiment.name)
        with pytest.raises(AssertionError, match="no saved state 7"):
            tool("try_saved_state", name=experiment.name, step=7)
        assert "Python" in tool("doctor") and ".zip" in tool("support_bundle")
        assert named == called | {"try_saved_state"}
    finally:
        page.terminate()
        page.wait(20)


def send_file(url: str, path: Path, login: str) -> str:
    """Upload a file; returns its path on the page's computer."""
    head = f'--x\r\nContent-Disposition: form-data; name="files"; filename="{path.name}"\r\n\r\n'
    body = head.encode() + path.read_bytes() + b"\r\n--x--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    if login:
        headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
    asked = urllib.request.Request(f"{url}gradio_api/upload", body, headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(asked, timeout=120) as reply:
        return json.load(reply)[0]


def ask_mcp(url: str, method: str, params: dict[str, Any], login: str = "") -> dict[str, Any]:
    """Send one request of the Model Context Protocol over HTTP."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
    }
    if login:
        headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
    asked = urllib.request.Request(f"{url}gradio_api/mcp/", body, headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(asked, timeout=120) as reply:
        text = reply.read().decode()
    data = re.search(r"^(?:data: )?(\{.*)$", text, re.M)[1]
    return json.loads(data)["result"]
