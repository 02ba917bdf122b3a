"""The page's start: its environment, its port and its texts."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from tests.tools.web.conftest import start_page
from tools.machine.environment import page_environment
from tools.options import WebOptions
from tools.web.app import free_port, open_to_others
from tools.web.i18n import load_texts, translate


def test_loopback_is_excluded_from_proxies_and_earlier_exclusions_stay() -> None:
    added = page_environment({"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": "intra.example, ::1"})
    assert added["no_proxy"] == added["NO_PROXY"] == "intra.example,::1,localhost,127.0.0.1"
    assert page_environment({})["no_proxy"] == "localhost,127.0.0.1,::1"


def test_a_proxy_that_httpx_refuses_does_not_keep_the_page_from_starting() -> None:
    named = {"all_proxy": "socks://127.0.0.1:7890/", "HTTPS_PROXY": "socks5://127.0.0.1:1"}
    added = page_environment({**named, "http_proxy": "127.0.0.1:2"})
    assert added["all_proxy"] == "" and not {"HTTPS_PROXY", "http_proxy"} & added.keys()
    code = "import httpx; httpx.Client().get('http://127.0.0.1:9/')"
    for environment, error in ((named, "Unknown scheme"), ({**named, **added}, "ConnectError")):
        argv, whole = [sys.executable, "-c", code], {**os.environ, **environment}
        ran = subprocess.run(argv, env=whole, capture_output=True, text=True, check=False)
        assert error in ran.stderr


def test_addresses_that_httpx_cannot_read_do_not_keep_the_page_from_starting() -> None:
    hosts = "[::1],10.0.0.0/8,fe80::1/64,a:b:c,http://x:y,b\u00fccher,.example,*"
    named = {"all_proxy": "http://host:port", "HTTPS_PROXY": "http://[::1:3", "NO_PROXY": hosts}
    added = page_environment(named)
    assert added["all_proxy"] == added["HTTPS_PROXY"] == ""
    assert added["no_proxy"] == "::1,10.0.0.0/8,fe80::1,.example,*,localhost,127.0.0.1"
    environment = {**os.environ, **named, **added}
    subprocess.run(
        [sys.executable, "-c", "import httpx; httpx.Client()"], env=environment, check=True
    )


def test_uploads_go_to_a_folder_of_this_user_unless_one_is_named() -> None:
    assert page_environment({"GRADIO_TEMP_DIR": "/elsewhere"})["GRADIO_TEMP_DIR"] == "/elsewhere"
    assert "rvc-webui" in page_environment({})["GRADIO_TEMP_DIR"]


def test_gpus_have_the_numbers_of_nvidia_smi() -> None:
    assert page_environment({})["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


def test_a_taken_port_gives_the_next_free_one() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        assert taken < free_port("127.0.0.1", taken) < taken + 100


def test_a_host_that_is_not_of_this_machine_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"--host 192\.0\.2\.1"):
        free_port("192.0.2.1", 7865)


def test_a_text_with_values_comes_in_every_language_and_never_as_markup() -> None:
    html = translate("open_warning", name="<b>")
    assert html.count('class="translated"') == len(load_texts().translations)
    with_value = {"en": {"took": "{name} took"}, "zh-CN": {"took": "用时 {name}"}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tools.web.i18n.read_texts", lambda: with_value)
        html = translate("took", name="<b>")
    assert "&lt;b&gt; took" in html and "<b>" not in html


def test_a_page_that_others_can_reach_without_a_password_warns() -> None:
    assert open_to_others(WebOptions()) == ""
    assert open_to_others(WebOptions(host="0.0.0.0")) == "open_warning"
    assert open_to_others(WebOptions(share=True)) == "share_warning"
    assert open_to_others(WebOptions(host="0.0.0.0", share=True, auth="me:secret")) == ""
    assert WebOptions(auth="me:a:b").login == ("me", "a:b")
    for wrong in ("me", "me:", ":secret"):
        with pytest.raises(ValueError, match="--auth"):
            WebOptions(auth=wrong)


@pytest.mark.skipif(sys.platform == "win32", reason="proxies come from the registry there")
def test_the_page_starts_with_proxies_set_and_says_which_port_it_took(root: Path) -> None:
    dead = "http://127.0.0.1:9"
    names = ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"]
    environment = dict.fromkeys(names, dead) | {"ALL_PROXY": "socks5://127.0.0.1:9"}
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        page = subprocess.Popen(
            [sys.executable, root / "infer-web.py", "--no-browser", "--port", str(taken)],
            env=environment | {"PATH": "/usr/bin:/bin"}, cwd="/",
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        try:
            lines = []
            for line in page.stdout:
                lines.append(line)
                if "The page is at" in line:
                    break
            url = re.search(r"http://127\.0\.0\.1:(\d+)/", "".join(lines))
            assert f"Port {taken} is taken" in lines[0] and int(url[1]) > taken, lines
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            assert opener.open(url[0], timeout=30).status == 200
        finally:
            page.terminate()
            page.wait(20)


def test_a_page_with_a_password_behind_a_proxy_path_asks_before_it_shows_anything(
    root: Path,
) -> None:
    page, url = start_page(root, "--auth", "me:geheim 密", "--root-path", "/rvc")
    try:
        jar = urllib.request.HTTPCookieProcessor()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), jar)
        for asked in ("config", "chip"):
            with pytest.raises(urllib.error.HTTPError, match="401"):
                opener.open(f"{url}{asked}", timeout=30)
        wrong = urllib.parse.urlencode({"username": "me", "password": "guess"}).encode()
        with pytest.raises(urllib.error.HTTPError, match="400"):
            opener.open(f"{url}login", wrong, timeout=30)
        right = urllib.parse.urlencode({"username": "me", "password": "geheim 密"}).encode()
        opener.open(f"{url}login", right, timeout=30)
        settings = json.loads(opener.open(f"{url}config", timeout=30).read())
        assert settings["root"].endswith("/rvc")
    finally:
        page.terminate()
        page.wait(20)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="/proc is Linux's")
def test_a_page_that_nobody_uses_sleeps(root: Path) -> None:
    page, _ = start_page(root)

    def woken() -> int:
        told = Path(f"/proc/{page.pid}/task").glob("*/status")
        return sum(int(re.findall(r"\nvoluntary_ctxt_switches:\s*(\d+)", each.read_text())[0])
                   for each in told)  # fmt: skip

    try:
        deadline, times = time.monotonic() + 120, 1000
        while times > 300 and time.monotonic() < deadline:  # at its start it has much to do
            before = woken()
            time.sleep(1)
            times = woken() - before
        assert times <= 300  # left alone, gradio looks a thousand times a second for work
    finally:
        page.terminate()
        page.wait(20)
