"""A cover of the page is stopped and goes on, names the user's files, and leaves no recordings."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

import config
from errors import AudioError
from tests.tools.songs.song import stereo, write_stems
from tools.jobs import results
from tools.jobs.covers import CoverJob, Covers, recordings_at_work
from tools.jobs.jobs import Job, JobError, is_held, write_job
from tools.jobs.trash import TRASH
from tools.songs import kept
from tools.songs.cover import make_cover
from tools.songs.options import CoverOptions
from train.job_folder import JobFolder

NAME = "a-name-16-letter"
OLD, NEW, WORSE = "an-old-16-letter", "a-new--16-letter", "a-worse-16letter"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where covers go; whatever still runs is stopped at the end."""
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(config, "RESULTS", tmp_path / "results")
    folder = tmp_path / "results/.covers"
    yield folder
    for place in folder.glob("*/job.json"):
        job = JobFolder(place.parent)
        job.stop_file.write_text("kill")
        while is_held(job.lock_file("job")):
            time.sleep(0.05)


def wait_for(covers: Covers, name: str, condition: Callable[[CoverJob], object]) -> CoverJob:
    deadline = time.monotonic() + 240  # generous: the process imports torch first
    while not condition(cover := covers.find(name)):
        assert time.monotonic() < deadline, cover
        time.sleep(0.02)
    return cover


def test_a_cover_that_was_stopped_goes_on_and_is_as_if_it_never_was(
    folder: Path, untrained_voice: Path, english: Path, tmp_path: Path
) -> None:
    vocals, rest = write_stems(tmp_path, english, 24.0)
    options = CoverOptions(
        vocals=vocals, accompaniment=rest, voice=untrained_voice, output=tmp_path / "whole.wav",
        f0_method="pm", transpose=2.0, device="cpu",
    )  # fmt: skip
    whole = make_cover(options)
    covers = Covers(folder)
    name = covers.start(options, "wav")
    stages = ("transpose", "voice", "mix")
    wait_for(covers, name, lambda cover: cover.stage in stages or not cover.is_running)
    covers.stop(name)
    stopped = wait_for(covers, name, lambda cover: not cover.is_running)
    assert (stopped.can_resume, stopped.error, stopped.parts) == (True, None, {})
    assert not list(results.RESULTS.glob("*.wav"))

    covers = Covers(folder)  # as after a restart of the page
    covers.resume(name)
    made = wait_for(covers, name, lambda cover: not cover.is_running)
    assert made.error is None
    assert "convert" not in made.made["made"] and "voice" in made.made["made"]
    assert np.array_equal(stereo(made.parts["cover"]), stereo(whole.output))
    with pytest.raises(JobError):
        covers.resume(name)


