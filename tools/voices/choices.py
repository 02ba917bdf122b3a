"""What the page's lists offer, read from disk each time."""

from __future__ import annotations

from pathlib import Path

import config
from tools.voices.library import Library, from_root, is_plain


def voices() -> list[tuple[str, str]]:
    """Return (name shown, path) of every voice file that is there, see `Library.files`."""
    return [
        (path.stem, from_root(path))
        for path in Library().files()
        if path.is_file() and is_plain(path)
    ]


def indexes() -> list[tuple[str, str]]:
    """Return (name shown, path) of every index that can be searched, in order of their names."""
    places = [config.WEIGHTS, config.LITE, config.LOGS]
    found = {
        path for place in places for path in (*place.glob("*.index"), *place.glob("*/*.index"))
    }
    searchable = [
        path
        for path in found
        if not path.name.startswith("trained_") and path.is_file()
        and is_plain(path) and is_plain(path.parent)
    ]  # fmt: skip
    return sorted((f"{path.parent.name}/{path.stem}", from_root(path)) for path in searchable)


def voice_path(voice: str) -> Path:
    """Return the path of a listed voice as a command would name it. LibraryError."""
    return Path(from_root(Library().find(voice)))
