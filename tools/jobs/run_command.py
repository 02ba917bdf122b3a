"""What needs torch but takes seconds runs in a process of its own, and the page waits for it."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import config
from errors import ERROR_FILE, UserError, read_noted_error


def run_command(argv: Sequence[str]) -> None:
    """Run a command of the program to its end; raises the error that ended it."""
    with tempfile.TemporaryDirectory() as folder:
        noted = Path(folder) / "error"
        ran = subprocess.run(
            argv, cwd=config.ROOT, capture_output=True, text=True, encoding="utf-8",
            errors="replace", env={**os.environ, ERROR_FILE: str(noted)},
        )  # fmt: skip
        if ran.returncode:
            raise read_noted_error(noted) or UserError("other", message=ran.stderr[-500:])
