"""Starts the process of a live stream, and talks to it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import config
from errors import UserError, from_json
from infer.options import StreamOptions
from options import command
from tools.live.frames import AUDIO, FAILED, READY, SETTINGS, Frame, json_frame, read_frame

CLOSE_SECONDS = 5.0


class LiveProcess:
    """A running stream; ready: what its READY frame told. One thread sends, another receives."""

    def __init__(self, options: StreamOptions) -> None:
        """Start it and wait until the voice is loaded. Raises UserError where it cannot be."""
        arguments = command(options)[3:]
        self._process = subprocess.Popen(
            [sys.executable, "-m", StreamOptions.MODULE, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=config.ROOT,
        )
        self._number = 0
        first = read_frame(self._process.stdout)
        if first is None or first.kind != READY:
            self._process.wait(CLOSE_SECONDS)
            if first is not None and first.kind == FAILED:
                raise from_json(first.values)
            raise UserError("exit_code", code=self._process.returncode)
        self.first = first
        self.ready: Mapping[str, Any] = first.values

    def send(self, audio: bytes, seconds: float) -> None:
        """Send float32 samples, spoken at that time. BrokenPipeError: it ended."""
        self.pass_on(Frame(AUDIO, self._number, seconds, audio))
        self._number += 1

    def change(self, **settings: Any) -> None:
        """Change settings of the stream, see tools.live.settings."""
        self.pass_on(json_frame(SETTINGS, settings))

    def pass_on(self, frame: Frame) -> None:
        """Send a frame as it is. BrokenPipeError: it ended."""
        self._process.stdin.write(frame.pack())
        self._process.stdin.flush()

    def receive(self) -> Frame | None:
        """Wait for the next frame; None when the stream has ended."""
        return read_frame(self._process.stdout)

    def end_input(self) -> None:
        """Say that no more sound comes: it ends after what it has."""
        with suppress(BrokenPipeError):  # it ended before
            self._process.stdin.close()

    def end(self) -> int:
        """End it, at the latest after a few seconds; returns its exit code. Receiving goes on."""
        self.end_input()
        try:
            return self._process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def close(self) -> None:
        """End it; nobody receives any more."""
        self.end()
        self._process.stdout.close()

    @property
    def process_id(self) -> int:
        """Of the system, to look at its load."""
        return self._process.pid
