"""What counts as a recording of a dataset, and that every file is counted once."""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from infer.audio.resampling import resample
from train.experiment import Experiment
from train.options import PreprocessOptions
from train.preprocess import preprocess
from train.recordings import is_recording, survey

RATE = 24000
SUFFIXES = ".mpga .m4b .3ga .wave .weba .m2ts .M4A .mp3".split()
CONTAINERS = {
    "wav": "pcm_s16le",
    "mp3": "mp3",
    "mp4": "aac",
    "adts": "aac",
    "ogg": "libopus",
    "matroska": "pcm_s16le",
    "flac": "flac",
    "mpegts": "mp2",
    "aiff": "pcm_s16be",
}


def tone(seconds: float, frequency: float = 220) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.4 * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


def encoded(path: Path, container: str) -> Path:
    """Write a second of sound with libav."""
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream(CONTAINERS[container], rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 48000), np.float32), "fltp", "mono")
        frame.rate = 48000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            out.mux(packet)
    return path


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_file_without_a_suffix_is_known_by_its_content(tmp_path: Path, container: str) -> None:
    assert is_recording(encoded(tmp_path / "New Recording", container))
    assert is_recording(encoded(tmp_path / "01. Track", container))


@pytest.mark.parametrize(
    "head",
    [
        b"", b"text", b"RIFF\0\0\0\0WEBPVP8 ", b"\xff\xfet\0e\0x\0t\0", b"\xff\xd8\xff\xe0",
        b"\0\0\0\x18ftypheic\0\0\0\0mif1", b"\x89PNG\r\n", b"PK\3\4", b"%PDF-1.7",
    ],
)  # fmt: skip
def test_other_content_is_no_recording(tmp_path: Path, head: bytes) -> None:
    (tmp_path / "file").write_bytes(head + bytes(500) if head else b"")
    assert not is_recording(tmp_path / "file")


def test_every_file_is_a_recording_or_has_a_reason(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        (tmp_path / f"a{suffix}").touch()
    (tmp_path / "gone.wav").symlink_to(tmp_path / "nowhere.wav")
    (tmp_path / "notes.txt").touch()
    (tmp_path / "._a.wav").touch()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "a.wav").touch()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.wav").touch()
    found = survey(tmp_path, leave_out=tmp_path / "out")
    assert {path.name for path in found.recordings} == {f"a{s}" for s in SUFFIXES} | {"gone.wav"}
    assert [path.name for path, _ in found.others] == ["notes.txt"]


def counts(caplog: pytest.LogCaptureFixture) -> tuple[int, ...]:
    """Files seen, cut, kept and skipped by the last line that tells."""
    line = r"(\d+) files seen = (\d+) cut \+ (\d+) kept from before \+ (\d+) skipped"
    return tuple(map(int, re.findall(line, caplog.text)[-1]))


def test_what_was_seen_is_used_kept_or_skipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    data = tmp_path / "data"
    data.mkdir()
    soundfile.write(data / "a.wav", tone(4), RATE)
    soundfile.write(data / "take", tone(2), RATE, format="WAV")
    shutil.copy(data / "a.wav", data / os.fsdecode(b"bad\xff\xe9.wav"))
    soundfile.write(data / "silent.wav", np.zeros(RATE), RATE)
    (data / "usb.wav").symlink_to("/nowhere/usb.wav")
    (data / "notes.txt").write_text("x")
    options = PreprocessOptions(experiment=tmp_path / "mi", dataset=data)
    assert preprocess(options) == 3
    assert counts(caplog) == (6, 3, 0, 3)
    assert "skipped: 1 of other kinds, 1 silent, 1 unreadable" in caplog.text
    soundfile.write(data / "b.wav", tone(2, 330), RATE)
    assert preprocess(options) == 4
    assert counts(caplog) == (7, 1, 3, 3)


def test_a_dataset_that_was_moved_is_not_trained_twice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    soundfile.write(old / "a.wav", tone(4), RATE)
    soundfile.write(old / "b.wav", tone(2), RATE)
    options = PreprocessOptions(experiment=tmp_path / "mi", dataset=old)
    preprocess(options)
    clips = Experiment(options.experiment).clips()
    old.rename(new)
    assert preprocess(replace(options, dataset=new)) == len(clips)
    assert Experiment(options.experiment).clips() == clips
    assert counts(caplog) == (2, 0, 2, 0)
    assert set(Experiment(options.experiment).read_sources()) == {
        str(new / "a.wav"), str(new / "b.wav")
    }  # fmt: skip


def test_another_clip_length_cuts_again(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(9), RATE)
    options = PreprocessOptions(experiment=tmp_path / "mi", dataset=tmp_path / "a.wav")
    experiment = Experiment(options.experiment)
    preprocess(options)
    before = len(experiment.clips())
    preprocess(replace(options, clip_seconds=1.5))
    lengths = [soundfile.info(experiment.target_wav(clip)).duration for clip in experiment.clips()]
    assert len(lengths) > before and max(lengths) <= 1.8 + 1e-3
    times = [experiment.target_wav(clip).stat().st_mtime_ns for clip in experiment.clips()]
    preprocess(replace(options, clip_seconds=1.5))
    assert times == [experiment.target_wav(c).stat().st_mtime_ns for c in experiment.clips()]


def test_noise_is_taken_out_before_cutting_and_another_choice_cuts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "a.wav", tone(5), RATE)
    options = PreprocessOptions(experiment=tmp_path / "mi", dataset=tmp_path / "a.wav")
    experiment, heard = Experiment(options.experiment), []

    def fake(blocks: Iterator[np.ndarray], rate: int) -> Iterator[np.ndarray]:
        for block in blocks:
            heard.append(len(block))
            yield resample(block, 48000, rate) * np.hanning(len(block) // 2).astype(np.float32)

    monkeypatch.setattr("train.preprocess.denoise_to", fake)

    def cut(denoise: bool) -> list[bytes]:
        preprocess(replace(options, denoise=denoise))
        read = map(soundfile.read, map(experiment.target_wav, experiment.clips()))
        return [clip.tobytes() for clip, _ in read]  # the files hold the second they are written in

    plain = cut(False)
    assert not heard
    clean = cut(True)
    assert sum(heard) == 5 * 48000 and clean != plain
    assert cut(True) == clean and sum(heard) == 5 * 48000  # done already
    assert cut(False) == plain
