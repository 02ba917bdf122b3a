"""The process behind a live stream: frames of sound in, frames in another voice out.

`python -m tools.live.server --voice V` reads frames (tools/live/frames.py) on standard input and
writes frames on what was standard output: READY once, then AUDIO, and REPORT about once a second.
SETTINGS change while the stream runs, see tools/live/settings.py.
The end of standard input ends it.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
from collections import deque
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from errors import UserError, as_user_error
from infer.content.statistics import RunningStatistics
from infer.f0 import SAMPLE_RATE
from infer.options import STREAM_MODES, StreamOptions
from options import parse_options
from tools.live.engine import Engine, Report
from tools.live.frames import (
    AUDIO,
    FAILED,
    READY,
    REPORT,
    SETTINGS,
    SPARE,
    Frame,
    json_frame,
    read_frame,
)
from tools.live.hearing import Hearing, Speaking
from tools.live.priority import come_first
from tools.live.settings import Settings
from tools.live.speaker import recall, remember
from tools.records import record

if TYPE_CHECKING:
    from infer.converter import VoiceConverter
    from infer.streaming import StreamConverter

REPORT_SECONDS = 1.0  # of sound between two reports

logger = logging.getLogger(__name__)


class Server:
    """Reads in a thread, so that sound never waits in a pipe, and converts in this one."""

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        self._source, self._sink = source, sink
        self._frames: deque[Frame | VoiceConverter | UserError | None] = deque()
        self._has_some = threading.Condition()

    def serve(self, options: StreamOptions) -> None:
        """Convert until the source ends."""
        import torch

        from infer.converter import VoiceConverter

        torch.set_num_threads(1)  # a second thread waits for the first one, and loses its turn
        converter = VoiceConverter(options.voice, options.device)
        self._hearing = Hearing(options.input_rate, options.denoise)
        self._speaking = Speaking(converter.sample_rate, options.output_rate)
        _warm_up(converter, options)
        engine = self._start(converter, options)
        if isinstance(statistics := engine.converter.statistics, RunningStatistics):
            recall(statistics, converter.encoder_name)
        gc.collect()
        gc.freeze()  # what is loaded is not looked through again while sound waits
        threading.Thread(target=self._read, daemon=True).start()
        number, told = 0, 0.0  # seconds of sound since the last report
        while True:
            while engine.is_ready:
                part = engine.convert()
                audio, seconds = self._speaking.push(part.audio, part.seconds)
                self._write(Frame(AUDIO, number, seconds, audio.astype("<f4").tobytes()))
                spare = self._speaking.beyond(part.spare)
                seconds += len(audio) / self._speaking.sample_rate
                self._write(Frame(SPARE, number, seconds, spare.astype("<f4").tobytes()))
                number += 1
                told += engine.block / SAMPLE_RATE
                if told >= REPORT_SECONDS:
                    told = 0.0
                    report = engine.report()
                    mode = self._report(engine, report)
                    if report.is_overloaded and (slower := slower_mode(mode)):
                        slower_options = replace(engine.converter.options, mode=slower)
                        engine = self._start(converter, slower_options, engine)
                self._feed(engine)
            frame = self._wait()
            if frame is None:
                self._remember(engine.converter)
                return
            if not isinstance(frame, Frame):
                engine = self._swap(frame, engine)
            elif frame.kind == AUDIO:
                self._hear(engine, frame)
            elif frame.kind == SETTINGS:
                engine = self._change(engine, frame.values)

    def _change(self, engine: Engine, values: dict[str, Any]) -> Engine:
        before, converter = engine.converter.options, engine.converter.converter
        try:
            settings = record(Settings, values)
            if settings.voice not in (None, str(before.voice)):
                self._load(replace(before, voice=Path(settings.voice), speaker=0))
            options = replace(settings, voice=None).change(before)
            if options.denoise != before.denoise:
                hearing, self._hearing = self._hearing, Hearing(before.input_rate, options.denoise)
                hearing.close()
            if options.timing != before.timing:
                engine = self._start(converter, options, engine)
            else:
                engine.converter.set_options(options)
            if settings.is_bypassed is not None:
                engine.is_bypassed = settings.is_bypassed
        except ValueError as error:  # the stream goes on as it was
            self._write(json_frame(FAILED, as_user_error(error).to_json()))
        return engine

    def _load(self, options: StreamOptions) -> None:
        """Read another voice while the stream goes on."""
        from infer.converter import VoiceConverter

        def load() -> None:
            found: VoiceConverter | UserError
            try:
                found = VoiceConverter(options.voice, options.device)
            except (ValueError, OSError) as error:
                found = as_user_error(error)
            else:
                _warm_up(found, options)
            self._put(found)

        threading.Thread(target=load, daemon=True).start()

    def _swap(self, loaded: VoiceConverter | UserError, engine: Engine) -> Engine:
        """Go on with a voice that was read; as it was where it cannot be used."""
        before = engine.converter.options
        if isinstance(loaded, UserError):
            self._write(json_frame(FAILED, loaded.to_json()))
            return engine
        self._speaking = Speaking(loaded.sample_rate, before.output_rate)
        return self._start(loaded, replace(before, voice=loaded.path, speaker=0), engine)

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
            "sample_rate": self._speaking.sample_rate,
            "voice": str(options.voice),
            "mode": options.mode,
            "block_seconds": timing.block / SAMPLE_RATE,
            "latency_seconds": timing.latency_seconds,
        }
        self._write(json_frame(READY, values))
        return engine

    def _read(self) -> None:
        while True:
            frame = read_frame(self._source)
            self._put(frame)
            if frame is None:
                return

    def _put(self, what: Frame | VoiceConverter | UserError | None) -> None:
        with self._has_some:
            self._frames.append(what)
            self._has_some.notify()

    def _wait(self) -> Frame | VoiceConverter | UserError | None:
        """The next frame or voice, None at the end of the stream."""
        with self._has_some:
            while not self._frames:
                self._has_some.wait()
            return self._frames.popleft()

    def _feed(self, engine: Engine) -> None:
        """Give the engine all the sound that has come, so that it can see what is late."""
        with self._has_some:
            while self._frames and getattr(self._frames[0], "kind", None) == AUDIO:
                self._hear(engine, self._frames.popleft())

    def _hear(self, engine: Engine, frame: Frame) -> None:
        engine.feed(*self._hearing.push(np.frombuffer(frame.body, "<f4"), frame.seconds))

    def _remember(self, stream: StreamConverter) -> None:
        if isinstance(stream.statistics, RunningStatistics):
            try:
                remember(stream.statistics, stream.converter.encoder_name)
            except OSError as error:
                logger.warning("the speaker is not remembered: %s", error)

    def _report(self, engine: Engine, report: Report) -> str:
        """Tell how the stream keeps up and what it found; returns its mode."""
        stream = engine.converter
        found = {
            "mode": stream.options.mode,
            "semitones": stream.semitones,
            "source_hz": stream.fitter.source_hz,
        }
        self._write(json_frame(REPORT, {**asdict(report), **found}))
        return stream.options.mode

    def _write(self, frame: Frame) -> None:
        self._sink.write(frame.pack())
        self._sink.flush()


def _warm_up(converter: VoiceConverter, options: StreamOptions) -> None:
    """Convert two blocks of silence: a network's first ones take longer."""
    from infer.streaming import StreamConverter

    stream = StreamConverter(converter, replace(options, index_rate=0.0))
    stream.push(np.zeros(2 * stream.timing.block, np.float32))


def slower_mode(mode: str) -> str | None:
    """The next mode with a longer block, None after the last."""
    modes = sorted(STREAM_MODES, key=lambda name: STREAM_MODES[name][0])
    place = modes.index(mode) + 1
    return modes[place] if place < len(modes) else None


def main() -> int:
    """Serve; what a library prints goes to the console, so the pipe carries frames only."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    come_first()
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
