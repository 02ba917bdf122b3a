"""Where files live; a file written anew is whole at every moment, whoever else writes it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import config
from config import replacing


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with replacing(path) as first:
        first.write_text("first")
        with replacing(path) as second:
            second.write_text("second")
            assert first.read_text() == "first"
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("named", "folder"), [("", "."), ("relative", "relative"), ("/other disk", "/other disk")]
)
def test_what_is_written_lies_below_the_data_root_and_what_is_shipped_does_not(
    named: str, folder: str
) -> None:
    names = "LOGS WEIGHTS DATASETS RESULTS DOWNLOADS LITE CONFIGS".split()
    code = "import config, sys; print(*(getattr(config, name) for name in sys.argv[1:]), sep='\\n')"
    ran = subprocess.run(
        [sys.executable, "-c", code, *names], cwd=config.ROOT, capture_output=True, text=True,
        env={**os.environ, "RVC_DATA": named}, check=True,
    )  # fmt: skip
    *written, lite, networks = map(Path, ran.stdout.splitlines())
    data = (config.ROOT / folder).resolve()
    places = ("logs", "weights", "datasets", "results", "assets/downloads")
    assert written == [data / place for place in places]
    assert (lite, networks) == (config.ROOT / "assets/lite", config.ROOT / "configs")
