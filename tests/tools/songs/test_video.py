"""A video keeps its picture, and its new sound stands where the old one stood."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from errors import AudioError
from infer.audio.reader import AudioReader
from tools.songs.video import VideoWriter, has_picture

RATE = 44100
SECONDS = 3
FRAMES = 25  # per second


def make_video(
    path: Path, late: float, sound: np.ndarray | None = None, codecs: str = "mpeg4 aac"
) -> np.ndarray:
    """Write a video whose sound begins late, without one of clicks; returns the sound, (n, 2)."""
    if sound is None:
        sound = np.zeros((SECONDS * RATE, 2), np.float32)
        for start in range(RATE // 4, len(sound), RATE // 2):
            sound[start : start + 400] = 0.5 * np.hanning(400)[:, None]
    with av.open(str(path), "w") as container:
        codec, sound_codec = codecs.split()
        picture = container.add_stream(codec, rate=FRAMES)
        picture.pix_fmt = "yuv420p"
        picture.width = picture.height = 64
        audio = container.add_stream(sound_codec, rate=RATE, layout="stereo")
        for number in range(SECONDS * FRAMES):
            image = np.full((64, 64, 3), number * 3, np.uint8)
            container.mux(picture.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(picture.encode(None))
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound.T), "fltp", "stereo")
        frame.sample_rate, frame.time_base = RATE, Fraction(1, RATE)
        frame.pts = round(late * RATE)
        container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
    return sound


def write_sound(path: Path, sound: np.ndarray) -> None:
    """Write an mp4 without a picture."""
    with av.open(str(path), "w") as container:
        audio = container.add_stream("aac", rate=RATE, layout="stereo")
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(sound.T, np.float32), "fltp", "stereo"
        )
        frame.sample_rate = RATE
        container.mux(audio.encode(frame))
        container.mux(audio.encode(None))


def pictures(path: Path) -> list[tuple[float, bytes]]:
    with av.open(str(path)) as container:
        return [
            (float(packet.pts * packet.time_base), bytes(packet))
            for packet in container.demux(video=0)
            if packet.pts is not None
        ]


def first_click(path: Path) -> float:
    """Seconds of the container's own time at which the first click is loudest."""
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            samples = np.abs(frame.to_ndarray()[0])
            if samples.max() > 0.15:
                return float(frame.pts * frame.time_base) + int(samples.argmax()) / RATE
    raise AssertionError("no click")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
@pytest.mark.parametrize("late", [0.0, 0.5])
def test_sound_and_picture_stay_in_step(tmp_path: Path, suffix: str, late: float) -> None:
    source, target = tmp_path / f"clip{suffix}", tmp_path / f"cover{suffix}"
    make_video(source, late)
    with AudioReader(source, channels=2) as reader, VideoWriter(target, source, RATE) as writer:
        for block in reader.blocks(0.4):
            writer.write(0.5 * block)
            writer.write(block[:0])
    assert [data for _, data in pictures(target)] == [data for _, data in pictures(source)]
    times = [[time for time, _ in pictures(path)] for path in (source, target)]
    assert np.abs(np.subtract(*times)).max() < 0.002
    assert abs(first_click(target) - first_click(source)) < 0.02
    assert abs(first_click(source) - 0.25 - late) < 0.05  # the test's own video is as meant
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([source.name, target.name])


def test_sound_without_a_picture_and_a_failure_leave_nothing(tmp_path: Path) -> None:
    write_sound(tmp_path / "sound.mp4", np.zeros((RATE, 2), np.float32))
    with pytest.raises(AudioError) as error:
        VideoWriter(tmp_path / "out.mp4", tmp_path / "sound.mp4", RATE)
    assert error.value.name == "no_picture"
    make_video(tmp_path / "clip.mp4", 0.0)
    with (
        pytest.raises(ZeroDivisionError),
        VideoWriter(tmp_path / "out.mp4", tmp_path / "clip.mp4", RATE) as writer,
    ):
        writer.write(np.zeros((RATE, 2), np.float32))
        raise ZeroDivisionError
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "sound.mp4"]


def test_a_picture_that_does_not_fit_is_refused_at_once_and_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "clip.mkv"
    make_video(source, 0.0, codecs="libvpx aac")
    for suffix in (".mp4", ".mov"):
        with pytest.raises(AudioError, match=".mkv") as error:
            VideoWriter(tmp_path / f"out{suffix}", source, RATE)
        assert error.value.name == "picture_kind"
    (tmp_path / "file").touch()
    with pytest.raises(AudioError) as error:
        VideoWriter(tmp_path / "file/out.mkv", source, RATE)
    assert error.value.name == "written"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mkv", "file"]


def test_a_file_says_whether_it_has_a_picture(tmp_path: Path, english: Path) -> None:
    make_video(tmp_path / "clip.mp4", 0.0)
    write_sound(tmp_path / "sound.mp4", np.zeros((RATE, 2), np.float32))
    (tmp_path / "notes.mp4").write_text("no video")
    assert has_picture(tmp_path / "clip.mp4")
    assert not has_picture(tmp_path / "sound.mp4")
    assert not has_picture(english)
    for name, problem in (("none.mp4", "no_file"), ("notes.mp4", "unreadable")):
        with pytest.raises(AudioError) as error:
            has_picture(tmp_path / name)
        assert error.value.name == problem
