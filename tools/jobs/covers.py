"""Covers, each made by a job: it goes on when the page is gone, and is found again by its name.

A cover is a folder results/.covers/NAME with the job, the song and what became of it; the browser
remembers the name. The cover itself lies in results/, its stages in a folder beside it. The
recordings go with the oldest stages, see tools.songs.kept. In the trash a cover lies in its folder.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import config
from errors import UserError
from options import command, parse_options, printable
from tools.jobs import results
from tools.jobs.batch import link_or_copy
from tools.jobs.jobs import Job, JobError, Jobs, failure
from tools.jobs.takes import Take, Takes
from tools.jobs.trash import TRASH, last_trashed, note_trashed
from tools.records import record
from tools.songs.kept import RECORDINGS, SUMS
from tools.songs.options import CoverOptions
from tools.voices.choices import from_root
from train.experiment import write_json
from train.job_folder import JobFolder

FILES = ("input", "vocals", "accompaniment", "drums", "lead")
RENDERED = ("f0_method", "index_rate", "protect", "speaker", "device", "seed")  # settings of a lead
NOTE, REPORT, HEARD = "cover.json", "report.json", "heard.json"  # in a cover's folder


@dataclass(frozen=True)
class CoverNote:
    """What the page keeps of a cover: the command that gives the same again, and its star."""

    command: str
    is_starred: bool = False


@dataclass(frozen=True)
class CoverJob:
    """A cover as it stands. stage: what is being made, "" while it waits; share: of that stage.

    note: what the page keeps of it; options: what it was asked for, None where another version
    asked; queued: when (seconds since 1970). made: what tools.cmd.cover reported, empty before the
    end.
    """

    folder: Path
    note: CoverNote
    options: CoverOptions | None
    queued: float
    is_running: bool = False
    can_resume: bool = False
    stage: str = ""
    share: float = 0.0
    seconds_left: int | None = None
    error: UserError | None = None
    made: dict[str, object] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What it is found by."""
        return self.folder.name

    @property
    def command(self) -> str:
        """The command that gives the same again."""
        return self.note.command

    @property
    def is_starred(self) -> bool:
        """Whether somebody likes it."""
        return self.note.is_starred

    @property
    def heard(self) -> dict[str, Any]:
        """Melody and loudness of its original ("a") and of itself ("b"), once they are known."""
        try:
            return dict(json.loads((self.folder / HEARD).read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError):  # damaged: it is listened to again
            return {}

    @property
    def file_name(self) -> str:
        """What its file is called, also before it is made."""
        return self.options.output.name if self.options else self.name

    @property
    def file(self) -> Path | None:
        """Where the cover was written; None before that."""
        return config.ROOT / self._reported["cover"] if "cover" in self._reported else None

    @property
    def originals(self) -> list[Path]:
        """What was sung over: the song, or its two stems; empty where they are gone."""
        asked = self.options
        given = [asked.input, asked.vocals, asked.accompaniment] if asked else []
        files = [config.ROOT / path for path in given if path is not None]
        return files if all(path.is_file() for path in files) else []

    @property
    def parts(self) -> dict[str, Path]:
        """What can be heard, by name; a stage may have made room for others."""
        found = {name: config.ROOT / path for name, path in self._reported.items()}
        return {name: path for name, path in found.items() if path.is_file()}

    @property
    def _reported(self) -> dict[str, str]:
        parts = self.made.get("parts", {})
        assert isinstance(parts, dict)
        return parts


class Covers:
    """Starts covers and finds them again; one is made at a time, the others wait."""

    def __init__(self, folder: Path = results.COVERS) -> None:
        self._folder = folder
        self._jobs, self._trash = Jobs(folder), Jobs(folder / TRASH)
        self._summing = threading.Lock()

    def start(self, options: CoverOptions, format: str) -> str:
        """Begin a cover; returns its name. options: output and report are replaced. UserError."""
        song = options.song
        folder = self._jobs.new_folder()
        sources = folder.root / RECORDINGS
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
                report=Path(from_root(folder.root / REPORT)),
            )  # fmt: skip
            write_json(folder.root / NOTE, asdict(CoverNote(printable(command(whole)))))
            self._jobs.start(folder, [whole])
        except (OSError, JobError):
            shutil.rmtree(folder.root, ignore_errors=True)
            raise
        return folder.name

    def all(self) -> list[CoverJob]:
        """Every cover as it stands, the newest first.

        Without those whose file is gone, that another version asked for, or whose notes are
        damaged.
        """
        folders = filter(None, (self._jobs.folder(path.name) for path in self._folder.glob("*")))
        covers = filter(None, (self._read(self._jobs, folder) for folder in folders))
        there = (each for each in covers if not each.made or "cover" in each.parts)
        return sorted(filter(lambda each: each.options, there), key=lambda each: -each.queued)

    def find(self, name: str) -> CoverJob | None:
        """The cover of that name as it stands; None if there is none."""
        folder = self._jobs.folder(name)
        cover = self._read(self._jobs, folder) if folder else None
        if cover is not None:
            sounds = [path for part, path in cover.parts.items() if part != "cover"]
            _mark_used([*sounds, *cover.originals])
        return cover

    def _read(self, jobs: Jobs, folder: JobFolder) -> CoverJob | None:
        """The cover of a folder; None where its notes are damaged."""
        job = jobs.read(folder)
        if job is None:
            return None
        try:
            note = record(CoverNote, json.loads(_text(folder.root / NOTE)))
            made = json.loads(_text(folder.root / REPORT)) if job.state == "done" else {}
        except (OSError, ValueError):
            return None
        cover = CoverJob(folder.root, note, _options(job.commands[0][1:]), job.queued, made=made)
        if job.state == "done":
            return cover if _is_report(made) else None
        if job.is_active:
            progress, _ = jobs.log(folder)
            if progress is None:
                return replace(cover, is_running=True)
            share = progress.done / max(1, progress.total)
            return replace(
                cover, is_running=True, stage=progress.name, share=share,
                seconds_left=progress.seconds_left,
            )  # fmt: skip
        recordings = folder.root / RECORDINGS
        error = _by_its_name(failure(job), job, recordings)
        if recordings.is_dir():
            return replace(cover, can_resume=True, error=error)
        return replace(cover, error=error or JobError("song_gone"))

    def star(self, name: str) -> None:
        """Star a cover, or take its star away. JobError."""
        cover = self._found(name)
        note = replace(cover.note, is_starred=not cover.is_starred)
        write_json(cover.folder / NOTE, asdict(note))

    def trash(self, name: str) -> None:
        """Move a cover that is not being made to the trash. JobError, OSError."""
        cover, place = self._found(name), self._folder / TRASH / name
        if cover.is_running:
            raise JobError("job_busy", name=cover.file_name)
        place.parent.mkdir(exist_ok=True)
        cover.folder.rename(place)
        note_trashed(place / NOTE)
        if cover.file and cover.file.is_file():
            cover.file.rename(place / cover.file.name)

    def trashed(self) -> CoverJob | None:
        """The cover that was thrown away last, see tools.jobs.trash."""
        note = last_trashed((self._folder / TRASH).glob(f"*/{NOTE}"))
        return self._read(self._trash, JobFolder(note.parent)) if note else None

    def restore(self, name: str) -> None:
        """Bring a cover back. JobError, OSError."""
        folder = self._trash.folder(name)
        cover = self._read(self._trash, folder) if folder else None
        if cover is None:
            raise JobError("cover_gone")
        if cover.file and (cover.folder / cover.file.name).is_file():
            (cover.folder / cover.file.name).rename(cover.file)
        cover.folder.rename(self._folder / name)

    def _found(self, name: str) -> CoverJob:
        cover = self.find(name)
        if cover is None:
            raise JobError("cover_gone")
        return cover

    def take_lead(self, name: str, takes: Takes) -> Take:
        """The lead of a cover as a take, that it can be edited as one. UserError."""
        cover = self._found(name)
        if cover.options is None or not {"clean", "lead"} <= set(cover.parts):
            raise JobError("cover_gone")
        if (known := takes.of_cover(name)) is not None:
            return known
        asked, lead = cover.options, cover.parts["lead"]
        output = results.new_result(asked.song, asked.voice, lead.suffix[1:])
        settings = {
            **{each: getattr(asked, each) for each in RENDERED},
            "index": str(asked.index or ""), "semitones": cover.made["semitones"],
            "rms_mix_rate": 0.0,  # the mix makes phrases as loud as they were
            "denoise": False, "resample_rate": 0,
        }  # fmt: skip
        take = takes.begin(
            output, from_root(asked.voice), str(cover.parts["clean"]), settings=settings, cover=name
        )
        try:
            with config.replacing(output) as temporary:
                shutil.copyfile(lead, temporary)
        except OSError:
            takes.forget(take.name)
            raise
        return take

    def mix(self, take: Take, lead: Path) -> str:
        """Begin the cover of a take again, with that lead; returns its name. UserError."""
        cover = self._found(take.cover)
        if cover.options is None or not cover.originals:
            raise JobError("song_gone")
        asked = cover.options
        files = {
            each: config.ROOT / path for each in FILES if (path := getattr(asked, each)) is not None
        }
        semitones = float(str(cover.made["semitones"])) - asked.transpose
        again = replace(asked, **{**files, "lead": lead}, semitones=semitones)
        return self.start(again, asked.output.suffix[1:])

    def note_heard(self, name: str, heard: dict[str, Any]) -> None:
        """Keep how a cover and its original sound, see CoverJob."""
        if folder := self._jobs.folder(name):
            write_json(folder.root / HEARD, heard)

    def sum_of(self, name: str, files: Sequence[Path], stem: str) -> Path:
        """A flac in a cover's folder: the sum of files, mixed once. UserError."""
        from infer.audio.reader import AudioReader
        from infer.audio.writer import AudioWriter
        from tools.songs.stages import stereo_blocks, together

        folder = self._jobs.folder(name)
        if folder is None:
            raise JobError("cover_gone")
        target = folder.root / SUMS / f"{stem}.flac"
        with self._summing:  # two pages may show the same cover
            if target.is_file():
                return target
            with AudioReader(files[-1]) as reader:
                rate = reader.sample_rate
            with AudioWriter(target, rate, channels=2) as writer:
                for blocks in together(*(stereo_blocks(file, rate) for file in files)):
                    writer.write(sum(blocks[1:], start=blocks[0]))
        return target

    def stop(self, name: str) -> None:
        """Give up the stage that is being made; finished ones stay."""
        if folder := self._jobs.folder(name):
            self._jobs.stop(folder)

    def resume(self, name: str) -> None:
        """Go on after the last stage that was finished. JobError: there is nothing left."""
        cover = self._found(name)
        if cover.is_running:
            raise JobError("job_busy", name=cover.file_name)
        if not (cover.folder / RECORDINGS).is_dir():
            raise JobError("song_gone")
        self._jobs.resume(JobFolder(cover.folder))


