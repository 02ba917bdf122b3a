"""One zip for one voice: pack it to share, and add a zip, a .pth or an .index with care."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config import replacing
from errors import UserError
from infer.voice.header import VoiceHeader
from infer.voice.safe_file import VOICE_SUFFIXES
from tools.unzip import BLOCK, ZipError, unpack_zip
from tools.voices.library import (
    COMPANIONS,
    INDEX,
    PICTURES,
    PRESETS,
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


@dataclass(frozen=True)
class Arrived:
    """Files that came to weights/, and what was refused of a zip, and why."""

    files: list[Path]
    refused: list[UserError]


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


def add_to_library(library: Library, path: Path, name: str = "", replace: bool = False) -> Arrived:
    """Add a zip, a .pth or an .index to the library.

    name: of the voice; without it the file's own. Nothing existing is overwritten unless replace.
    What is refused of a zip does not stop the rest. Where nothing is left, LibraryError says what
    is wrong; TrainingStateError that a voice can be extracted.
    """
    suffix = path.suffix.lower()
    if suffix not in (".zip", *VOICE_SUFFIXES, INDEX):
        raise LibraryError("kind", file=path.name)
    incoming = library.weights / f".incoming-{secrets.token_hex(6)}"
    incoming.mkdir(parents=True)
    refused: list[UserError] = []
    try:
        if suffix == ".zip":
            found = _open_zip(path, incoming, refused)
        else:
            found = {path.name: incoming / path.name}
            shutil.copyfile(path, incoming / path.name)
        files = _place(library, _sort(library, found, name, refused), replace, refused)
    finally:
        shutil.rmtree(incoming)
    if refused and not files:
        raise refused[0]
    return Arrived(files, refused)


def _open_zip(path: Path, folder: Path, refused: list[UserError]) -> dict[str, Path]:
    """Unpack what belongs to voices into a folder; returns name in the zip -> file."""
    try:
        unpacked = unpack_zip(path, folder, _is_wanted, MOST_FILES, MOST_BYTES)
    except ZipError as error:
        raise LibraryError(error.name, **error.values) from error
    refused += [LibraryError(each.name, **each.values) for each in unpacked.problems]
    found: dict[str, Path] = {}
    for name, file in unpacked.files:
        if name.casefold() in {each.casefold() for each in found}:
            refused.append(LibraryError("two_files", file=path.name, name=name))
        else:
            found[name] = file
    for name in _damaged(found.pop(MANIFEST, None), found):
        refused.append(LibraryError("on_its_way", file=name))
        del found[name]
    return found


def _is_wanted(name: str) -> bool:
    """Whether a file belongs to a voice; a trained_*.index is one without vectors."""
    lower = name.lower()
    is_part = lower.endswith((*VOICE_SUFFIXES, *COMPANIONS)) and not lower.startswith("trained_")
    return is_part or name == MANIFEST


def _damaged(manifest: Path | None, found: dict[str, Path]) -> list[str]:
    """The files that are not what our own manifest, where it is inside, says of them."""
    if manifest is None or manifest.stat().st_size > BLOCK:
        return []
    try:
        stated = json.loads(manifest.read_bytes())["files"]
        return [
            name for name in stated if name in found and _digest_of(found[name]) != stated[name]
        ]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []  # another program's file of that name


Group = list[tuple[Path, str]]  # a voice and what belongs to it, each with its name in weights/


def _sort(
    library: Library, found: dict[str, Path], name: str, refused: list[UserError]
) -> list[Group]:
    """Check every file; returns the good ones, voice by voice."""
    voices = {each: path for each, path in found.items() if _is_voice(each)}
    if len(voices) > 1 and name:
        raise LibraryError("many_voices", count=len(voices))
    count = len(voices) + sum(_is_voice(str(each.values.get("name"))) for each in refused)
    if not voices:
        return [] if refused else [_sort_additions(library, found, name)]
    stem = name and plain_name(name)
    groups, sorted_in = [], set(voices)
    for voice, path in voices.items():
        try:
            header = _checked(check_voice, path, voice)
            own = stem or plain_name(Path(voice).stem)
        except UserError as error:
            refused.append(error)
            continue
        group = [(path, f"{own}{Path(voice).suffix.lower()}")]
        for each in sorted(found.keys() - sorted_in):
            if not _belongs(each, voice, count):
                continue
            sorted_in.add(each)
            try:
                target = f"{own}{_check_addition(each, found[each], header)}"
            except UserError as error:
                refused.append(error)
                continue
            if target in [taken for _, taken in group]:
                refused.append(LibraryError("many_indexes", file=each))
            else:
                group.append((found[each], target))
        groups.append(group)
    return groups


def _is_voice(name: str) -> bool:
    return name.lower().endswith(VOICE_SUFFIXES)


def _sort_additions(library: Library, found: dict[str, Path], name: str) -> Group:
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


def _place(
    library: Library, groups: list[Group], replace: bool, refused: list[UserError]
) -> list[Path]:
    """Move checked files into weights/: every voice whole; what exists there only if replace."""
    taken = {each.name.casefold(): each for each in library.weights.glob("*")}
    placed: list[Path] = []
    with library.all_or_nothing() as moves:
        for group in groups:
            existing = [taken[name.casefold()] for _, name in group if name.casefold() in taken]
            if existing and not replace:
                refused.append(LibraryError("in_weights", name=[each.name for each in existing]))
                continue
            for each in existing:
                moves.move(each, group[0][0].parent / f"old-{each.name}")
            for path, target in group:
                moves.move(path, library.weights / target)
                placed.append(library.weights / target)
    return placed


def _digest_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
