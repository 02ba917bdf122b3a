"""A recording played through a live stream as if it were spoken, and the delay measured."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from infer.audio.reader import MIN_SECONDS, AudioReader
from infer.audio.writer import AudioWriter
from infer.f0 import SAMPLE_RATE
from infer.options import StreamOptions
from tools.live.client import LiveProcess
from tools.live.frames import AUDIO, READY, REPORT

FRAME_SECONDS = 0.02  # sound is sent as a sound card gives it


@dataclass(frozen=True)
class Latency:
    """What a stream reached; times in seconds of the stream.

    latency: from a moment being spoken until its conversion was there, median, 95th percentile
    and most over the blocks. load: of the process, as a share of one core. skipped: seconds that
    were not converted. mode: at the end. megabytes: of the process after a tenth, and at the end.
    """

    latency: float
    latency_p95: float
    latency_most: float
    load: float
    skipped: float
    mode: str
    sample_rate: int
    megabytes: tuple[float, float]


def play(
    source: Path,
    output: Path | None,
    options: StreamOptions,
    speed: float = 1.0,
    seconds: float | None = None,
) -> Latency:
    """Send a recording at a speed, write what comes back where it belongs in time.

    seconds: of speech, the recording over and over; None = once. Raises AudioError or UserError.
    """
    process = LiveProcess(options)
    try:
        return _play(process, source, output, speed, seconds)
    finally:
        process.close()


def _play(
    process: LiveProcess, source: Path, output: Path | None, speed: float, seconds: float | None
) -> Latency:
    rate = int(process.ready["sample_rate"])
    parts: list[tuple[float, np.ndarray]] = []  # (moment, sound)
    delays: list[float] = []
    told = {"skipped": 0.0, "mode": process.ready["mode"]}
    with AudioReader(source, SAMPLE_RATE, MIN_SECONDS) as reader:
        audio = np.concatenate(list(reader.blocks()))
    started, computed = time.perf_counter(), cpu_seconds(process.process_id)

    def receive() -> None:
        while (frame := process.receive()) is not None:
            if frame.kind == AUDIO:
                now = (time.perf_counter() - started) * speed
                delays.append(now - frame.seconds)
                if output is not None:
                    parts.append((frame.seconds, np.frombuffer(frame.body, "<f4")))
            elif frame.kind in (REPORT, READY):
                told.update(frame.values)

    receiver = threading.Thread(target=receive)
    receiver.start()
    size = round(FRAME_SECONDS * SAMPLE_RATE)
    length = len(audio) if seconds is None else round(seconds * SAMPLE_RATE)
    tail = round((process.ready["latency_seconds"] + 0.5) * SAMPLE_RATE)
    first = 0.0
    for start in range(0, length + tail - size + 1, size):
        spoken = (start + size) / SAMPLE_RATE  # a frame is there when its last sample is
        early = spoken / speed - (time.perf_counter() - started)
        if early > 0:
            time.sleep(early)
        places = np.arange(start, start + size)
        frame = np.where(places < length, audio[places % len(audio)], 0.0)
        process.send(frame.astype("<f4").tobytes(), start / SAMPLE_RATE)
        if not first and start >= length / 10:
            first = megabytes(process.process_id)
    last = megabytes(process.process_id)
    elapsed = time.perf_counter() - started
    load = (cpu_seconds(process.process_id) - computed) / elapsed
    process.end_input()
    receiver.join()
    if output is not None:
        with AudioWriter(output, rate, rate) as writer:
            writer.write(_in_time(parts, rate, length))
    median, p95, most = np.percentile(delays or [0.0], [50, 95, 100]).tolist()
    skipped, mode = told["skipped"], told["mode"]
    return Latency(median, p95, most, load, skipped, mode, rate, (first, last))


def _in_time(parts: list[tuple[float, np.ndarray]], rate: int, samples_16k: int) -> np.ndarray:
    """Every part at its moment, silence where something was skipped."""
    audio = np.zeros(samples_16k * rate // SAMPLE_RATE, np.float32)
    for seconds, part in parts:
        start = round(seconds * rate)
        part = part[max(0, -start) :]
        start = max(0, start)
        audio[start : start + len(part)] = part[: max(0, len(audio) - start)]
    return audio


def cpu_seconds(process: int) -> float:
    """Seconds that a process has computed since it started; NaN where the system does not tell."""
    try:
        words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return float("nan")
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def megabytes(process: int) -> float:
    """Memory that a process holds (RSS); NaN where the system does not tell."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except OSError:
        return float("nan")
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
