"""What needs torch but takes seconds runs in a process of its own, and the page waits for it."""

from __future__ import annotations

import subprocess

import config
from tools.options import VoiceOptions, voice_command


def run_voice_command(options: VoiceOptions) -> None:
    """Do what `python -m tools.cmd.voices ...` does; ValueError: its own error line."""
    ran = subprocess.run(
        voice_command(options), cwd=config.ROOT, capture_output=True, text=True, encoding="utf-8"
    )
    if ran.returncode:
        lines = [line for line in ran.stderr.splitlines() if line.startswith("error: ")]
        raise ValueError(lines[-1].removeprefix("error: ") if lines else ran.stderr[-500:])
