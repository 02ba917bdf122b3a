"""Decoders in processes that may die: a recording that crashes one costs that recording alone.

libav and libsndfile are C. Whoever reads many recordings in one go reads them `isolated`; single
ones are decoded in the process that asks. Requests are JSON lines: {"open": PATH}, {"next": true},
{"close": true}. Every reply but of the last is a JSON line, of a block its samples follow.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

import config
from errors import AudioError, from_json
from infer.audio.sources import DECODE_VALUES, Source, open_source

ARGV = [sys.executable, "-m", "infer.audio.isolated"]

logger = logging.getLogger(__name__)


def open_recording(path: Path) -> Source:
    """Open an audio or video file, in a process of its own where that is asked for. AudioError."""
    decoders = _decoders.get()
    return open_source(path) if decoders is None else IsolatedSource(path, decoders)


@contextmanager
def isolated() -> Iterator[None]:
    """Decode in other processes what this thread opens in the block."""
    decoders = _Decoders()
    token = _decoders.set(decoders)
    try:
        yield
    finally:
        _decoders.reset(token)
        decoders.close()


def isolate() -> None:
    """Decode in other processes what this thread opens from now on."""
    _decoders.set(_Decoders())


class _Decoders:
    """Processes that wait for a recording; they end with this one, which holds their pipes."""

    def __init__(self) -> None:
        self._idle: list[subprocess.Popen[bytes]] = []

    def take(self) -> subprocess.Popen[bytes]:
        """A process that has nothing to do."""
        if self._idle:
            return self._idle.pop()
        places = [str(config.ROOT), os.environ.get("PYTHONPATH", "")]
        return subprocess.Popen(
            ARGV, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))},
        )  # fmt: skip

    def give(self, process: subprocess.Popen[bytes]) -> None:
        """Take a process back."""
        self._idle.append(process)

    def close(self) -> None:
        """End those that wait."""
        for process in self._idle:
            process.communicate()
        self._idle = []


_decoders: ContextVar[_Decoders | None] = ContextVar("decoders", default=None)


class IsolatedSource:
    """A recording that another process decodes, a block ahead of who reads it."""

    def __init__(self, path: Path, decoders: _Decoders) -> None:
        self._path, self._decoders = path, decoders
        self._process: subprocess.Popen[bytes] | None = decoders.take()
        self._owed = 0  # replies
        try:
            self._ask("open", os.fspath(path))
            found = self._reply()
        except AudioError:
            self.close()
            raise
        self.sample_rate: int = found["sample_rate"]
        self.seconds: float | None = found["seconds"]

    def blocks(self) -> Iterator[tuple[np.ndarray, int]]:
        """Yield (n, C) float32 and the rate."""
        self._ask("next")
        while shape := (reply := self._reply()).get("shape"):
            block = np.frombuffer(reply["samples"], np.float32).reshape(shape).copy()
            self._ask("next")
            yield block, reply["rate"]

    def close(self) -> None:
        """Let the process close the file and wait for the next."""
        while self._owed:
            with suppress(AudioError):
                self._reply()
        if self._process is not None:
            self._ask("close")
            self._decoders.give(self._process)
            self._process = None

    def _ask(self, what: str, value: object = True) -> None:
        if self._process is None or self._process.stdin is None:
            raise AudioError("decoder_died", file=self._path)
        with suppress(OSError):  # the reply will tell that it died
            self._process.stdin.write(json.dumps({what: value}).encode() + b"\n")
            self._process.stdin.flush()
        self._owed += what != "close"

    def _reply(self) -> dict[str, Any]:
        """The next reply. AudioError: that is what it says, or the process has died."""
        process = self._process
        pipe = process.stdout if process else None
        self._owed -= 1
        line = pipe.readline() if pipe else b""
        reply: dict[str, Any] = json.loads(line) if line.endswith(b"\n") else {}
        samples = pipe.read(reply.get("bytes", 0)) if pipe else b""
        if not reply or len(samples) < reply.get("bytes", 0):
            self._owed, self._process = 0, None
            if process is not None:
                process.kill()
                process.communicate()
            raise AudioError("decoder_died", file=self._path)
        for level, message in reply["log"]:
            logger.log(level, "%s", message)
        if "error" in reply:
            error = from_json(reply["error"])
            raise AudioError(error.name, **error.values)
        return {**reply, "samples": samples}


class _LogLines(logging.Handler):
    """Keeps what is logged for the next reply."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.lines.append((record.levelno, record.getMessage()))


def _gathered(source: Source) -> Iterator[tuple[np.ndarray, int]]:
    """The blocks of a source, short ones put together: every block is a question and an answer."""
    parts: list[np.ndarray] = []
    known = 0
    try:
        for block, rate in source.blocks():
            fits = not parts or (rate, block.shape[1]) == (known, parts[0].shape[1])
            if not fits or sum(part.size for part in parts) >= DECODE_VALUES:
                yield np.concatenate(parts), known
                parts = []
            parts.append(block)
            known = rate
    except AudioError:
        if parts:
            yield np.concatenate(parts), known
        raise
    if parts:
        yield np.concatenate(parts), known


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Decode for another process until it closes the pipe."""
    log = _LogLines()
    source: Source | None = None
    blocks: Iterator[tuple[np.ndarray, int]] = iter(())
    logging.basicConfig(level=logging.INFO, handlers=[log])
    for line in requests:
        request = json.loads(line)
        reply: dict[str, Any] = {}
        samples = b""
        try:
            if "open" in request:
                source = open_source(Path(request["open"]))
                blocks = _gathered(source)
                reply = {"sample_rate": source.sample_rate, "seconds": source.seconds}
            elif "next" in request:
                for block, rate in blocks:
                    samples = np.ascontiguousarray(block, np.float32).tobytes()
                    reply = {"shape": block.shape, "rate": rate, "bytes": len(samples)}
                    break
            elif source is not None:
                source.close()
                source = None
        except AudioError as error:
            reply = {"error": error.to_json()}
        if "close" not in request:
            replies.write(json.dumps({**reply, "log": log.lines}).encode() + b"\n" + samples)
            replies.flush()
            log.lines = []


def main() -> None:
    """Serve the process that started this one; what libraries print goes where errors go."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a stop is for the other one
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, pipe)


if __name__ == "__main__":
    main()
