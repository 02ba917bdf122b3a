"""How quickly the page is there and how little it takes; -s shows the figures."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.tools.web.conftest import start_page

MOST_MB = 300
MOST_SECONDS = 2.0  # after gradio alone has been imported

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_the_page_takes_little_memory(root: Path) -> None:
    page, url = start_page(root, "--port", "18890")
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for path in ("", "config", "gradio_api/info"):
            assert opener.open(url + path, timeout=60).status == 200
        status = Path(f"/proc/{page.pid}/status").read_text()
    finally:
        page.terminate()
        page.wait(20)
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    print(f"the page's process: {peak / 1000:.0f} MB at most")
    assert peak / 1000 < MOST_MB


@pytest.mark.slow  # says something on an idle machine only
def test_the_page_is_there_shortly_after_gradio_is_imported(root: Path) -> None:
    differences = []
    for _ in range(3):
        began = time.monotonic()
        subprocess.run([sys.executable, "-c", "import gradio"], cwd=root, check=True)
        imported = time.monotonic() - began
        began = time.monotonic()
        page, url = start_page(root, "--port", "18891")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        assert opener.open(url, timeout=60).status == 200
        shown = time.monotonic() - began
        page.terminate()
        page.wait(20)
        print(f"import gradio {imported:.1f} s, first page {shown:.1f} s")
        differences.append(shown - imported)
    assert min(differences) < MOST_SECONDS
