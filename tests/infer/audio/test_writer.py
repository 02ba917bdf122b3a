"""What is written, and what is left when it cannot be; test_audio.py reads every format back."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import config
from errors import UserError
from infer.audio.reader import AudioError, AudioReader, load
from infer.audio.writer import ENCODERS, AudioWriter, write_wav

NOISE = np.random.default_rng(0).uniform(-1, 1, 24000)


def test_missing_folders_of_the_target_are_made(tmp_path: Path) -> None:
    with AudioWriter(tmp_path / "a" / "b" / "ö 声.wav", 24000) as writer:
        writer.write(NOISE)
    assert (tmp_path / "a" / "b" / "ö 声.wav").is_file()


@pytest.mark.parametrize("suffix", ENCODERS)
def test_a_target_that_cannot_be_written_is_refused_before_any_work(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(AudioError, match="cannot be written"):
        AudioWriter(tmp_path / "file" / f"out{suffix}", 24000)
    with pytest.raises(AudioError, match="cannot be written"):
        AudioWriter(tmp_path / "file" / "deep" / f"out{suffix}", 24000)
    assert caplog.messages == []  # one line is enough
    with pytest.raises(AudioError, match="is a folder"):
        AudioWriter(tmp_path / f"folder{suffix}", 24000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", f"folder{suffix}"]


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder closed to everybody")
@pytest.mark.parametrize("suffix", ENCODERS)
def test_a_folder_without_permission_is_refused_before_any_work(suffix: str) -> None:
    with pytest.raises(AudioError, match="cannot be written"):
        AudioWriter(Path("/proc/self") / f"out{suffix}", 24000)
    with pytest.raises(AudioError, match="cannot be written"):
        AudioWriter(Path("/proc/self") / "folder" / f"out{suffix}", 24000)


def test_names_that_are_too_long_are_one_line_errors(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="cannot be opened"):
        load(tmp_path / ("x" * 300 + ".wav"))
    with pytest.raises(AudioError, match="cannot be written"):
        AudioWriter(tmp_path / ("x" * 300 + ".wav"), 24000)


FILL_THE_DISK = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from infer.audio.reader import AudioError
from infer.audio.writer import AudioWriter, ENCODERS
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50000, 50000))
noise = np.random.default_rng(0).uniform(-1, 1, 24000)
for suffix in ENCODERS:
    try:
        with AudioWriter(Path(sys.argv[1]) / f"out{suffix}", 24000) as writer:
            for _ in range(40):
                writer.write(noise)
    except AudioError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the resource module is POSIX only")
def test_a_disk_that_fills_up_is_an_error_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FILL_THE_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=config.ROOT,
    )
    lines = done.stdout.splitlines()
    assert [line.split(": cannot be written (")[0] for line in lines] == [
        str(tmp_path / f"out{suffix}") for suffix in ENCODERS
    ]
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ENCODERS)
def test_nothing_is_left_and_nothing_replaced_when_the_work_fails(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"out{suffix}"
    path.write_text("before")
    with pytest.raises(KeyboardInterrupt), AudioWriter(path, 24000) as writer:
        writer.write(NOISE)
        raise KeyboardInterrupt
    with pytest.raises(AudioError, match="NaN"), AudioWriter(path, 24000) as writer:
        writer.write(np.full(10, np.nan))
    with pytest.raises(AudioError, match="no audio to write"), AudioWriter(path, 24000):
        pass
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_an_unknown_suffix_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    for name in ("out.xyz", "out"):
        with pytest.raises(AudioError, match=r"\.wav, \.flac, \.mp3, \.m4a, \.ogg"):
            AudioWriter(tmp_path / name, 24000)


@pytest.mark.parametrize("suffix", ENCODERS)
def test_stereo_comes_back_left_and_right_in_place(tmp_path: Path, suffix: str) -> None:
    seconds = np.arange(2 * 44100) / 44100
    sound = np.stack(
        [0.5 * np.sin(2 * np.pi * hz * seconds) * (seconds > 0.5) for hz in (440, 660)], axis=1
    ).astype(np.float32)
    with AudioWriter(tmp_path / f"song{suffix}", 44100, channels=2) as writer:
        for start in range(0, len(sound), 10_007):
            writer.write(sound[start : start + 10_007])
    with AudioReader(tmp_path / f"song{suffix}", 44100, channels=2) as reader:
        back = np.concatenate(list(reader.blocks(0.3)))
    assert back.shape == sound.shape
    for channel in range(2):
        assert np.corrcoef(back[:, channel], sound[:, channel])[0, 1] > 0.99
        assert abs(np.corrcoef(back[:, channel], sound[:, 1 - channel])[0, 1]) < 0.05
    mono = load(tmp_path / f"song{suffix}", 44100)[0]
    assert np.corrcoef(mono, sound.mean(axis=1))[0, 1] > 0.99


def test_a_mono_file_is_the_same_left_and_right(tmp_path: Path) -> None:
    with AudioWriter(tmp_path / "mono.wav", 24000) as writer:
        writer.write(NOISE)
    with AudioReader(tmp_path / "mono.wav", channels=2) as reader:
        back = np.concatenate(list(reader.blocks()))
    assert back.shape == (24000, 2)
    assert np.array_equal(back[:, 0], back[:, 1])


def test_the_writer_refuses_another_number_of_channels(tmp_path: Path) -> None:
    with AudioWriter(tmp_path / "song.wav", 24000, channels=2) as writer:
        with pytest.raises(ValueError, match="shape"):
            writer.write(NOISE)
        writer.write(np.stack([NOISE, NOISE], axis=1))


def test_a_full_disk_is_no_fault_of_a_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(path: Path, *others: object, **more: object) -> None:
        path.write_bytes(b"half")
        raise soundfile.SoundFileError("System error.")

    monkeypatch.setattr(soundfile, "write", write)
    with pytest.raises(UserError, match="a.wav: cannot be written .*is the disk full") as told:
        write_wav(tmp_path / "a.wav", NOISE, 24000)
    assert not isinstance(told.value, AudioError)  # recordings at fault are skipped
    assert not list(tmp_path.iterdir())
