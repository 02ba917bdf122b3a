"""Covers, each made by a job: it goes on when the page is gone, and is found again by its name.

A cover is a folder results/.covers/NAME with the job, the song and what became of it; the browser
remembers the name. The cover itself lies in results/, its stages in a folder beside it.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import config
from errors import UserError
from options import command, printable
from tools.jobs import results
from tools.jobs.batch import link_or_copy
from tools.jobs.jobs import JobError, Jobs, failure
from tools.songs.options import CoverOptions
from tools.voices.choices import from_root
from train.experiment import write_json

FILES = ("input", "vocals", "accompaniment", "drums")


@dataclass(frozen=True)
class CoverJob:
    """A cover as it stands. stage: what is being made, "" while it waits; share: of that stage.

    made: what tools.cmd.cover reported, empty before the end. command: gives the same again.
    """

    is_running: bool
    can_resume: bool
    stage: str = ""
    share: float = 0.0
    seconds_left: int | None = None
    error: UserError | None = None
    made: dict[str, object] = field(default_factory=dict)
    command: str = ""

    @property
    def parts(self) -> dict[str, Path]:
        """What can be heard, by name; a stage may have made room for others."""
        parts = self.made.get("parts", {})
        assert isinstance(parts, dict)
        found = {name: config.ROOT / path for name, path in parts.items()}
        return {name: path for name, path in found.items() if path.is_file()}


class Covers:
    """Starts covers and finds them again; one is made at a time, the others wait."""

    def __init__(self, folder: Path = results.COVERS) -> None:
        self._jobs = Jobs(folder)

    def start(self, options: CoverOptions, format: str) -> str:
        """Begin a cover; returns its name. options: output and report are replaced. UserError."""
        song = options.song
        folder = self._jobs.new_folder()
        sources = folder.root / "recordings"
        sources.mkdir()
        try:
            taken = {
                name: Path(from_root(sources / link_or_copy(path, sources)))
                for name in FILES
                if (path := getattr(options, name)) is not None
            }
            output = results.new_result(song, options.voice, format)
            whole = replace(
                options, **taken, output=Path(from_root(output)),
                report=Path(from_root(folder.root / "report.json")),
            )  # fmt: skip
            write_json(folder.root / "cover.json", {"command": printable(command(whole))})
            self._jobs.start(folder, [whole])
        except (OSError, JobError):
            shutil.rmtree(folder.root, ignore_errors=True)
            raise
        return folder.name

    def find(self, name: str) -> CoverJob | None:
        """The cover of that name as it stands; None if there is none."""
        folder = self._jobs.folder(name)
        job = self._jobs.read(folder) if folder else None
        if folder is None or job is None:
            return None
        line = json.loads((folder.root / "cover.json").read_text(encoding="utf-8"))["command"]
        if job.is_active:
            progress, _ = self._jobs.log(folder)
            if progress is None:
                return CoverJob(True, False, command=line)
            share = progress.done / max(1, progress.total)
            return CoverJob(True, False, progress.name, share, progress.seconds_left, command=line)
        report = folder.root / "report.json"
        if job.state == "done" and report.is_file():
            made = json.loads(report.read_text(encoding="utf-8"))
            return CoverJob(False, False, made=made, command=line)
        return CoverJob(False, True, error=failure(job), command=line)

    def stop(self, name: str) -> None:
        """Give up the stage that is being made; finished ones stay."""
        if folder := self._jobs.folder(name):
            self._jobs.stop(folder)

    def resume(self, name: str) -> None:
        """Go on after the last stage that was finished. JobError: there is nothing left."""
        folder = self._jobs.folder(name)
        if folder is None:
            raise JobError("cover_gone")
        self._jobs.resume(folder)
