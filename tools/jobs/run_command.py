"""What needs torch but takes seconds runs in a process of its own, and the page waits for it."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

import config


def run_command(argv: Sequence[str]) -> None:
    """Run a command of the program to its end; ValueError: its own error line."""
    ran = subprocess.run(argv, cwd=config.ROOT, capture_output=True, text=True, encoding="utf-8")
    if ran.returncode:
        lines = [line for line in ran.stderr.splitlines() if line.startswith("error: ")]
        raise ValueError(lines[-1].removeprefix("error: ") if lines else ran.stderr[-500:])
