"""What the page's process does before gradio comes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

WITHOUT_STUBS = """
import pathlib
from tools.machine.environment import quick_gradio

read = []
for name in ("read_text", "write_text"):
    def watched(path, *arguments, act=getattr(pathlib.Path, name), **more):
        if path.suffix == ".pyi":
            read.append(path)
        return act(path, *arguments, **more)
    setattr(pathlib.Path, name, watched)
with quick_gradio():
    import gradio
import inspect
print(len(read), pathlib.Path(inspect.getfile(gradio.Button)).name)
"""


def test_gradio_writes_no_stubs_while_the_page_starts(root: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_STUBS], cwd=root, capture_output=True, text=True
    )
    assert ran.stdout.split() == ["0", "button.py"], ran.stderr
