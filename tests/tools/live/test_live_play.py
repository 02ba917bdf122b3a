from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from errors import UserError
from infer.audio.reader import AudioReader
from infer.f0 import SAMPLE_RATE, load_f0_method
from infer.options import StreamOptions
from tools.live.client import LiveProcess
from tools.live.frames import AUDIO, FAILED, READY, REPORT, SPARE, Frame
from tools.live.play import play


@pytest.fixture(scope="module")
def clip(english: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two and a half seconds of speech."""
    path = tmp_path_factory.mktemp("live") / "clip.wav"
    audio = np.concatenate(list(AudioReader(english, SAMPLE_RATE, 0.1).blocks()))
    soundfile.write(path, audio[: 5 * SAMPLE_RATE // 2], SAMPLE_RATE)
    return path


def send(process: LiveProcess, audio: np.ndarray, start: int = 0) -> None:
    """Send audio that was spoken from a sample on."""
    process.send(audio.astype("<f4").tobytes(), start / SAMPLE_RATE)


def until(process: LiveProcess, kind: int) -> Frame:
    """The next frame of a kind."""
    while (frame := process.receive()) is not None:
        if frame.kind == kind:
            return frame
    raise AssertionError("the stream ended")


def test_a_recording_is_played_in_time(shipped_voice, root, clip, tmp_path):
    output = tmp_path / "out.wav"
    options = StreamOptions(voice=root / "assets/lite/demo.pth", mode="best")
    found = play(clip, output, options, speed=0.5)  # at half the speed a busy machine keeps up
    source, _ = soundfile.read(clip, dtype="float32")
    spoken, rate = soundfile.read(output, dtype="float32")
    assert len(spoken) == len(source) * rate // SAMPLE_RATE and found.latency > 0.24
    swift = load_f0_method("swift")
    said, heard = swift(source), swift(soxr.resample(spoken, rate, SAMPLE_RATE))
    agree = [np.mean((np.roll(heard, -lag) > 0) == (said > 0)) for lag in range(-8, 9)]
    assert abs(int(np.argmax(agree)) - 8) <= 1, agree  # frames of 10 ms


def test_settings_change_while_it_runs(shipped_voice, root):
    process = LiveProcess(StreamOptions(voice=root / "assets/lite/demo.pth"))
    try:
        assert process.ready["mode"] == "balanced"
        noise = np.random.default_rng(0).normal(0, 0.1, 4000).astype(np.float32)
        send(process, noise)
        first = until(process, AUDIO)
        assert first.seconds < 0  # the silence before the stream
        spare = until(process, SPARE)
        length = len(first.body) // 4 / process.ready["sample_rate"]
        assert spare.seconds == pytest.approx(first.seconds + length)
        assert len(spare.body) // 4 == 0.04 * process.ready["sample_rate"]
        process.change(mode="best", semitones=3)
        assert until(process, READY).values["mode"] == "best"
        process.change(speaker=99)
        assert until(process, FAILED).values["name"] == "speaker"
        process.change(gate_db="loud")
        assert until(process, FAILED).kind == FAILED
        process.change(voice="none.pth")
        assert until(process, FAILED).values["name"] == "no_such"
        other = root / "assets/lite/demo_male.pth"
        process.change(voice=str(other))
        assert until(process, READY).values["voice"] == str(other)
        process.change(is_bypassed=True)
        kinds = []
        for number in range(6):  # each a quarter of a second; at once they would be late
            send(process, noise, 4000 * (1 + number))
            while (frame := process.receive()).kind != AUDIO:
                kinds.append(frame.kind)
            last = frame
        assert REPORT in kinds
        assert np.abs(np.frombuffer(last.body, "<f4")).max() > 0.1
    finally:
        process.close()


def test_a_voice_that_is_not_there_is_said():
    with pytest.raises(UserError, match="none.pth"):
        LiveProcess(StreamOptions(voice=Path("none.pth")))
