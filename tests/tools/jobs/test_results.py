"""A zip of results that two ask for at once."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

from tools.jobs.results import zip_files


def test_two_that_make_the_same_zip_do_not_meet(tmp_path: Path) -> None:
    files = [tmp_path / "a.wav", tmp_path / "b.wav"]
    for file in files:
        file.write_text(file.name)
    target = tmp_path / "all.zip"

    def read_while_another_zips() -> Iterator[Path]:
        yield files[0]
        zip_files(files, target)
        yield files[1]

    zip_files(read_while_another_zips(), target)
    with zipfile.ZipFile(target) as archive:
        assert archive.testzip() is None
        assert [archive.read(file.name).decode() for file in files] == ["a.wav", "b.wav"]
    assert sorted(tmp_path.iterdir()) == sorted([*files, target])
