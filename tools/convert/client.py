"""The page's side of the conversion process: starts it, asks it, and starts it again if it dies."""

from __future__ import annotations

import contextlib
import itertools
import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import config
from errors import UserError, from_json
from infer.options import ConvertOptions
from options import command
from tools.options import IndexRatesOptions

CANCEL_SECONDS = 30.0  # a process that has not given up by then is ended
CLOSE_SECONDS = 5.0  # the same when the page itself ends


class ConversionError(UserError):
    """A conversion did not give a file."""


class ConversionCancelled(ConversionError):
    """The conversion was given up on request."""


@dataclass(frozen=True)
class End:
    """Of a conversion: done or failed, when (seconds since 1970), and after how many seconds."""

    state: str
    at: float
    seconds: float


class Request:
    """One thing asked of the conversion process, and the replies to it; output: file it makes."""

    def __init__(
        self,
        number: int,
        fields: dict[str, Any],
        process: subprocess.Popen[str],
        output: Path | None = None,
    ) -> None:
        self.number = number
        self.fields = fields
        self.output = output
        self.asked = time.time()
        self.replies: queue.Queue[dict[str, Any]] = queue.Queue()
        self.cancelled_at: float | None = None
        self.process = process
        self._result: dict[str, Any] = {}

    def result(self, on_progress: Callable[[float], None] | None = None) -> dict[str, Any]:
        """Wait for the result; ConversionCancelled or ConversionError say why there is none."""
        for share in self.shares():
            if on_progress is not None:
                on_progress(share)
        return self._result

    def shares(self) -> Iterator[float]:
        """Yield how far it is until `result` is there; raises as `result` does."""
        while True:
            try:
                reply = self.replies.get(timeout=1.0)
            except queue.Empty:
                if self.cancelled_at and time.monotonic() - self.cancelled_at > CANCEL_SECONDS:
                    self.process.kill()
                continue
            if "result" in reply:
                self._result = reply["result"]
                return
            if "cancelled" in reply or ("ended" in reply and self.cancelled_at):
                raise ConversionCancelled("conversion_stopped")
            if "ended" in reply:
                raise ConversionError("process_ended", code=reply["ended"])
            if "error" in reply:
                error = from_json(reply["error"])
                raise ConversionError(error.name, **error.values)
            yield reply["progress"]


class Session:
    """One conversion process, shared by everyone who has the page open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self.process: subprocess.Popen[str] | None = None
        self._requests: dict[int, Request] = {}
        self.end: End | None = None  # of the newest conversion that nobody gave up

    def load(self, voice: Path) -> Request:
        """Have a voice ready, so that its first conversion does not wait; describes it."""
        return self._ask({"do": "load", "voice": str(voice)})

    def convert(self, options: ConvertOptions) -> Request:
        """Convert as `printable(command(options))` would in a terminal."""
        fields = {"do": "convert", "arguments": _arguments(options)}
        return self._ask(fields, config.ROOT / options.output)

    def index_rates(self, options: IndexRatesOptions) -> Request:
        """Convert with several index rates, see tools.convert.index_rates; gives its rows."""
        return self._ask({"do": "index_rates", "arguments": _arguments(options)})

    def listen(self, path: Path, f0_method: str) -> Request:
        """Measure melody and loudness of a recording, see tools.convert.listen."""
        return self._ask({"do": "listen", "path": str(path), "f0_method": f0_method})

    def melody(self, path: Path, f0_method: str) -> Request:
        """Measure the melody of a whole recording, see tools.convert.listen."""
        return self._ask({"do": "melody", "path": str(path), "f0_method": f0_method})

    def match(self, paths: Sequence[Path], targets: Sequence[Path]) -> Request:
        """Write copies of recordings, all as loud as the quietest."""
        names = [[str(path) for path in listed] for listed in (paths, targets)]
        return self._ask({"do": "match", "paths": names[0], "targets": names[1]})

    @property
    def is_converting(self) -> bool:
        """Whether a conversion is being made or waits."""
        return bool(self.outputs)

    @property
    def outputs(self) -> list[Path]:
        """The files that are being made or wait for it."""
        with self._lock:
            return [each.output for each in self._requests.values() if each.output is not None]

    def cancel(self, number: int) -> None:
        """Give up a request; one that is over already is no error."""
        with self._lock:
            request = self._requests.get(number)
            if request is not None:
                request.cancelled_at = time.monotonic()
                self._send({"id": number, "do": "cancel"})

    def cancel_making(self, output: Path) -> None:
        """Give up what makes a file, whoever asked for it; one that is made already stays."""
        with self._lock:
            numbers = [each.number for each in self._requests.values() if each.output == output]
        for number in numbers:
            self.cancel(number)

    def unload(self) -> bool:
        """End the process, which frees what it holds of a GPU; False while it is at work.

        The next request starts another one.
        """
        with self._lock:
            if self._requests:
                return False
            process, self.process = self.process, None
        _end(process)
        return True

    def close(self) -> None:
        """End the process: at once when idle, else when it notices that the pipe is closed."""
        with self._lock:
            process, self.process = self.process, None
        _end(process)

    def _ask(self, fields: dict[str, Any], output: Path | None = None) -> Request:
        with self._lock:
            request = Request(next(self._numbers), fields, self._running(), output)
            self._requests[request.number] = request
            self._send({"id": request.number, **fields})
            return request

    def _running(self) -> subprocess.Popen[str]:
        """The process, a new one where there is none or it ended."""
        if self.process is None or self.process.poll() is not None:
            self.process = self._start()
        return self.process

    def _start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tools.convert.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            bufsize=1,
            cwd=config.ROOT,
        )
        threading.Thread(target=self._listen, args=[process], daemon=True).start()
        return process

    def _send(self, request: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # it just died: the listening thread tells who waits
            self.process.stdin.write(json.dumps(request) + "\n")

    def _listen(self, process: subprocess.Popen[str]) -> None:
        for line in process.stdout:
            reply = json.loads(line)
            with self._lock:
                request = self._requests[reply["id"]]
                if "progress" not in reply:
                    del self._requests[reply["id"]]
                    if request.output is not None and "cancelled" not in reply:
                        self._note_end(request, "done" if "result" in reply else "failed")
            request.replies.put(reply)
        code = process.wait()
        with self._lock:
            lost = [each for each in self._requests.values() if each.process is process]
            # killed for the sake of one, unless the session was closed: the others are asked again
            is_given_up = self.process is not None and any(each.cancelled_at for each in lost)
            for request in lost:
                if request.output is not None:  # killed, it could not do so itself
                    config.unfinished(request.output, process.pid).unlink(missing_ok=True)
                if is_given_up and request.cancelled_at is None:
                    request.process = self._running()
                    self._send({"id": request.number, **request.fields})
                    continue
                del self._requests[request.number]
                if request.output is not None and request.cancelled_at is None:
                    self._note_end(request, "failed")
                request.replies.put({"id": request.number, "ended": code})

    def _note_end(self, request: Request, state: str) -> None:
        now = time.time()
        self.end = End(state, now, now - request.asked)


def _arguments(options: ConvertOptions) -> list[str]:
    argv = command(options)
    return argv[argv.index(options.MODULE) + 1 :]


def _end(process: subprocess.Popen[str] | None) -> None:
    if process is not None:
        process.stdin.close()
        try:
            process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
