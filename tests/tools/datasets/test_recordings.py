"""Recordings and zips that are dropped on the page: what is taken, and what is refused."""

from __future__ import annotations

import shutil
import stat
import zipfile
from pathlib import Path

import pytest

from errors import UserError
from tools.datasets.recordings import are_aside, bring_back, set_aside, take_recordings


@pytest.fixture
def dropped(tmp_path: Path, english: Path) -> Path:
    """A folder of uploads with one recording."""
    folder = tmp_path / "dropped"
    folder.mkdir()
    shutil.copy(english, folder / "one 声.flac")
    return folder


def zipped(path: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def everything(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_recordings_and_zips_land_side_by_side_and_nothing_is_overwritten(
    dropped: Path, english: Path, tmp_path: Path
) -> None:
    content = english.read_bytes()
    archive = zipped(
        dropped / "more.ZIP",
        {
            "a/one 声.flac": content,
            "b/one 声.flac": content,
            "__MACOSX/a/._one.flac": b"x",
            "notes.txt": b"x",
        },
    )
    dataset = tmp_path / "datasets" / "someone"
    taken = take_recordings([dropped / "one 声.flac", archive], dataset).paths
    assert {path.name for path in taken} == everything(dataset)
    assert everything(dataset) == {"one 声.flac", "one 声_2.flac", "one 声_3.flac"}
    assert all(path.read_bytes() == content for path in taken)


@pytest.mark.parametrize(
    "name", ["../../out.flac", "/out.flac", "..\\..\\out.flac", "C:\\out.flac", "link.flac"]
)
def test_a_name_that_leads_out_and_a_link_are_refused_and_the_rest_goes_on(
    dropped: Path, english: Path, tmp_path: Path, name: str
) -> None:
    dataset = tmp_path / "deep" / "er" / "dataset"
    bad = zipfile.ZipInfo(name)
    if name == "link.flac":
        bad.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(dropped / "bad.zip", "w") as archive:
        archive.writestr(bad, "/etc/passwd")
        archive.writestr("a/CON.flac", "sound")
        archive.writestr("a/Take 1", english.read_bytes())
        archive.writestr("a/README", "text")
    before = everything(tmp_path)
    taken = take_recordings([dropped / "bad.zip"], dataset)
    assert [path.name for path in taken.paths] == ["recording.flac", "Take 1"]
    assert [each.name for each in taken.problems] == ["link" if "link" in name else "leads_out"]
    new = everything(tmp_path) - before
    assert new - {"deep", "deep/er", "deep/er/dataset"} == {
        path.relative_to(tmp_path).as_posix() for path in taken.paths
    }


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({"bomb.wav": bytes(5_000_000)}, "far more than it holds"),
        ({"notes.txt": b"x"}, "holds no recordings"),
        (None, "no zip that can be opened"),
    ],
)
def test_a_refused_zip_is_named_and_does_not_stop_the_rest(
    dropped: Path, tmp_path: Path, entries: dict[str, bytes] | None, reason: str
) -> None:
    bad = dropped / "bad.zip"
    if entries is None:
        bad.write_bytes(b"no zip")
    else:
        zipped(bad, entries)
    with pytest.raises(UserError, match=f"bad.zip.*{reason}"):
        take_recordings([bad], tmp_path / "dataset")
    assert everything(tmp_path / "dataset") == set()
    taken = take_recordings([dropped / "one 声.flac", bad], tmp_path / "dataset")
    assert everything(tmp_path / "dataset") == {"one 声.flac"}
    assert len(taken.problems) == 1 and reason in str(taken.problems[0])


def test_a_file_of_another_kind_is_named(dropped: Path, tmp_path: Path) -> None:
    (dropped / "voice.pth").touch()
    with pytest.raises(ValueError, match=r"voice\.pth is neither"):
        take_recordings([dropped / "voice.pth"], tmp_path / "dataset")


def test_what_is_set_aside_is_found_by_no_training_and_comes_back(tmp_path: Path) -> None:
    folder = tmp_path / "datasets/声"
    for name in ("one.wav", "inner/two.wav", "three.wav"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (tmp_path / "datasets/secret.wav").touch()
    set_aside(folder, ["one.wav", "inner/two.wav", "../secret.wav", "gone.wav"])
    assert everything(folder) == {"inner", "three.wav"}
    assert (tmp_path / "datasets/secret.wav").exists()
    assert [path.name for path in are_aside(folder)] == ["two.wav", "one.wav"]
    (folder / "one.wav").write_text("another")
    bring_back(folder)
    assert (folder / "one.wav").read_text() == "another"
    assert (folder / "one_2.wav").read_text() == "one.wav"
    assert (folder / "inner/two.wav").is_file() and are_aside(folder) == []
