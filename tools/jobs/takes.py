"""Takes: results with how they were made beside them, so that they are found and heard again."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import config
from config import replacing
from errors import UserError
from infer.f0.curve import read_curve, write_curve
from tools.jobs.trash import TRASH, last_trashed, note_trashed
from tools.records import record

NOTES = ".takes"  # in results/
SUFFIX, CURVE = ".json", ".csv"
BY_HAND = "hand"  # the way to semitones that somebody set


@dataclass(frozen=True)
class Take:
    """One result in results/. voice, source: files as they were then, perhaps gone.

    settings: option names and values; made: seconds since 1970; pitch: the way to its semitones,
    BY_HAND or the page's names of automatic ones, "" where that was not noted; is_drawn: whether
    its melody was drawn by hand; part: the seconds that were made again, of the result `into`;
    heard: melody and loudness, as `tools.convert.listen` describes them, of the recording ("a") and
    of the result ("b"), once they are known; cover: name of the one whose lead it is, "" for none.
    """

    name: str
    voice: str
    source: str
    settings: dict[str, Any]
    made: float
    is_starred: bool = False
    pitch: str = ""
    is_drawn: bool = False
    part: tuple[float, float] | None = None
    into: str = ""
    cover: str = ""
    heard: dict[str, Any] = field(default_factory=dict)


def recording_of(take: Take) -> str:
    """What a take's recording is called; of a cover's lead, the song."""
    if not take.cover:
        return Path(take.source).stem
    return take.name.rsplit(f"_{Path(take.voice).stem}_", 1)[0]


class Takes:
    """The takes of a folder; a note is written when a take is begun, so a kill loses none."""

    def __init__(self, folder: Path | None = None) -> None:
        """Without a folder that of this machine's results."""
        self.folder = folder or config.RESULTS
        self._notes = self.folder / NOTES
        self._trash = self._notes / TRASH

    def begin(self, output: Path, voice: str, source: str, **more: Any) -> Take:
        """Note what is about to be made."""
        take = Take(output.name, voice, source, made=time.time(), **more)
        self._write(take)
        return take

    def write_curve(self, name: str, melody: str) -> Path:
        """Keep a melody, Hz at 100 frames/s; returns its file. ValueError: no numbers."""
        file = self._notes / f"{name}{CURVE}"
        write_curve(file, np.array(melody.split(), np.float32))
        return file

    def read_curve(self, name: str) -> str:
        """Return a melody that was kept, as it was given. UserError, OSError."""
        f0 = read_curve(self._notes / f"{name}{CURVE}").f0
        return " ".join(f"{hz:g}" for hz in f0.tolist())

    def of_cover(self, name: str) -> Take | None:
        """The newest take of a cover's lead, None if there is none."""
        return next((take for take in self.all() if take.cover == name), None)

    def path(self, take: Take) -> Path:
        """Where a take's sound is."""
        return self.folder / take.name

    def all(self) -> list[Take]:
        """Every take whose sound is there, the newest first."""
        notes = self._notes.glob(f"*{SUFFIX}")
        takes = (self._read(self._notes, self.folder, note.stem) for note in notes)
        return sorted(filter(None, takes), key=lambda each: -each.made)

    def find(self, name: str) -> Take:
        """The take of a file name. UserError."""
        take = self._read(self._notes, self.folder, name)
        if take is None:
            raise UserError("no_take", name=name)
        return take

    def change(self, name: str, **values: Any) -> Take:
        """Note something else of a take; returns it as it is now. UserError."""
        take = replace(self.find(name), **values)
        self._write(take)
        return take

    def star(self, name: str) -> None:
        """Star a take, or take its star away. UserError."""
        self.change(name, is_starred=not self.find(name).is_starred)

    def forget(self, name: str) -> None:
        """Drop the note of what was not made after all."""
        if not (self.folder / name).exists():
            self._note(name).unlink(missing_ok=True)

    def trash(self, name: str) -> None:
        """Move a take to the trash; its melody stays, a printed command may name it. UserError."""
        take, note = self.find(name), self._trash / f"{name}{SUFFIX}"
        self._trash.mkdir(exist_ok=True)
        self.path(take).rename(self._trash / take.name)
        self._note(name).rename(note)
        note_trashed(note)

    def trashed(self) -> Take | None:
        """The take that was thrown away last, see tools.jobs.trash."""
        note = last_trashed(self._trash.glob(f"*{SUFFIX}"))
        return self._read(self._trash, self._trash, note.stem) if note else None

    def restore(self, name: str) -> Take:
        """Bring a take back. UserError."""
        take = self._read(self._trash, self._trash, name)
        if take is None:
            raise UserError("no_take", name=name)
        (self._trash / f"{name}{SUFFIX}").rename(self._note(name))
        (self._trash / name).rename(self.path(take))
        return take

    def _read(self, notes: Path, sounds: Path, name: str) -> Take | None:
        """The take of a name; None where it is not made yet, or its note is of another kind."""
        if not name or Path(name).name != name or not (sounds / name).is_file():
            return None
        try:
            take = record(Take, json.loads((notes / f"{name}{SUFFIX}").read_text(encoding="utf-8")))
        except (ValueError, OSError):
            return None  # of another version, or damaged: the sound itself is there
        return take if take.name == name else None

    def _note(self, name: str) -> Path:
        return self._notes / f"{name}{SUFFIX}"

    def _write(self, take: Take) -> None:
        self._notes.mkdir(parents=True, exist_ok=True)
        with replacing(self._note(take.name)) as temporary:
            text = json.dumps(asdict(take), ensure_ascii=False, indent=1)
            temporary.write_text(text, encoding="utf-8")
