"""Many recordings, converted one after the other by a job: it goes on when the page is gone.

A batch is a folder results/.batches/NAME with the job, the recordings and what became of them; the
browser remembers the name. The results go to a folder of their own in results/.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import config
from errors import UserError, as_user_error
from infer.options import ConvertOptions
from tools.jobs import outcomes, results
from tools.jobs.jobs import Job, JobError, Jobs, failure
from tools.jobs.outcomes import Outcome, read_outcomes
from tools.voices.library import from_root
from train.experiment import write_json
from train.recordings import is_recording
from train.worker import ProgressLine

WAITING, RUNNING, DONE, FAILED, STOPPED = "waiting", "running", "done", "failed", "stopped"


@dataclass(frozen=True)
class Row:
    """One recording: its name, how far it is, and what became of it."""

    name: str
    state: str = WAITING
    share: float = 0.0
    audio_seconds: float = 0.0
    seconds: float = 0.0
    error: UserError | None = None
    output: Path | None = None


@dataclass(frozen=True)
class Batch:
    """A batch as it stands; error: why it went no further. The zip is there when it is over."""

    rows: tuple[Row, ...]
    is_running: bool
    can_resume: bool
    error: UserError | None = None
    zip: Path | None = None

    @property
    def share(self) -> float:
        """How much is done, 0..1."""
        parts = [row.share if row.state in (WAITING, RUNNING) else 1.0 for row in self.rows]
        return sum(parts) / max(1, len(parts))

    @property
    def spent(self) -> float:
        """Seconds of conversion so far."""
        return sum(row.seconds for row in self.rows)

    @property
    def seconds_left(self) -> float | None:
        """The estimated seconds to the end, None while nothing is known."""
        done = [row.seconds for row in self.rows if row.state == DONE]
        return len(self.rows) * (1 - self.share) * sum(done) / len(done) if done else None


class Batches:
    """Starts batches and finds them again; one runs at a time, the others wait."""

    def __init__(self, folder: Path = results.BATCHES) -> None:
        self._jobs = Jobs(folder)
        self._lock = threading.Lock()  # one zip of a batch, however many look at it

    def start(self, options: ConvertOptions, recordings: Sequence[Path], format: str) -> str:
        """Convert recordings into a new folder; returns the batch's name. OSError, ValueError.

        options: what all have in common, their input and output are replaced.
        """
        folder = self._jobs.new_folder()
        sources = folder.root / "recordings"
        sources.mkdir()
        try:
            names = [link_or_copy(path, sources) for path in recordings]
            target = results.new_folder(options.voice)
            write_json(
                folder.root / "batch.json", {"output": from_root(target), "recordings": names}
            )
            whole = replace(
                options, input=Path(from_root(sources)), output=Path(from_root(target)),
                format=format, report=Path(from_root(folder.root / "outcomes.jsonl")),
            )  # fmt: skip
            self._jobs.start(folder, [whole])
        except (OSError, JobError):
            shutil.rmtree(folder.root, ignore_errors=True)
            raise
        return folder.name

    def find(self, name: str) -> Batch | None:
        """The batch of that name as it stands; None if there is none."""
        folder = self._jobs.folder(name)
        if folder is None:
            return None
        place = folder.root
        try:
            plan = json.loads((place / "batch.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None
        job = self._jobs.read(folder)
        if not isinstance(plan, dict) or not isinstance(plan.get("recordings"), list) or not job:
            return None
        progress, _ = self._jobs.log(folder)
        known = {Path(path).name: each for path, each in
                 read_outcomes(place / "outcomes.jsonl").items()}  # fmt: skip
        rows = tuple(
            _row(place / "recordings" / each, known.get(each), job, progress)
            for each in plan["recordings"]
        )
        is_over = all(row.state in (DONE, FAILED) for row in rows)
        batch = Batch(rows, job.is_active, not job.is_active and not is_over)
        if job.is_active:
            return batch
        target = config.ROOT / plan["output"]
        try:
            if is_over:  # nothing to go on with
                shutil.rmtree(place / "recordings", ignore_errors=True)
            error = failure(job) if batch.can_resume else None
            return replace(batch, error=error, zip=self._zip(rows, target))
        except OSError as error:
            return replace(batch, error=as_user_error(error))

    def stop(self, name: str) -> None:
        """Give up the recording that is converted and those that wait; finished ones stay."""
        if folder := self._jobs.folder(name):
            self._jobs.stop(folder)

    def resume(self, name: str) -> None:
        """Go on with what is not converted yet. JobError: there is nothing."""
        batch, folder = self.find(name), self._jobs.folder(name)
        if batch is None or folder is None or not batch.can_resume:
            raise JobError("batch_over")
        if batch.zip is not None:
            batch.zip.unlink(missing_ok=True)  # there will be more to put in
        self._jobs.resume(folder)

    def _zip(self, rows: Sequence[Row], target: Path) -> Path | None:
        made = [row.output for row in rows if row.output is not None and row.output.exists()]
        zipped = target.with_name(target.name + ".zip")
        with self._lock:
            for left in target.glob(config.UNFINISHED_AUDIO):  # by a process that was killed
                left.unlink()
            if made and not zipped.exists():
                results.zip_files(made, zipped)
            elif not made and target.exists():
                target.rmdir()
        return zipped if made else None


def link_or_copy(recording: Path, folder: Path) -> str:
    """Put a recording into a job's own folder, without a copy where that can be; its name."""
    place = results.unused_name(folder, recording.stem.lstrip("."), recording.suffix[1:])
    try:
        os.link(recording, place)
    except OSError:  # another disk
        shutil.copyfile(recording, place)
    return place.name


def _row(path: Path, known: Outcome | None, job: Job, progress: ProgressLine | None) -> Row:
    name = path.name
    if known is None and not is_recording(path):
        return Row(name, FAILED, 1.0, error=UserError("no_audio_name"))
    if known is None or (known.state in (outcomes.BEGUN, outcomes.STOPPED) and not job.is_active):
        return Row(name, WAITING if job.is_active else STOPPED)
    if known.state == outcomes.BEGUN:
        share = progress.done / progress.total if progress and progress.total else 0.0
        return Row(name, RUNNING, share)
    if known.state == outcomes.STOPPED:
        return Row(name)
    source = Path(known.input)
    error = known.error and known.error.rename(source, source.name)
    output = config.ROOT / known.output if known.state == outcomes.DONE else None
    return Row(name, known.state, 1.0, known.audio_seconds, known.seconds, error, output)
