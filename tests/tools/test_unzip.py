"""Whatever a zip holds, the answer is one line and nothing else is left."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from tools.unzip import ZipError, full_name, unpack_zip


def unpack(path: Path, most_files: int = 9, most_bytes: int = 2**30) -> list[str]:
    """Unpack wavs; returns the names of the problems. Nothing of what was refused is left."""
    folder = path.with_suffix("")
    folder.mkdir(exist_ok=True)
    unpacked = unpack_zip(path, folder, lambda n: n.endswith(".wav"), most_files, most_bytes)
    assert sorted(folder.iterdir()) == sorted(file for _, file in unpacked.files)
    return [problem.name for problem in unpacked.problems]


@pytest.mark.parametrize(
    "kind", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_STORED]
)
@pytest.mark.parametrize("place", [60, 1000, 5000])
def test_damage_anywhere_in_an_entry_is_told_and_the_others_come(
    tmp_path: Path, kind: int, place: int
) -> None:
    path = tmp_path / "a.zip"
    noise = np.random.default_rng(0).integers(0, 64, 9000).astype(np.uint8)
    with zipfile.ZipFile(path, "w", kind) as archive:
        archive.writestr("a.wav", noise.tobytes())
        archive.writestr("b.wav", noise.tobytes())
    damaged = bytearray(path.read_bytes())
    damaged[place : place + 40] = bytes(40)
    path.write_bytes(damaged)
    assert unpack(path) == ["entry"]
    assert [file.name for file in path.with_suffix("").iterdir()] == ["1.wav"]


def test_what_a_mac_adds_and_what_is_hidden_does_not_count(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("a/b.wav", "__MACOSX/a/._b.wav", "._c.wav", ".git/d.wav", "a\\e.wav"):
            archive.writestr(name, b"x")
    assert unpack(tmp_path / "a.zip") == []
    assert len(list((tmp_path / "a").iterdir())) == 2


def test_a_password_and_too_much_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.wav", bytes(2**16))
        archive.writestr("b.wav", bytes(2**16))
    with pytest.raises(ZipError, match=r"a\.zip holds 2 files; at most 1"):
        unpack(path, most_files=1)
    with pytest.raises(ZipError, match=r"a\.zip is larger than 0 GiB"):
        unpack(path, most_bytes=2**16)
    content = bytearray(path.read_bytes())
    for mark, at in ((b"PK\1\2", 8), (b"PK\3\4", 6)):  # the first entry's flags, in both places
        content[content.find(mark) + at] |= 1
    path.write_bytes(content)
    assert unpack(path) == ["password"]


@pytest.mark.parametrize(
    ("name", "encoding"),
    [("歌声.wav", "utf-8"), ("表情 ソ.wav", "cp932"), ("歌声.wav", "cp932"), ("声音 1.wav", "gbk"),
     ("鄧麗君.wav", "gbk"), ("《好》.wav", "gbk"), ("Björn é.wav", "cp437"), ("a.wav", "cp437")],
)  # fmt: skip
def test_names_of_old_zips_are_read_as_they_were_written(
    tmp_path: Path, name: str, encoding: str
) -> None:
    path, raw = tmp_path / "a.zip", name.encode(encoding)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x" * len(raw), b"sound")
    path.write_bytes(path.read_bytes().replace(b"x" * len(raw), raw))  # without the mark of UTF-8
    with zipfile.ZipFile(path) as archive:
        assert [full_name(item) for item in archive.infolist()] == [name]
    (tmp_path / "out").mkdir()
    unpacked = unpack_zip(path, tmp_path / "out", lambda _: True, 9, 99)
    assert ([each for each, _ in unpacked.files], unpacked.problems) == ([name], [])
