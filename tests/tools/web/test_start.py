"""How quickly the page is there, how little it takes, and how quickly it converts.

`bash go-test.sh -s -m "" tests/tools/web/test_start.py` prints the figures; they mean something on
an idle machine only.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import soundfile

from tests.tools.web.conftest import STAGE, Opens, settle, start_page

MOST_MB = 300
MOST_SECONDS = 2.0  # after gradio alone has been imported
MOST_CLICK_SECONDS = 2.0
CLICKS = 5

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def tell(figure: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Print a figure whether or not output is captured."""
    with capsys.disabled():
        print(f"\n{figure}")


def test_the_page_takes_little_memory(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, url = start_page(root)
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for path in ("", "config", "gradio_api/info"):
            assert opener.open(url + path, timeout=60).status == 200
        status = Path(f"/proc/{page.pid}/status").read_text()
    finally:
        page.terminate()
        page.wait(20)
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    tell(f"memory of the page's process: {peak / 1000:.0f} MB at most", capsys)
    assert peak / 1000 < MOST_MB


@pytest.mark.slow
def test_the_page_is_there_shortly_after_gradio_is_imported(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    differences = []
    for _ in range(3):
        began = time.monotonic()
        subprocess.run([sys.executable, "-c", "import gradio"], cwd=root, check=True)
        imported = time.monotonic() - began
        began = time.monotonic()
        page, url = start_page(root)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        assert opener.open(url, timeout=60).status == 200
        shown = time.monotonic() - began
        page.terminate()
        page.wait(20)
        tell(f"import gradio: {imported:.2f} s, first page: {shown:.2f} s", capsys)
        differences.append(shown - imported)
    assert min(differences) < MOST_SECONDS


@pytest.mark.slow
@pytest.mark.usefixtures("shipped_voice")
def test_a_click_on_convert_of_five_seconds_returns_at_once(
    opened: Opens, english: Path, tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    speech, rate = soundfile.read(english)
    soundfile.write(tmp_path / "five.wav", speech[: 5 * rate], rate)
    page = opened()
    page.locator("input[type=file]").first.set_input_files(tmp_path / "five.wav")
    page.get_by_text(re.compile("0:05")).first.wait_for()
    results, spent = data / "results", []
    before = known = set(results.glob("five_*"))
    try:
        for _ in range(1 + CLICKS):  # the first one loads the voice, the f0 method and the index
            began = time.monotonic()
            page.get_by_role("button", name="Convert", exact=True).click()
            while not (new := set(results.glob("five_*")) - known):
                page.wait_for_timeout(20)
            (made,) = new
            page.locator(".summary code:visible", has_text=made.name).wait_for()
            spent.append(time.monotonic() - began)
            known = known | new
            page.wait_for_function(f"{STAGE}.curves.b > 0")  # what follows the result is done, too
            settle(page)
    finally:
        for path in known - before:
            path.unlink()
    told = ", ".join(f"{seconds:.2f}" for seconds in spent[1:])
    tell(f"click on Convert to the result, 5 s of speech, lite: {told} s", capsys)
    assert sorted(spent[1:])[CLICKS // 2] < MOST_CLICK_SECONDS
