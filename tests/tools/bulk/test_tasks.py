"""Every recording is done once: what is left, what a death costs, where results lie."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

import config
from errors import NoFile, UserError
from tools.bulk.tasks import BATCH_BYTES, MOST_DEATHS, Task, Tasks, find_tasks
from tools.jobs.outcomes import BEGUN, DONE, FAILED, read_outcomes


def make_pairs(folder: Path, sizes: list[int]) -> list[tuple[Path, Path]]:
    """Recordings of so many bytes, and where their results belong."""
    for number, size in enumerate(sizes):
        (folder / f"{number}.wav").write_bytes(bytes(size))
    return [(folder / f"{n}.wav", folder / "out" / f"{n}.npy") for n in range(len(sizes))]


def open_tasks(folder: Path, sizes: list[int], workers: int = 1) -> Tasks:
    (folder / "out").mkdir(exist_ok=True)
    return Tasks(make_pairs(folder, sizes), folder / "bulk.jsonl", workers)


def finish(tasks: Tasks, batch: list[Task]) -> None:
    for task in batch:
        task.target.touch()
        tasks.finish(task, 1.0, 0.1, None)


def test_batches_hold_recordings_of_a_length_and_become_small_at_the_end(tmp_path: Path) -> None:
    tasks = open_tasks(tmp_path, [*range(1, 101)], workers=2)
    batches = []
    while tasks.left:
        batches.append([task.size for task in tasks.take()])
    assert [size for batch in batches for size in batch] == [*range(100, 0, -1)]
    assert len(batches[0]) == 25 and [len(batch) for batch in batches[-3:]] == [1, 1, 1]


def test_a_long_recording_goes_alone(tmp_path: Path) -> None:
    tasks = open_tasks(tmp_path, [BATCH_BYTES + 1, 5, 5, 5, 5, 5])
    assert [len(tasks.take()), len(tasks.take())] == [1, 3]


def test_a_second_run_leaves_out_what_is_done_and_tries_again_what_failed(tmp_path: Path) -> None:
    tasks = open_tasks(tmp_path, [4, 3, 2, 1])
    first, *others = [task for _ in range(2) for task in tasks.take()]
    finish(tasks, [first])
    tasks.finish(others[0], 0.0, 0.1, UserError("no_file", file=others[0].source))
    others[1].target.touch()  # done, but the command was killed before it noted that
    again = open_tasks(tmp_path, [4, 3, 2, 1])
    assert (again.all, again.done, again.left) == (4, 2, 2)
    assert {task.source.name for task in again.take()} == {"1.wav"}
    finish(again, again.take())
    outcomes = read_outcomes(tmp_path / "bulk.jsonl")
    assert outcomes[str(others[0].source)].state == BEGUN
    first.target.unlink()  # somebody took a result away
    assert open_tasks(tmp_path, [4, 3, 2, 1]).done == 2


def test_a_result_of_other_work_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "0.npy").touch()
    tasks = open_tasks(tmp_path, [1])
    (task,) = tasks.take()
    assert not (tmp_path / "bulk.jsonl").exists()  # that it is there says nothing
    tasks.give_back([task], is_death=True)
    assert (tasks.left, tasks.done) == (1, 0)
    assert open_tasks(tmp_path, [1]).left == 1


def test_what_a_dead_worker_had_is_given_to_others_once(tmp_path: Path) -> None:
    tasks = open_tasks(tmp_path, [8, 7, 6, 5, 4, 3, 2, 1])
    batch = tasks.take()
    assert len(batch) == 4
    finish(tasks, batch[:1])
    batch[1].target.touch()  # done, but its worker died before it told
    tasks.give_back(batch[1:], is_death=True)
    assert (tasks.done, tasks.left) == (2, 6)
    while tasks.left:
        finish(tasks, tasks.take())
    noted = [json.loads(line) for line in (tmp_path / "bulk.jsonl").read_text().splitlines()]
    done = Counter(line["input"] for line in noted if line["state"] == DONE)
    assert len(done) == 8 and set(done.values()) == {1}


def test_a_recording_that_kills_its_workers_is_alone_and_then_given_up(tmp_path: Path) -> None:
    tasks = open_tasks(tmp_path, [9, 8, 1, 1])
    for number in range(MOST_DEATHS):
        batch = tasks.take()
        assert batch[0].source.name == "0.wav" and len(batch) == (2 if number == 0 else 1)
        left = config.unfinished(batch[0].target, 4711)
        left.touch()
        tasks.give_back(batch, is_death=True)
        assert not left.exists()
        if number == 0:  # its companion comes first, alone
            finish(tasks, tasks.take())
    assert (tasks.failed, tasks.left, tasks.done) == (1, 2, 1)
    outcome = read_outcomes(tmp_path / "bulk.jsonl")[str(tmp_path / "0.wav")]
    assert outcome.state == FAILED and "three workers ended" in str(outcome.error)


def test_recordings_come_from_a_folder_or_a_list(tmp_path: Path) -> None:
    for name in ("a/x.wav", "a/x.mp3", "b/y.flac", "words.txt"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    out = tmp_path / "out"

    def found(input: Path) -> dict[str, str]:
        pairs = find_tasks(input, out, lambda source: ".npy")
        return {source.name: target.relative_to(out).as_posix() for source, target in pairs}

    wanted = {"x.mp3": "a/x.npy", "x.wav": "a/x.wav.npy", "y.flac": "b/y.npy"}
    assert found(tmp_path / "in") == wanted
    listed = tmp_path / "list.txt"
    listed.write_text("in/a/x.mp3\nin/a/x.wav\n\n" + str(tmp_path / "in/b/y.flac") + "\n")
    assert found(listed) == wanted
    listed.write_text("\n")
    with pytest.raises(NoFile, match="no recordings"):
        found(listed)
    with pytest.raises(NoFile, match="no such file or folder"):
        found(tmp_path / "nowhere")
    with pytest.raises(UserError, match="--output is the folder of the recordings"):
        find_tasks(tmp_path / "in", tmp_path / "in", lambda source: ".npy")