def test_a_failed_cover_names_the_users_file(
    folder: Path, untrained_voice: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "my song 声.wav"
    broken.write_text("no sound")
    options = CoverOptions(
        vocals=broken, accompaniment=broken, voice=untrained_voice, output=tmp_path / "cover.wav"
    )
    covers = Covers(folder)
    name = covers.start(options, "wav")
    failed = wait_for(covers, name, lambda cover: not cover.is_running)
    assert failed.can_resume and failed.error.name == "unreadable"
    assert str(failed.error).startswith("my song 声")


def cover_job(folder: Path, state: str, name: str = NAME, **fields: object) -> JobFolder:
    """A cover of the page as its job left it, hours ago."""
    job = JobFolder(folder / name)
    recording = job.root / kept.RECORDINGS / "song.wav"
    recording.parent.mkdir(parents=True)
    recording.write_bytes(bytes(1000))
    times = time.time() - 9 * 3600
    os.utime(recording.parent, (times, times))
    (job.root / "cover.json").write_text('{"command": "again"}')
    write_job(job, Job((("tools.cmd.cover", "--input", str(recording)),), state=state, **fields))
    return job


def test_recordings_count_and_go_with_the_oldest_but_not_those_of_a_cover_at_work(
    folder: Path,
) -> None:
    job = cover_job(folder, "running")
    stage = folder.parent / "song-1/voice-000000000000"
    stage.mkdir(parents=True)
    (stage / "voice.wav").write_bytes(bytes(500))
    assert kept.size_of(kept.stage_folders()) == 1500
    with FileLock(job.lock_file("job")):
        assert kept.forget_oldest(0, recordings_at_work(folder)) == 1500
    assert list(recordings_at_work(folder)) == []
    assert kept.forget_oldest(1500e-9, []) == 1500
    assert kept.forget_oldest(0, recordings_at_work(folder)) == 500
    assert not (job.root / kept.RECORDINGS).exists() and job.job_file.is_file()


def test_a_cover_without_its_recordings_says_so_and_cannot_go_on(folder: Path) -> None:
    recording = folder / NAME / kept.RECORDINGS / "song.wav"
    error = AudioError("unreadable", file=recording).to_json()
    cover_job(folder, "stopped")
    covers = Covers(folder)
    assert covers.find(NAME).can_resume
    kept.forget_oldest(0, [])
    gone = covers.find(NAME)
    assert (gone.can_resume, gone.error.name) == (False, "song_gone")
    with pytest.raises(JobError, match="no longer kept"):
        covers.resume(NAME)
    job = JobFolder(folder / NAME)
    write_job(
        job, replace(Job((("tools.cmd.cover", str(recording)),)), state="failed", error=error)
    )
    assert str(covers.find(NAME).error).startswith("song.wav: ")


def test_what_the_page_plays_stays(folder: Path) -> None:
    job = cover_job(folder, "done")
    recording = job.root / kept.RECORDINGS / "song.wav"
    (job.root / "report.json").write_text(json.dumps({"parts": {"vocals": str(recording)}}))
    assert Covers(folder).find(NAME).parts == {"vocals": recording}
    assert kept.forget_oldest(0, []) == 1000
    assert recording.is_file()


def test_the_song_of_a_cover_that_is_looked_at_stays(folder: Path) -> None:
    made_cover(folder, OLD)
    (song,) = Covers(folder).find(OLD).originals
    assert kept.forget_oldest(0, []) == 1000 and song.is_file()


def made_cover(folder: Path, name: str, queued: float = 1.0) -> Path:
    """A cover that was made, as `cover_job`; returns its file."""
    job = cover_job(folder, "done", name)
    file = results.RESULTS / f"{name}.flac"
    file.write_bytes(name.encode())
    words = ("tools.cmd.cover", "--input", str(job.root / kept.RECORDINGS / "song.wav"),
             "--voice", "v.pth", "--output", str(file))  # fmt: skip
    write_job(job, Job((words,), state="done", queued=queued))
    (job.root / "report.json").write_text(json.dumps({"parts": {"cover": str(file)}}))
    return file


def names(covers: Covers) -> list[str]:
    return [cover.name for cover in covers.all()]


def test_every_cover_is_found_the_newest_first_with_its_star_and_also_what_failed(
    folder: Path,
) -> None:
    made_cover(folder, OLD, queued=1.0)
    made_cover(folder, NEW, queued=2.0)
    job = cover_job(folder, "failed", WORSE)
    words = ("tools.cmd.cover", "--input", "song.wav", "--voice", "v.pth", "--output", "x.flac")
    write_job(job, Job((words,), state="failed", queued=3.0, exit_code=1))
    covers = Covers(folder)
    covers.star(OLD)
    assert [(each.name, each.is_starred, bool(each.made)) for each in Covers(folder).all()] == [
        (WORSE, False, False), (NEW, False, True), (OLD, True, True)
    ]  # fmt: skip
    assert covers.all()[0].can_resume and covers.all()[0].error.name == "exit_code"
    covers.star(OLD)
    assert not covers.find(OLD).is_starred and covers.find(OLD).command == "again"


def test_a_cover_that_is_thrown_away_comes_back_whole(folder: Path) -> None:
    old, new = made_cover(folder, OLD), made_cover(folder, NEW)
    covers = Covers(folder)
    covers.trash(OLD)
    covers.trash(NEW)
    assert not old.exists() and covers.find(OLD) is None and names(covers) == []
    assert kept.size_of(kept.stage_folders()) == 2000  # recordings count there, too
    again = Covers(folder)  # as after a restart
    assert again.trashed().name == NEW and again.trashed().file_name == new.name
    again.restore(NEW)
    assert again.trashed().name == OLD
    again.restore(OLD)
    assert again.trashed() is None and sorted(names(again)) == sorted([OLD, NEW])
    assert (old.read_bytes(), new.read_bytes()) == (OLD.encode(), NEW.encode())
    assert covers.find(OLD).originals[0].is_file()


def test_the_last_one_is_offered_also_when_recordings_in_the_trash_are_forgotten(
    folder: Path,
) -> None:
    covers = Covers(folder)
    for name in (OLD, NEW):
        made_cover(folder, name)
        covers.trash(name)
    old = folder / TRASH / OLD / kept.RECORDINGS
    os.utime(old, (1, 1))
    kept.forget_oldest(0, [])
    assert not old.exists() and covers.trashed().name == NEW


def test_a_cover_that_is_being_made_is_not_thrown_away(folder: Path) -> None:
    job = cover_job(folder, "running")
    with FileLock(job.lock_file("job")), pytest.raises(JobError, match="stop that first"):
        Covers(folder).trash(NAME)
    assert job.job_file.is_file()


def test_damaged_notes_gone_files_and_names_of_strangers_reach_nothing(
    folder: Path, tmp_path: Path
) -> None:
    made_cover(folder, OLD)
    covers, bad = Covers(folder), JobFolder(folder / NEW)
    for file, texts in (
        ("cover.json", ("", "5", "{}", '{"command": 5}', '{"command": "a", "later": 1}')),
        ("report.json", ("", "5", "[]", "{}", '{"parts": 5}', '{"parts": {"cover": 5}}')),
        ("job.json", ("", "5", "{}")),
    ):
        for text in texts:
            made = made_cover(folder, NEW)
            (bad.root / file).write_text(text)
            assert names(covers) == [OLD], (file, text)
            shutil.rmtree(bad.root)
            made.unlink()
    made_cover(folder, NEW).unlink()  # by the user
    assert names(covers) == [OLD]
    shutil.rmtree(bad.root)
    made_cover(folder, NEW)
    write_job(bad, Job((("tools.cmd.cover", "--of-another-version"),), state="done"))
    assert names(covers) == [OLD]
    shutil.copytree(folder / OLD, tmp_path / "elsewhere-letter")
    for name in ("../elsewhere-letter", "", TRASH, str(tmp_path), "no-such-16-lette"):
        for act in (covers.star, covers.trash, covers.restore):
            with pytest.raises(JobError, match="gone"):
                act(name)
