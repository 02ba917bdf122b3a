"""A live stream between a microphone and a loudspeaker of this computer, by sounddevice."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType

import numpy as np

from errors import UserError
from tools.live.client import LiveProcess
from tools.live.frames import AUDIO, REPORT
from tools.options import LiveOptions

BLOCK_SECONDS = 0.01
BUFFER_SECONDS = (
    0.06  # converted sound that waits at most beyond one block, before some is left out
)


def list_devices() -> str:
    """Return a line for every device. UserError where sounddevice is not installed."""
    return str(_sounddevice().query_devices())


def run_devices(options: LiveOptions, say: Callable[[str], None]) -> None:
    """Stream until Ctrl-C; says once a second how it keeps up."""
    sound = _sounddevice()
    names = (options.input_device, options.output_device)
    try:
        heard, spoken = (
            sound.query_devices(_device(name), kind)
            for name, kind in zip(names, ("input", "output"), strict=True)
        )
    except (sound.PortAudioError, ValueError) as error:  # none is called like that
        raise UserError("sound_device", reason=" ".join(str(error).split())) from error
    input_rate, rate = (round(device["default_samplerate"]) for device in (heard, spoken))
    process = LiveProcess(replace(options.stream, input_rate=input_rate, output_rate=rate))
    ring = _Ring(round((process.ready["block_seconds"] + BUFFER_SECONDS) * rate))
    position = 0

    def hear(data: np.ndarray, frames: int, times: object, status: object) -> None:
        nonlocal position
        process.send(data[:, 0].astype("<f4").tobytes(), position / input_rate)
        position += frames

    def speak(data: np.ndarray, frames: int, times: object, status: object) -> None:
        data[:] = ring.pop(frames)[:, None]

    settings = {"dtype": "float32", "latency": "low"}
    try:
        with (
            sound.InputStream(
                input_rate, round(BLOCK_SECONDS * input_rate), heard["index"],
                min(2, heard["max_input_channels"]), callback=hear, **settings,
            ),
            sound.OutputStream(
                rate, round(BLOCK_SECONDS * rate), spoken["index"],
                min(2, spoken["max_output_channels"]), callback=speak, **settings,
            ),
        ):  # fmt: skip
            while (frame := process.receive()) is not None:
                if frame.kind == AUDIO:
                    ring.push(np.frombuffer(frame.body, "<f4"))
                elif frame.kind == REPORT:
                    values = frame.values
                    say(
                        f"load {100 * values['load']:.0f} %, skipped {values['skipped']:.1f} s, "
                        f"gaps {ring.gaps}, mode {values['mode']}"
                    )
    except sound.PortAudioError as error:
        raise UserError("sound_device", reason=" ".join(str(error).split())) from error
    finally:
        process.close()


class _Ring:
    """Sound between the converter and the loudspeaker; what is too much is left out."""

    def __init__(self, most: int) -> None:
        self._most, self._length = most, 0
        self._parts: deque[np.ndarray] = deque()
        self._lock = threading.Lock()
        self.gaps = 0

    def push(self, audio: np.ndarray) -> None:
        with self._lock:
            self._parts.append(audio)
            self._length += len(audio)
            while self._length - len(self._parts[0]) > self._most:
                self._length -= len(self._parts.popleft())

    def pop(self, count: int) -> np.ndarray:
        out = np.zeros(count, np.float32)
        filled = 0
        with self._lock:
            while filled < count and self._parts:
                part = self._parts.popleft()
                used = part[: count - filled]
                out[filled : filled + len(used)] = used
                filled += len(used)
                if len(used) < len(part):
                    self._parts.appendleft(part[len(used) :])
            self._length -= filled
            self.gaps += 0 < filled < count
        return out


def _sounddevice() -> ModuleType:
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: the PortAudio library is not there
        raise UserError("sounddevice_missing", reason=str(error)) from error
    return sounddevice


def _device(name: str) -> int | str | None:
    """A device by number or a part of its name; None = the system's own."""
    return int(name) if name.isdecimal() else name or None
