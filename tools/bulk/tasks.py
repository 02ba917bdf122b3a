"""Which recordings are still to do, in batches; what became of each is noted in the manifest."""

from __future__ import annotations

import glob
import os
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import config
from errors import NoFile, UserError
from tools.jobs.outcomes import BEGUN, DONE, FAILED, Outcome, note, read_outcomes
from tools.jobs.results import result_paths
from train.recordings import find_recordings

BATCH_FILES = 32  # that a worker is given at once, at most
BATCH_BYTES = 2**25  # ... after which there is no other file in a batch: a long one goes alone
MOST_DEATHS = 3  # of workers at one recording; then it is given up


@dataclass
class Task:
    """One recording.

    size: in bytes, for which no file has to be opened. deaths: of workers that had it in hand.
    is_new: there was no result when it was begun.
    """

    source: Path
    target: Path
    size: int
    deaths: int = 0
    is_new: bool = False

    @property
    def outcome(self) -> Outcome:
        return Outcome(str(self.source), str(self.target))


def find_tasks(
    input: Path, output: Path, suffix_of: Callable[[Path], str]
) -> list[tuple[Path, Path]]:
    """Return the recordings of a folder, or of a list in a file, each with its result. NoFile."""
    if input.is_dir():
        if output.resolve() == input.resolve():
            raise UserError("output_is_folder", folder=output)
        root, sources = input, find_recordings(input, leave_out=output.resolve())
    elif input.is_file():
        lines = input.read_text(encoding="utf-8-sig").splitlines()
        sources = [(input.parent / line.strip()).absolute() for line in lines if line.strip()]
        if not sources:
            raise NoFile("folder_empty", folder=input)
        root = Path(os.path.commonpath([source.parent for source in sources]))
    else:
        raise NoFile("no_file_or_folder", file=input)
    return result_paths(root, sources, output, suffix_of)


class Tasks:
    """What is to do, the largest files first, so that none is long at the end.

    Every recording is done once: one that was begun where there was no result, and has one now, is
    done, whoever died before that could be told.
    """

    def __init__(self, pairs: Iterable[tuple[Path, Path]], manifest: Path, workers: int) -> None:
        self._manifest, self._workers = manifest, workers
        self.all = self.done = self.failed = 0
        self.audio_seconds = 0.0
        known, tasks = read_outcomes(manifest), []
        for source, target in pairs:
            self.all += 1
            before = known.get(str(source))
            is_there = target.exists()
            task = Task(source, target, _size(source))
            state = before.state if before and before.output == str(target) else ""
            if is_there and state in (BEGUN, DONE):
                if state == BEGUN:
                    note(manifest, task.outcome, state=DONE)
                self.done += 1
                continue
            if state == BEGUN:
                _remove_unfinished(target)
            tasks.append(task)
        self.found_done = self.done
        self._waiting = deque(sorted(tasks, key=lambda task: task.size, reverse=True))

    @property
    def left(self) -> int:
        """How many recordings wait for a worker."""
        return len(self._waiting)

    def take(self) -> list[Task]:
        """Return recordings of about one length for a worker; fewer towards the end.

        One that a worker died at comes alone.
        """
        share = -(-self.left // (2 * self._workers))
        batch: list[Task] = []
        while self._waiting and len(batch) < min(BATCH_FILES, share):
            if batch and (self._waiting[0].deaths or batch[0].deaths):
                break
            batch.append(self._waiting.popleft())
            if sum(task.size for task in batch) > BATCH_BYTES:
                break
        for task in batch:
            task.is_new = not task.target.exists()
            if task.is_new:  # from here on a result means that it is done
                note(self._manifest, task.outcome, state=BEGUN)
        return batch

    def finish(
        self, task: Task, audio_seconds: float, seconds: float, error: UserError | None
    ) -> None:
        """Note what became of a recording."""
        state = DONE if error is None else FAILED
        found = {"audio_seconds": audio_seconds, "seconds": seconds, "error": error}
        note(self._manifest, task.outcome, state=state, **found)
        self.audio_seconds += audio_seconds
        self.done += error is None
        self.failed += error is not None

    def give_back(self, tasks: list[Task], is_death: bool) -> None:
        """Take back what a worker has not finished; is_death: it died at the first of them."""
        if tasks and is_death:
            for task in tasks:  # it may have been further than it could tell
                _remove_unfinished(task.target)
            first, *tasks = tasks
            first.deaths += 1
            if first.is_new and first.target.exists():
                self.finish(first, 0.0, 0.0, None)
            elif first.deaths < MOST_DEATHS:
                tasks = [*tasks, first]
            else:
                self.finish(first, 0.0, 0.0, UserError("bulk_deaths", file=first.source))
        self._waiting.extendleft(reversed(tasks))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # the worker says what is wrong with it
        return 0


def _remove_unfinished(target: Path) -> None:
    """Remove what a dead worker left of a result."""
    anyones = config.unfinished(target, 0).name.replace("0", "*", 1)
    for pattern in (anyones, f"{glob.escape(target.name)}.*{config.UNFINISHED}"):
        for path in target.parent.glob(pattern):
            path.unlink(missing_ok=True)