def recordings_at_work(folder: Path = results.COVERS) -> Iterator[Path]:
    """Yield the recordings' folder of every cover that waits or is being made."""
    for name, job in Jobs(folder).all().items():
        if job.is_active:
            yield folder / name / RECORDINGS


def _mark_used(sounds: Iterable[Path]) -> None:
    """What somebody looks at is not among the oldest, see tools.songs.kept."""
    for path in sounds:
        with suppress(OSError):  # it goes at this moment, or may only be read
            os.utime(path.parent)


def _by_its_name(error: UserError | None, job: Job, recordings: Path) -> UserError | None:
    """The error with a recording called as the user calls it, not by its place in the job."""
    for word in job.commands[0]:
        path = Path(word)
        if error is not None and path.parent == Path(from_root(recordings)):
            error = error.rename(path, path.name)
    return error


@cache  # covers are looked at every second while one is being made
def _options(words: tuple[str, ...]) -> CoverOptions | None:
    try:
        return parse_options(CoverOptions, words)
    except SystemExit:
        return None  # of another version; it can be heard all the same


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def _is_report(made: object) -> bool:
    """Whether something is a report, as far as parts are found by it."""
    parts = made.get("parts") if isinstance(made, dict) else None
    return isinstance(parts, dict) and all(isinstance(path, str) for path in parts.values())
