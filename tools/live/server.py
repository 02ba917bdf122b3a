"""The process behind a live stream: frames of sound in, frames in another voice out.

`python -m tools.live.server --voice V` reads frames (tools/live/frames.py) on standard input and
writes frames on what was standard output: READY once, then AUDIO, and REPORT about once a second.
SETTINGS change while the stream runs: {"is_bypassed": true}, or any of CHANGEABLE.
The end of standard input ends it.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections import deque
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from errors import as_user_error
from infer.f0 import SAMPLE_RATE
from infer.options import STREAM_MODES, StreamOptions
from options import parse_options
from tools.live.engine import Engine
from tools.live.frames import AUDIO, FAILED, READY, REPORT, SETTINGS, Frame, json_frame, read_frame

if TYPE_CHECKING:
    from infer.converter import VoiceConverter

REPORT_SECONDS = 1.0  # of sound between two reports
CHANGEABLE = ("semitones", "index_rate", "protect", "rms_mix_rate", "gate_db", "mode", "speaker")

logger = logging.getLogger(__name__)


class Server:
    """Reads in a thread, so that sound never waits in a pipe, and converts in this one."""

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        self._source, self._sink = source, sink
        self._frames: deque[Frame | None] = deque()
        self._has_some = threading.Condition()

    def serve(self, options: StreamOptions) -> None:
        """Convert until the source ends."""
        import torch

        from infer.converter import VoiceConverter

        torch.set_num_threads(1)  # a second thread waits for the first one, and loses its turn
        converter = VoiceConverter(options.voice, options.device)
        engine = self._start(converter, options)
        threading.Thread(target=self._read, daemon=True).start()
        number, told = 0, 0.0  # seconds of sound since the last report
        while True:
            while engine.is_ready:
                part = engine.convert()
                body = part.audio.astype("<f4").tobytes()
                self._write(Frame(AUDIO, number, part.seconds, body))
                number += 1
                told += engine.block / SAMPLE_RATE
                if told >= REPORT_SECONDS:
                    told = 0.0
                    report = engine.report()
                    mode = engine.converter.options.mode
                    self._write(json_frame(REPORT, {**asdict(report), "mode": mode}))
                    if report.is_overloaded and (slower := slower_mode(mode)):
                        slower_options = replace(engine.converter.options, mode=slower)
                        engine = self._start(converter, slower_options, engine)
                self._feed(engine)
            frame = self._wait()
            if frame is None:
                return
            if frame.kind == AUDIO:
                engine.feed(np.frombuffer(frame.body, "<f4"), frame.seconds)
            elif frame.kind == SETTINGS:
                engine = self._change(converter, engine, frame.values)

    def _change(self, converter: VoiceConverter, engine: Engine, values: dict[str, Any]) -> Engine:
        engine.is_bypassed = bool(values.get("is_bypassed", engine.is_bypassed))
        before = engine.converter.options
        changes = {name: values[name] for name in CHANGEABLE if name in values}
        try:
            options = replace(before, **changes)
            if options.timing != before.timing:
                return self._start(converter, options, engine)
            engine.converter.set_options(options)
        except ValueError as error:  # the stream goes on as it was
            self._write(json_frame(FAILED, as_user_error(error).to_json()))
        return engine

    def _start(
        self, converter: VoiceConverter, options: StreamOptions, before: Engine | None = None
    ) -> Engine:
        """Begin to convert as options say; what waits in the engine before goes on."""
        from infer.streaming import StreamConverter

        stream = StreamConverter(converter, options)
        timing = stream.timing
        engine = Engine(stream, timing.block, timing.look_ahead / SAMPLE_RATE)
        if before is not None:
            stream.go_on_from(before.converter)
            engine.take_over(before)
        values = {
            "sample_rate": stream.sample_rate,
            "mode": options.mode,
            "block_seconds": timing.block / SAMPLE_RATE,
            "latency_seconds": timing.latency_seconds,
        }
        self._write(json_frame(READY, values))
        return engine

    def _read(self) -> None:
        while True:
            frame = read_frame(self._source)
            with self._has_some:
                self._frames.append(frame)
                self._has_some.notify()
            if frame is None:
                return

    def _wait(self) -> Frame | None:
        """The next frame, None at the end of the stream."""
        with self._has_some:
            while not self._frames:
                self._has_some.wait()
            return self._frames.popleft()

    def _feed(self, engine: Engine) -> None:
        """Give the engine all the sound that has come, so that it can see what is late."""
        with self._has_some:
            while self._frames and self._frames[0] is not None and self._frames[0].kind == AUDIO:
                frame = self._frames.popleft()
                engine.feed(np.frombuffer(frame.body, "<f4"), frame.seconds)

    def _write(self, frame: Frame) -> None:
        self._sink.write(frame.pack())
        self._sink.flush()


def slower_mode(mode: str) -> str | None:
    """The next mode with a longer block, None after the last."""
    modes = sorted(STREAM_MODES, key=lambda name: STREAM_MODES[name][0])
    place = modes.index(mode) + 1
    return modes[place] if place < len(modes) else None


def main() -> int:
    """Serve; what a library prints goes to the console, so the pipe carries frames only."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.WARNING)
    sink = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        Server(sys.stdin.buffer, sink).serve(parse_options(StreamOptions))
    except BrokenPipeError:
        return 0
    except (ValueError, OSError) as error:
        sink.write(json_frame(FAILED, as_user_error(error).to_json()).pack())
        sink.flush()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
