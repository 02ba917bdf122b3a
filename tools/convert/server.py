"""The conversion process behind the page: requests and replies are JSON lines on its own pipe.

Requests, one a line on standard input:
  {"id": 1, "do": "load", "voice": PATH}          have a voice ready; its result describes it
  {"id": 2, "do": "convert", "arguments": [...]}  arguments of tools.cmd.infer_cli
  {"id": 2, "do": "index_rates", "arguments": [...]}  arguments of tools.cmd.index_rates
  {"id": 3, "do": "listen", "path": PATH, "f0_method": NAME}      melody and loudness
  {"id": 3, "do": "melody", "path": PATH, "f0_method": NAME}      melody of the whole, 100 a second
  {"id": 4, "do": "match", "paths": [...], "targets": [...]}     copies of the same loudness
  {"id": 2, "do": "cancel"}                       give up request 2, waiting or running
Replies, one a line on what was standard output: {"id": 2, "progress": 0..1}, any number of times,
then one of {"id": 2, "result": {...}}, {"id": 2, "cancelled": true} and {"id": 2, "error": {...}},
an error of errors.py as JSON.
The end of standard input ends the process.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import signal
import sys
import threading
from collections import OrderedDict, deque
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import config
from errors import as_user_error
from infer.audio.isolated import isolate
from infer.f0 import F0Method, load_f0_method
from infer.options import ConvertOptions
from infer.retrieval import find_index
from options import parse_options
from tools.options import IndexRatesOptions

if TYPE_CHECKING:
    from infer.converter import VoiceConverter

VOICES_KEPT = 2  # the last used stay in memory
QUICK = ("load", "listen", "match")  # what is answered while a conversion goes on

logger = logging.getLogger(__name__)


class Cancelled(BaseException):
    """The request that is being worked on was given up."""


class Worker:
    """Works on one request after the other while a thread reads the next ones."""

    def __init__(self, requests: TextIO, replies: TextIO) -> None:
        self._requests = requests
        self._replies = replies
        self._waiting: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._later: deque[dict[str, Any] | None] = deque()  # came while another was worked on
        self._cancelled: set[int] = set()
        self._is_closing = threading.Event()
        self._voices: OrderedDict[tuple[str, int, str], VoiceConverter] = OrderedDict()

    def serve(self) -> None:
        """Answer requests until the pipe is closed."""
        threading.Thread(target=self._read, daemon=True).start()
        while (
            request := self._later.popleft() if self._later else self._waiting.get()
        ) is not None:
            self._answer(request)

    def _answer_quick_ones(self) -> None:
        """Answer what came meanwhile and takes a moment: pages that open need not wait."""
        while not self._waiting.empty():
            request = self._waiting.get()
            if request is not None and request["do"] in QUICK:
                self._answer(request)
            else:
                self._later.append(request)

    def _read(self) -> None:
        for line in self._requests:
            request = json.loads(line)
            if request["do"] == "cancel":
                self._cancelled.add(request["id"])
            else:
                self._waiting.put(request)
        self._is_closing.set()
        self._waiting.put(None)

    def _answer(self, request: dict[str, Any]) -> None:
        number = request["id"]
        try:
            self._stop_if_cancelled(number)
            result = self._work(number, request)
        except Cancelled:
            self._reply(number, cancelled=True)
        except (ValueError, OSError) as error:
            self._reply(number, error=as_user_error(error).to_json())
        except (RuntimeError, MemoryError) as error:  # out of memory, a device that went away
            logger.exception("request %d failed", number)
            self._reply(number, error=as_user_error(error).to_json())
        else:
            self._reply(number, result=result)

    def _work(self, number: int, request: dict[str, Any]) -> dict[str, Any]:
        from tools.convert.index_rates import compare_index_rates
        from tools.convert.listen import listen, match_loudness_of, melody

        if request["do"] == "load":
            return _describe(self._voice(Path(request["voice"]), "auto"))
        if request["do"] == "listen":
            return listen(Path(request["path"]), _f0_method(request["f0_method"]))
        if request["do"] == "melody":
            return {"f0": melody(Path(request["path"]), _f0_method(request["f0_method"]))}
        if request["do"] == "match":
            paths, targets = ([Path(path) for path in request[key]] for key in ("paths", "targets"))
            return {"changes_db": match_loudness_of(paths, targets)}

        def on_progress(share: float) -> None:
            self._stop_if_cancelled(number)
            self._reply(number, progress=share)
            self._answer_quick_ones()

        if request["do"] == "index_rates":
            options = parse_options(IndexRatesOptions, request["arguments"])
            converter = self._voice(options.voice, options.device)
            rows = compare_index_rates(converter, options, on_progress)
            return {"rows": [row.plain() for row in rows]}
        options = parse_options(ConvertOptions, request["arguments"])
        converter = self._voice(options.voice, options.device)
        conversion = converter.convert_file(options, on_progress)
        return {"audio_seconds": conversion.audio_seconds, "seconds": conversion.seconds}

    def _voice(self, path: Path, device: str) -> VoiceConverter:
        from infer.converter import VoiceConverter

        changed = path.stat().st_mtime_ns if path.exists() else 0
        key = (str(path.resolve()), changed, device)
        voice = self._voices.pop(key, None) or VoiceConverter(path, device)
        self._voices[key] = voice
        while len(self._voices) > VOICES_KEPT:
            self._voices.popitem(last=False)
        return voice

    def _stop_if_cancelled(self, number: int) -> None:
        if number in self._cancelled or self._is_closing.is_set():
            self._cancelled.discard(number)
            raise Cancelled

    def _reply(self, number: int, **fields: Any) -> None:
        if not self._is_closing.is_set():
            self._replies.write(json.dumps({"id": number, **fields}) + "\n")
            self._replies.flush()


def _describe(voice: VoiceConverter) -> dict[str, Any]:
    """What the page shows of a voice and offers for it, as plain values."""
    import torch

    index = find_index(voice.path, [config.LOGS], voice.model.version, voice.params.content_dim)
    num_gpus = torch.cuda.device_count()
    device = config.pick_device()
    is_gpu = device.type == "cuda"
    return {
        "version": voice.model.version,
        "sample_rate": voice.sample_rate,
        "num_speakers": voice.params.num_speakers,
        "use_f0": voice.model.use_f0,
        "info": voice.model.info,
        "f0_median": {str(speaker): hz for speaker, hz in voice.model.f0_median.items()},
        "f0_range": {str(speaker): list(hz) for speaker, hz in voice.model.f0_range.items()},
        "index": None if index is None else str(index),
        "gpu_gib": torch.cuda.get_device_properties(device).total_memory / 2**30
        if is_gpu
        else None,
        "devices": [
            *(f"cuda:{number}" for number in range(num_gpus)),
            *(["mps"] if torch.backends.mps.is_available() else []),
            "cpu",
        ],
    }


@cache
def _f0_method(name: str) -> F0Method:
    """An f0 method for measuring, on the CPU: a minute of audio does not need more."""
    return load_f0_method(name)


def main() -> None:
    """Serve; what a library prints goes to the console, so the pipe carries replies only."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the page, which closes the pipe
    logging.basicConfig(level=logging.WARNING)
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    isolate()  # a recording that crashes its decoder takes nothing else along
    Worker(sys.stdin, replies).serve()


if __name__ == "__main__":
    main()
