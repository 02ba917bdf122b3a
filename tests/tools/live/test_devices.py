"""A stream between devices, with a sound system that is not there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from errors import UserError
from tools.live import devices
from tools.live.frames import AUDIO, Frame
from tools.options import LiveOptions


class Sound:
    """sounddevice: a stereo microphone at 44.1 kHz, a loudspeaker with eight channels at 48 kHz."""

    PortAudioError = RuntimeError

    def __init__(self) -> None:
        self.opened: dict[str, tuple[Any, ...]] = {}
        self.callbacks: dict[str, Any] = {}

    def query_devices(self, device: Any, kind: str) -> dict[str, Any]:
        if device == "nothing":
            raise ValueError("No input device matching 'nothing'")
        rate = {"input": 44100.0, "output": 48000.0}[kind]
        return {"default_samplerate": rate, "index": device or 0, "max_input_channels": 2,
                "max_output_channels": 8}  # fmt: skip

    def InputStream(self, *given: Any, callback: Any, **settings: Any) -> Any:  # noqa: N802
        return self._open("input", given, callback)

    def OutputStream(self, *given: Any, callback: Any, **settings: Any) -> Any:  # noqa: N802
        return self._open("output", given, callback)

    def _open(self, kind: str, given: tuple[Any, ...], callback: Any) -> Any:
        self.opened[kind], self.callbacks[kind] = given, callback
        return _Open()


class _Open:
    def __enter__(self) -> None: ...
    def __exit__(self, *error: object) -> None: ...


class Process:
    """A stream that answers once, with what the sound system then plays."""

    def __init__(self, options: Any) -> None:
        self.options, self.sent, self.played = options, [], np.zeros((480, 2), np.float32)
        self.ready = {"block_seconds": 0.1}
        self.frames = [Frame(AUDIO, 0, 0.0, np.full(480, 0.5, "<f4").tobytes())]

    def send(self, audio: bytes, seconds: float) -> None:
        self.sent.append((len(audio), seconds))

    def receive(self) -> Frame | None:
        if self.frames:
            return self.frames.pop()
        self.sound.callbacks["input"](np.zeros((441, 2), np.float32), 441, None, None)
        self.sound.callbacks["input"](np.zeros((441, 2), np.float32), 441, None, None)
        self.sound.callbacks["output"](self.played, 480, None, None)
        return None

    def close(self) -> None: ...


def test_devices_are_opened_as_they_are_and_the_stream_brings_the_rates_together(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    sound, made = Sound(), []

    def process(options: Any) -> Process:
        made.append(Process(options))
        made[0].sound = sound
        return made[0]

    monkeypatch.setattr(devices, "_sounddevice", lambda: sound)
    monkeypatch.setattr(devices, "LiveProcess", process)
    devices.run_devices(LiveOptions(voice=tmp_path / "v.pth", output_device="3"), print)
    assert (made[0].options.input_rate, made[0].options.output_rate) == (44100, 48000)
    assert sound.opened == {"input": (44100, 441, 0, 2), "output": (48000, 480, 3, 2)}
    assert made[0].sent == [(4 * 441, 0.0), (4 * 441, 0.01)]
    assert np.all(made[0].played == 0.5)


def test_a_device_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(devices, "_sounddevice", Sound)
    with pytest.raises(UserError, match="nothing"):
        devices.run_devices(LiveOptions(voice=tmp_path / "v.pth", input_device="nothing"), print)
