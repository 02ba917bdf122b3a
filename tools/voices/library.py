"""The voices of this computer: find, share, take in, rename, throw away and bring back. No torch.

A voice is weights/NAME.pth or .safetensors; what belongs to it lies beside it under the same name
(COMPANIONS).
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import config
from errors import CheckpointError, NoFile, UserError, as_user_error, one_line, shown
from infer.index_file import check_index_file
from infer.retrieval import find_index
from infer.voice.header import STATE, VOICE, VoiceHeader, read_header
from infer.voice.safe_file import VOICE_SUFFIXES
from tools.voices.presets import SUFFIX as PRESETS
from tools.voices.presets import parse_presets
from train.experiment import plain_name

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
INDEX = ".index"
COMPANIONS = (INDEX, PRESETS, *PICTURES)
TRASH = ".trash"  # in weights/
PICTURE_STARTS = {
    ".png": b"\x89PNG\r\n",
    ".jpg": b"\xff\xd8\xff",
    ".jpeg": b"\xff\xd8\xff",
    ".webp": b"RIFF",
}


class LibraryError(UserError):
    """A voice cannot be listed, shared or taken in."""


class TrainingStateError(LibraryError):
    """A file is a training state: a voice can be extracted from it."""


@dataclass(frozen=True)
class Voice:
    """One voice as lists show it. problem: why it cannot be used, None if it can."""

    path: Path
    header: VoiceHeader
    size: int  # bytes
    modified: float  # seconds since 1970
    index: Path | None = None
    picture: Path | None = None
    is_shipped: bool = False
    problem: UserError | None = None

    @property
    def name(self) -> str:
        return one_line(self.path.stem)


@dataclass(frozen=True)
class Trashed:
    """A voice in the trash. folder: its name there."""

    folder: str
    name: str
    deleted: float  # seconds since 1970
    suffix: str = ".pth"


class Library:
    """The voices in a folder, and those that come with the program."""

    def __init__(
        self,
        weights: Path | None = None,
        logs: Path | None = None,
        shipped: Path | None = None,
    ) -> None:
        """Without folders those of this machine."""
        self.weights = weights or config.WEIGHTS
        self.logs, self.shipped = logs or config.LOGS, shipped or config.LITE

    def files(self) -> list[Path]:
        """Every voice file: the user's newest first, the shipped ones last."""
        found = [path for path in self.weights.glob("[!.]*") if _is_voice(path)]
        own = sorted(found, key=lambda path: (-_status(path)[1], path.name))
        return own + sorted(self.shipped.glob("demo*.pth"))

    def voices(self) -> list[Voice]:
        """Every voice, in the order of `files`; one that cannot be used says what is wrong."""
        return [self.voice(path) for path in self.files()]

    def voice(self, path: Path) -> Voice:
        """What is known of one voice file, or why nothing is."""
        size, modified = _status(path)
        header, problem, index = VoiceHeader(""), None, None
        try:
            if not is_plain(path):
                raise LibraryError("odd_name", file=path.name)
            header = check_voice(path)
        except (UserError, OSError) as error:
            problem = as_user_error(error).rename(path, path.name)
        else:
            index = find_index(path, [self.logs], header.version, header.content_dim or None)
        pictures = (path.with_suffix(suffix) for suffix in PICTURES)
        return Voice(
            path=path,
            header=header,
            size=size,
            modified=modified,
            index=index,
            picture=next((each for each in pictures if each.is_file()), None),
            is_shipped=path.parent == self.shipped,
            problem=problem,
        )

    def find(self, name: str, anywhere: bool = False) -> Path:
        """The file of a listed voice by its name or path; LibraryError lists the names.

        anywhere: or any other by its path, which only who sits at this computer may name.
        """
        files = self.files()
        for path in files:
            if name in (path.stem, str(path), from_root(path)):
                return path
        if anywhere and Path(name).is_file() and _is_voice(Path(name)):
            return Path(name)
        known = [path.stem for path in files] or UserError("none_yet")
        raise LibraryError("no_voice", name=name, known=known)

    # changing

    def rename(self, path: Path, name: str) -> Path:
        """Give a voice and what belongs to it another name; returns its new file."""
        path = self.check_own(path)
        target = self._target(name, path.suffix)
        with self.all_or_nothing() as moved:
            for each in self._files(path):
                moved.move(each, target.with_name(target.stem + each.name[len(path.stem) :]))
        return target

    def set_picture(self, path: Path, picture: Path | None) -> None:
        """Give a voice a picture (png, jpg or webp), or None to take it away."""
        path = self.check_own(path)
        if picture is not None:
            check_picture(picture)
        for suffix in PICTURES:
            path.with_suffix(suffix).unlink(missing_ok=True)
        if picture is not None:
            shutil.copyfile(picture, path.with_suffix(picture.suffix.lower()))

    def trash(self, path: Path) -> Trashed:
        """Move a voice and what lies beside it to the trash."""
        path = self.check_own(path)
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
        folder = self.weights / TRASH / name
        folder.mkdir(parents=True)
        with self.all_or_nothing() as moved:
            for each in self._files(path):
                moved.move(each, folder / each.name)
        return Trashed(name, path.stem, folder.stat().st_mtime)

    def trashed(self) -> list[Trashed]:
        """What is in the trash, the newest first."""
        found = [
            Trashed(path.parent.name, one_line(path.stem), path.parent.stat().st_mtime, path.suffix)
            for path in (self.weights / TRASH).glob("*/*")
            if _is_voice(path)
        ]
        return sorted(found, key=lambda each: each.folder, reverse=True)

    def restore(self, folder: str) -> Path:
        """Bring a voice back from the trash; LibraryError if another has taken its name."""
        known = {each.folder: each for each in self.trashed()}
        if folder not in known:
            raise LibraryError("not_in_trash", name=folder)
        target = self._target(known[folder].name, known[folder].suffix)
        with self.all_or_nothing() as moved:
            for each in sorted((self.weights / TRASH / folder).iterdir()):
                moved.move(each, self.weights / each.name)
        (self.weights / TRASH / folder).rmdir()
        return target

    # what the methods share

    def check_own(self, path: Path) -> Path:
        """Return the path of a voice that may be changed; LibraryError if it is not the user's."""
        if path.resolve().parent != self.weights.resolve() or not _is_voice(path):
            raise LibraryError("only_own", name=path.stem)
        if not path.is_file():
            raise NoFile("no_voice_at", path=path)
        return self.weights / path.name

    def _target(self, name: str, suffix: str) -> Path:
        """Where a voice of this name goes; LibraryError if there is one, whatever its case."""
        path = self.weights / f"{plain_name(name)}{suffix}"
        taken = {each.name.casefold() for each in self.weights.glob("*")}
        for suffix in (*VOICE_SUFFIXES, *COMPANIONS):
            if f"{name}{suffix}".casefold() in taken:
                raise LibraryError("in_weights", name=f"{name}{suffix}")
        return path

    def _files(self, path: Path) -> list[Path]:
        """A voice's own files, the voice last, so that half a move leaves no voice without them."""
        beside = [path.with_name(path.stem + suffix) for suffix in COMPANIONS]
        return [each for each in beside if each.is_file()] + [path]

    @contextmanager
    def all_or_nothing(self) -> Iterator[Moves]:
        """Moves of files that are taken back when one of them fails."""
        moves = Moves([])
        try:
            yield moves
        except OSError:
            moves.undo()
            raise


