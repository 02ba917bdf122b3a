"""Decoders in processes of their own give the same, and take nothing with them when they crash."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from errors import AudioError
from infer.audio import isolated as module
from infer.audio.isolated import isolated
from infer.audio.reader import AudioReader, load
from infer.audio.writer import AudioWriter
from tools.cmd import infer_cli
from tools.datasets.report import report_dataset
from train.experiment import Experiment
from train.options import PreprocessOptions
from train.preprocess import preprocess

CRASHING = """
import os
from infer.audio import isolated
opened = isolated.open_source
class Crashing:
    def __init__(self, source):
        self.sample_rate, self.seconds = source.sample_rate, source.seconds
        self.blocks, self.close = lambda: self.crash(source), source.close
    def crash(self, source):
        yield next(source.blocks())
        os.abort()
def open_source(path):
    if "crash" in path.name:
        os.abort()
    return Crashing(opened(path)) if "half" in path.name else opened(path)
isolated.open_source = open_source
isolated.main()
"""


@pytest.fixture
def crashing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoders that crash on files whose names say so."""
    monkeypatch.setattr(module, "ARGV", [sys.executable, "-c", CRASHING])


@pytest.fixture
def recordings(tmp_path: Path, english: Path) -> Path:
    """Speech as a good file, as one that crashes the decoder, and as one that does so half-way."""
    folder = tmp_path / "recordings"
    speech, rate = load(english)
    for name in ("a.flac", "b crash.flac", "c half.mp3", "d.mp3"):
        with AudioWriter(folder / name, rate) as writer:
            writer.write(speech)
    return folder


def test_a_decoder_in_a_process_gives_the_same_sound_and_the_same_errors(
    recordings: Path, tmp_path: Path, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "text.wav").write_text("no sound in here " * 50)
    whole = (recordings / "d.mp3").read_bytes()
    (tmp_path / "damaged.mp3").write_bytes(whole[:9000] + bytes(6000) + whole[15000:])
    (tmp_path / "empty.wav").touch()
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.flac"))
    try:
        odd.write_bytes((recordings / "a.flac").read_bytes())
    except OSError:  # this system has no such names
        odd = recordings / "a.flac"
    good = [recordings / "a.flac", recordings / "d.mp3", odd, tmp_path / "damaged.mp3"]
    bad = [tmp_path / "text.wav", tmp_path / "empty.wav", tmp_path / "none.wav", tmp_path]

    def read(path: Path) -> tuple[object, list[str]]:
        caplog.clear()
        try:
            found: object = load(path, 16000)[0].tobytes()
        except AudioError as error:
            found = str(error)
        return found, [record.getMessage() for record in caplog.records]

    caplog.set_level(logging.INFO)
    here = [read(path) for path in [*good, *bad]]
    assert [type(found) for found, _ in here] == [bytes] * len(good) + [str] * len(bad)
    with isolated():
        assert [read(path) for path in [*good, *bad]] == here


def test_a_process_is_used_again_also_when_a_reader_gave_up(recordings: Path) -> None:
    with isolated():
        decoders = module._decoders.get()
        numbers = set()
        for _ in range(3):
            with AudioReader(recordings / "d.mp3") as reader:
                next(reader.blocks(0.1))
            numbers |= {process.pid for process in decoders._idle}
        (process,) = decoders._idle
        assert numbers == {process.pid}
    assert process.returncode == 0


def test_a_crash_costs_one_recording_of_a_folder_that_is_converted(
    crashing: None, recordings: Path, untrained_voice: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    words = ["--voice", str(untrained_voice), "--input", str(recordings), "--index-rate", "0"]
    words += ["--output", str(tmp_path / "out"), "--device", "cpu", "--f0-method", "pm"]
    assert infer_cli.main(words) == 1
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert ["crash.flac" in said[0], "half.mp3" in said[1]] == [True, True]
    assert all("crashed the decoder" in line for line in said) and len(said) == 2
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.flac", "d.mp3"]


def test_a_crash_costs_one_recording_of_a_dataset(
    crashing: None, recordings: Path, tmp_path: Path
) -> None:
    experiment = Experiment(tmp_path / "logs/x")
    assert preprocess(PreprocessOptions(experiment=experiment.root, dataset=recordings)) > 0
    sources = {Path(each.path).name: each for each in experiment.read_sources().values()}
    assert [bool(sources[name].clips) for name in sorted(sources)] == [True, False, False, True]
    assert "crashed the decoder" in sources["b crash.flac"].reason
    rows = {each.path: each for each in report_dataset(recordings).recordings}
    unreadable = [name for name in sorted(rows) if "report_file_unreadable" in rows[name].problems]
    assert unreadable == ["b crash.flac", "c half.mp3"]
    assert np.isclose(rows["a.flac"].seconds, rows["d.mp3"].seconds, atol=0.1)
