"""One zip for one voice: pack it to share, and take a zip, a .pth or an .index in with care."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from config import replacing
from infer.voice.header import VoiceHeader
from tools.unzip import BLOCK, ZipError, unpack_zip
from tools.voices.library import (
    COMPANIONS,
    INDEX,
    PICTURES,
    PRESETS,
    VOICE_SUFFIXES,
    Library,
    LibraryError,
    check_index,
    check_picture,
    check_presets,
    check_voice,
)
from train.experiment import plain_name

MANIFEST = "voice.json"
FORMAT = 1
MOST_FILES = 1000
MOST_BYTES = 8 * 2**30


def pack(library: Library, voice: Path, output: Path) -> Path:
    """Write a zip of a voice, its index, presets and picture; returns it. Nothing private goes in.

    The index may lie in logs/; in the zip it has the voice's name.
    """
    known = library.voice(voice)
    if known.problem:
        raise LibraryError("not_shared", name=voice.name, reason=known.problem)
    beside = {suffix: voice.with_name(voice.stem + suffix) for suffix in (PRESETS, *PICTURES)}
    files = {voice.name: voice}
    files |= {path.name: path for path in beside.values() if path.is_file()}
    if known.index is not None:
        files[f"{voice.stem}{INDEX}"] = known.index
    header = known.header
    manifest = {
        "format": FORMAT,
        "name": voice.stem,
        "version": header.version,
        "sample_rate": header.sample_rate,
        "f0": header.use_f0,
        "speakers": header.num_speakers,
        "info": header.info,
        "files": {name: _digest_of(path) for name, path in files.items()},
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    with replacing(output) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        archive.writestr(MANIFEST, json.dumps(manifest, ensure_ascii=False, indent=1))
        for name, path in files.items():
            archive.write(path, name)  # stored: weights do not shrink
    return output


def take_in(library: Library, path: Path, name: str = "", replace: bool = False) -> list[Path]:
    """Add a zip, a .pth or an .index to the library; returns the files written to weights/.

    name: of the voice; without it the file's own. Nothing existing is overwritten unless replace.
    LibraryError says what is wrong; TrainingStateError that a voice can be extracted.
    """
    suffix = path.suffix.lower()
    if suffix not in (".zip", *VOICE_SUFFIXES, INDEX):
        raise LibraryError("kind", file=path.name)
    incoming = library.weights / f".incoming-{secrets.token_hex(6)}"
    incoming.mkdir(parents=True)
    try:
        if suffix == ".zip":
            found = _open_zip(path, incoming)
        else:
            found = {path.name: incoming / path.name}
            shutil.copyfile(path, incoming / path.name)
        return _place(library, _sort(library, found, name), replace)
    finally:
        shutil.rmtree(incoming)


def _open_zip(path: Path, folder: Path) -> dict[str, Path]:
    """Unpack what belongs to voices into a folder; returns name in the zip -> file."""
    try:
        unpacked = unpack_zip(path, folder, _is_wanted, MOST_FILES, MOST_BYTES)
    except ZipError as error:
        raise LibraryError(error.name, **error.values) from error
    if unpacked.problems:  # half a voice is none
        raise LibraryError(unpacked.problems[0].name, **unpacked.problems[0].values)
    found: dict[str, Path] = {}
    for name, file in unpacked.files:
        if name.casefold() in {each.casefold() for each in found}:
            raise LibraryError("two_files", file=path.name, name=name)
        found[name] = file
    _check_manifest(found.pop(MANIFEST, None), found)
    return found


def _is_wanted(name: str) -> bool:
    """Whether a file belongs to a voice; a trained_*.index is one without vectors."""
    lower = name.lower()
    is_part = lower.endswith((*VOICE_SUFFIXES, *COMPANIONS)) and not lower.startswith("trained_")
    return is_part or name == MANIFEST


def _check_manifest(manifest: Path | None, found: dict[str, Path]) -> None:
    """Where our own manifest is inside, what it says of the files has to be true."""
    if manifest is None or manifest.stat().st_size > BLOCK:
        return
    try:
        stated = json.loads(manifest.read_bytes())["files"]
        damaged = [
            name for name in stated if name in found and _digest_of(found[name]) != stated[name]
        ]
    except (ValueError, KeyError, TypeError, RecursionError):
        return  # another program's file of that name
    if damaged:
        raise LibraryError("on_its_way", file=damaged[0])


def _sort(library: Library, found: dict[str, Path], name: str) -> list[tuple[Path, str]]:
    """Check every file; returns each with its name in weights/."""
    voices = {each: path for each, path in found.items() if each.lower().endswith(VOICE_SUFFIXES)}
    headers = {each: _checked(check_voice, path, each) for each, path in voices.items()}
    if not voices:
        return _sort_additions(library, found, name)
    if len(voices) > 1 and name:
        raise LibraryError("many_voices", count=len(voices))
    placed = []
    for voice, header in headers.items():
        stem = plain_name(name or Path(voice).stem)
        placed.append((voices[voice], f"{stem}{Path(voice).suffix.lower()}"))
        for each, path in found.items():
            if each not in voices and _belongs(each, voice, len(voices)):
                suffix = _check_addition(each, path, header)
                placed.append((path, f"{stem}{suffix}"))
    targets = [target.casefold() for _, target in placed]
    if len(set(targets)) < len(targets):
        raise LibraryError("many_indexes")
    return placed


def _sort_additions(library: Library, found: dict[str, Path], name: str) -> list[tuple[Path, str]]:
    """An index alone goes to the voice of that name, or keeps its own."""
    if len(found) != 1:
        raise LibraryError("no_voice_inside")
    ((each, path),) = found.items()
    header = VoiceHeader("")
    if name:
        header = library.voice(library.find(name)).header
    suffix = _check_addition(each, path, header)
    return [(path, f"{plain_name(name or Path(each).stem)}{suffix}")]


def _belongs(addition: str, voice: str, num_voices: int) -> bool:
    """Whether an addition is of this voice: the only one, or the one whose name it has."""
    return num_voices == 1 or Path(voice).stem.casefold() in addition.casefold()


def _check_addition(name: str, path: Path, header: VoiceHeader) -> str:
    """Check a companion; returns the suffix that it gets."""
    suffix = next(each for each in COMPANIONS if name.lower().endswith(each))
    checks: dict[str, Callable[[Path], object]] = {
        INDEX: lambda path: check_index(path, header.content_dim),
        PRESETS: check_presets,
    }
    _checked(checks.get(suffix, check_picture), path, name)
    return suffix


def _checked(check: Callable[[Path], Any], path: Path, name: str) -> Any:
    """What a check gives; what it refuses is told by the name that the sender gave the file."""
    try:
        return check(path)
    except LibraryError as error:
        raise error.rename(path, name).rename(Path(path.name), name) from error


def _place(library: Library, placed: list[tuple[Path, str]], replace: bool) -> list[Path]:
    """Move checked files into weights/: all of them, or none."""
    taken = {each.name.casefold(): each for each in library.weights.glob("*")}
    existing = [taken[target.casefold()] for _, target in placed if target.casefold() in taken]
    if existing and not replace:
        raise LibraryError("in_weights", name=[each.name for each in existing])
    with library.all_or_nothing() as moves:
        for each in existing:
            moves.move(each, placed[0][0].parent / f"old-{each.name}")
        for path, target in placed:
            moves.move(path, library.weights / target)
    return [library.weights / target for _, target in placed]


def _digest_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