def _is_voice(path: Path) -> bool:
    return path.suffix.lower() in VOICE_SUFFIXES


def _status(path: Path) -> tuple[int, float]:
    """Bytes and time of a file; zeros where nothing is known, as of a link to nowhere."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0.0
    return status.st_size, status.st_mtime


def from_root(path: Path) -> str:
    """Return the path as a command in the program's folder would name it."""
    return shown(str(path.relative_to(config.ROOT) if path.is_relative_to(config.ROOT) else path))


def is_plain(path: Path) -> bool:
    """Whether the page can name a file: its name is UTF-8, and one line."""
    return path.name == one_line(path.name)


@dataclass(frozen=True)
class Moves:
    """Files that were moved: where from, where to."""

    done: list[tuple[Path, Path]]

    def move(self, source: Path, target: Path) -> None:
        """Move a file to where none is."""
        if target.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        source.rename(target)
        self.done.append((source, target))

    def undo(self) -> None:
        """Move everything back."""
        for source, target in reversed(self.done):
            target.rename(source)


def check_voice(path: Path) -> VoiceHeader:
    """The labels of a file that shall become a voice; LibraryError, TrainingStateError."""
    try:
        header = read_header(path)
    except CheckpointError as error:
        raise LibraryError(error.name, **error.values) from error
    if header.kind == STATE and not header.problem:
        raise TrainingStateError("state_file", file=path.name)
    if header.kind != VOICE or header.problem:
        raise LibraryError("no_voice_file", file=path.name, reason=header.problem)
    return header


def check_index(path: Path, content_dim: int = 0) -> int:
    """The width of a faiss index; LibraryError if it cannot be used or does not fit the voice."""
    try:
        header = check_index_file(path)
    except UserError as error:
        raise LibraryError(error.name, **error.values).rename(path, path.name) from error
    if header.count == 0:
        raise LibraryError("trained_index", file=path.name)
    if content_dim and header.dim != content_dim:
        raise LibraryError("index_values", file=path.name, found=header.dim, needed=content_dim)
    return header.dim


def check_picture(path: Path) -> None:
    """LibraryError if a file is no picture that the page can show."""
    start = PICTURE_STARTS.get(path.suffix.lower())
    with path.open("rb") as file:
        if start is None or not file.read(len(start)).startswith(start):
            raise LibraryError("picture", file=path.name)


def check_presets(path: Path) -> None:
    """LibraryError if a file holds no presets."""
    try:
        parse_presets(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise LibraryError("no_presets", file=path.name) from error
