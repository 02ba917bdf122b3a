from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from errors import UserError
from tools.jobs.takes import NOTES, Takes
from tools.jobs.trash import TRASH, UNDO_SECONDS


@pytest.fixture
def takes(tmp_path: Path) -> Takes:
    return Takes(tmp_path / "results")


def make(takes: Takes, name: str) -> Path:
    path = takes.folder / name
    takes.begin(path, "weights/a.pth", "song.wav", settings={"semitones": 3.0})
    path.write_bytes(b"sound")
    return path


def test_a_take_is_found_again_once_its_sound_is_there(takes: Takes) -> None:
    takes.begin(takes.folder / "one.wav", "weights/声.pth", "in.wav", settings={"seed": 1})
    assert takes.all() == []  # begun, not made
    make(takes, "two.wav")
    again = Takes(takes.folder)  # as after a restart
    assert [take.name for take in again.all()] == ["two.wav"]
    assert again.find("two.wav").settings == {"semitones": 3.0}
    (takes.folder / "one.wav").touch()
    assert [take.voice for take in again.all()] == ["weights/a.pth", "weights/声.pth"]
    again.star("one.wav")
    assert takes.find("one.wav").is_starred
    again.star("one.wav")
    assert not takes.find("one.wav").is_starred


def test_what_is_thrown_away_comes_back(takes: Takes) -> None:
    path, _ = make(takes, "one.wav"), make(takes, "two.wav")
    takes.trash("two.wav")
    takes.trash("one.wav")  # the older one, but thrown away last
    assert not path.exists() and takes.all() == []
    again = Takes(takes.folder)  # as after a restart
    assert again.trashed().name == "one.wav"
    again.restore("one.wav")
    assert path.read_bytes() == b"sound"
    assert [take.name for take in again.all()] == ["one.wav"]
    assert again.trashed().name == "two.wav"


def test_what_was_thrown_away_long_ago_is_not_offered_any_more_but_kept(takes: Takes) -> None:
    make(takes, "one.wav")
    takes.trash("one.wav")
    note = takes.folder / NOTES / TRASH / "one.wav.json"
    long_ago = time.time() - UNDO_SECONDS - 1
    os.utime(note, (long_ago, long_ago))
    assert takes.trashed() is None
    takes.restore("one.wav")
    assert [take.name for take in takes.all()] == ["one.wav"]


def test_names_of_strangers_and_damaged_notes_reach_nothing(takes: Takes, tmp_path: Path) -> None:
    path = make(takes, "one.wav")
    (tmp_path / "secret.wav").touch()
    for name in ("../secret.wav", "", "other.wav", str(path)):
        for act in (takes.find, takes.trash, takes.restore):
            with pytest.raises(UserError, match="no take"):
                act(name)
    for text in ("", "5", "{}", '{"name": "two.wav", "voice": 5}'):
        (takes.folder / "two.wav").touch()
        (takes.folder / NOTES / "two.wav.json").write_text(text)
        assert [take.name for take in takes.all()] == ["one.wav"]


def test_what_failed_leaves_no_note(takes: Takes) -> None:
    takes.begin(takes.folder / "one.wav", "a.pth", "in.wav", settings={})
    takes.forget("one.wav")
    assert list((takes.folder / NOTES).iterdir()) == []
    make(takes, "two.wav")
    takes.forget("two.wav")  # it was made after all
    assert [take.name for take in takes.all()] == ["two.wav"]
    assert not (takes.folder / NOTES / TRASH).exists()
