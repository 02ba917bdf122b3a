"""Printing is no part of the work: a poor console shows escapes, one that is gone fails none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def run(
    root: Path, module: str, *words: object, **settings: object
) -> subprocess.CompletedProcess[str]:
    """Run a command with a console of code page 1252, as Windows has where output is redirected."""
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, words)],
        cwd=root, env={**os.environ, "PYTHONIOENCODING": "cp1252"}, text=True, encoding="cp1252",
        stderr=subprocess.PIPE, **{"stdout": subprocess.PIPE, **settings},
    )  # fmt: skip


def test_a_recording_whose_name_the_console_cannot_show_is_converted(
    root: Path, untrained_voice: Path, english: Path, tmp_path: Path
) -> None:
    recordings = tmp_path / "录音"
    recordings.mkdir()
    shutil.copy(english, recordings / "声音.flac")
    (recordings / "坏.wav").write_text("no sound")
    out = tmp_path / "results"
    words = ["--voice", untrained_voice, "--input", recordings, "--output", out]
    ran = run(root, "tools.cmd.infer_cli", *words)
    assert [path.name for path in out.iterdir()] == ["声音.flac"], ran.stderr
    assert "\\u58f0\\u97f3.flac" in ran.stdout  # escaped
    assert ran.returncode == 1 and "\\u574f.wav: not an audio" in ran.stderr  # the bad one's name


@pytest.mark.parametrize("stop", ["closed", "full"])
@pytest.mark.skipif(sys.platform != "linux", reason="has /dev/full")
def test_a_console_that_takes_nothing_more_fails_no_work(
    root: Path, english: Path, tmp_path: Path, stop: str
) -> None:
    if stop == "closed":
        read, write = os.pipe()
        os.close(read)
    else:
        write = os.open("/dev/full", os.O_WRONLY)
    words = ["--experiment", tmp_path / "声", "--dataset", english]
    ran = run(root, "train.preprocess", *words, stdout=write)
    os.close(write)
    assert list((tmp_path / "声" / "0_gt_wavs").glob("*.wav")), ran.stderr
    assert "files seen = 1 cut" in ran.stderr
