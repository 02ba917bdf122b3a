"""Bulk work from the terminal, on this machine: results, failures, deaths; Ray or how to get it."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile

from infer.voice.hparams import read_config
from options import printable
from tools.bulk.options import BULK_ACTIONS, BulkConvertOptions, bulk_command
from tools.bulk.work import open_work
from tools.cmd.bulk import main
from tools.research.bulk_drill import BulkDrillOptions, drill, write_recordings

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="requirements-bulk.txt")


def test_what_is_missing_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it were not installed
    write_recordings(tmp_path / "in", 1)
    words = ["--input", str(tmp_path / "in"), "--output", str(tmp_path / "out")]
    assert main(["extract_f0", *words]) == 1
    error = capsys.readouterr().err.strip()
    assert "\n" not in error and "python -m pip install -r requirements-bulk.txt" in error
    assert not (tmp_path / "out").exists()
    assert main(["sing", *words]) == 2
    assert "convert|extract_f0|extract_features" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["convert", *words, "--voice", "x.pth", "--f0-file", "curve.csv"])
    assert "--f0-file belongs to one recording" in capsys.readouterr().err


def test_f0_and_features_of_a_recording(tmp_path: Path, english: Path) -> None:
    for action, rate, width in (("extract_f0", 100, ()), ("extract_features", 50, (513,))):
        options = BULK_ACTIONS[action](input=tmp_path, output=tmp_path, device="cpu")
        target = tmp_path / "deep" / f"{action}.npy"
        seconds = open_work(options)(english, target)
        found = np.load(target)
        assert found.shape == (int(seconds * rate), *width) and np.isfinite(found).all()
    assert read_config("lite", 24000)["model"]["content_dim"] == 513


@needs_ray
@pytest.mark.timeout(900)
def test_the_line_that_is_shown_works_and_goes_on_where_it_was(
    tmp_path: Path, root: Path, untrained_voice: Path
) -> None:
    write_recordings(tmp_path / "in", 6)
    (tmp_path / "in" / "words.wav").write_text("no sound")
    options = BulkConvertOptions(
        input=tmp_path / "in", output=tmp_path / "out", voice=untrained_voice, device="cpu",
        format="flac", workers=2,
    )  # fmt: skip

    def paste() -> subprocess.CompletedProcess[str]:
        argv = shlex.split(printable(bulk_command(options)))
        return subprocess.run(argv, cwd=root, capture_output=True, text=True)

    ran = paste()
    assert ran.returncode == 1, ran.stderr
    assert "6 of 7 done, 1 failed" in ran.stdout and "bulk 7/7 (100%)" in ran.stdout
    assert len(list((tmp_path / "out").rglob("*.flac"))) == 6
    lines = [json.loads(line) for line in options.manifest.read_text().splitlines()]
    (failed,) = [line for line in lines if line["state"] == "failed"]
    assert failed["error"]["name"] == "unreadable"
    (tmp_path / "in" / "words.wav").unlink()
    soundfile.write(tmp_path / "in" / "more.wav", np.zeros(16000), 16000)
    ran = paste()
    assert "6 of 7 done, 6 of them before, 1 failed" in ran.stdout


@needs_ray
def test_a_voice_that_is_not_there_is_said_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_recordings(tmp_path / "in", 2)
    words = ["--input", str(tmp_path / "in"), "--output", str(tmp_path / "out")]
    assert main(["convert", *words, "--voice", str(tmp_path / "none.pth")]) == 1
    assert capfd.readouterr().err.count("none.pth") == 1


@needs_ray
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds workers in /proc")
def test_nothing_is_lost_and_nothing_twice_whoever_dies(tmp_path: Path) -> None:
    found = drill(BulkDrillOptions(folder=tmp_path / "drill", files=200, kills=10, stops=2))
    assert (found.lost, found.differing, found.twice, found.left_over) == (0, 0, 0, 0)
