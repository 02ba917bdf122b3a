"""Whatever a zip holds, the answer is one line and nothing is left."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from tools.unzip import ZipError, check_entries, opened_zip, unpack_entry


@pytest.mark.parametrize(
    "kind", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_STORED]
)
@pytest.mark.parametrize("place", [60, 1000, 5000])
def test_damage_anywhere_in_an_entry_is_told(tmp_path: Path, kind: int, place: int) -> None:
    path = tmp_path / "a.zip"
    noise = np.random.default_rng(0).integers(0, 64, 9000).astype(np.uint8)
    with zipfile.ZipFile(path, "w", kind) as archive:
        archive.writestr("a.wav", noise.tobytes())
    damaged = bytearray(path.read_bytes())
    damaged[place : place + 40] = bytes(40)
    path.write_bytes(damaged)
    with pytest.raises(ZipError, match=r"a\.zip"), opened_zip(path) as archive:
        unpack_entry(archive, archive.infolist()[0], tmp_path / "out")


def test_a_password_and_too_much_are_refused(tmp_path: Path) -> None:
    entry = zipfile.ZipInfo("a.wav")
    entry.file_size = entry.compress_size = 2**30
    check_entries(tmp_path / "a.zip", [entry], 1, 2**30)
    with pytest.raises(ZipError, match=r"a\.zip holds 2 files; at most 1"):
        check_entries(tmp_path / "a.zip", 2 * [entry], 1, 2**40)
    with pytest.raises(ZipError, match=r"a\.zip is larger than 1 GiB"):
        check_entries(tmp_path / "a.zip", 2 * [entry], 2, 2**30)
    entry.flag_bits = 1
    with pytest.raises(ZipError, match="asks for a password"):
        check_entries(tmp_path / "a.zip", [entry], 1, 2**30)
