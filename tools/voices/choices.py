"""What the page's lists offer, read from disk each time."""

from __future__ import annotations

from pathlib import Path

import config
from errors import UserError
from tools.voices.library import VOICE_SUFFIXES

NONE_YET = UserError("none_yet")


def voices() -> list[tuple[str, str]]:
    """Return (name shown, path) of every voice: the user's newest first, shipped ones last."""
    found = [path for suffix in VOICE_SUFFIXES for path in config.WEIGHTS.glob(f"*{suffix}")]
    own = sorted(found, key=lambda path: -path.stat().st_mtime)
    shipped = sorted(config.LITE.glob("demo*.pth"))
    return [(path.stem, from_root(path)) for path in own + shipped]


def indexes() -> list[tuple[str, str]]:
    """Return (name shown, path) of every index that can be searched, in order of their names."""
    places = [config.WEIGHTS, config.LITE, config.LOGS]
    found = {
        path for place in places for path in (*place.glob("*.index"), *place.glob("*/*.index"))
    }
    searchable = [path for path in found if not path.name.startswith("trained_")]
    return sorted((f"{path.parent.name}/{path.stem}", from_root(path)) for path in searchable)


def voice_path(voice: str) -> Path:
    """Return the path of a voice given by its name or path. UserError: there is none such."""
    known = voices()
    for name, path in known:
        if voice in (name, path):
            return Path(path)
    raise UserError("no_voice_here", name=voice, known=[name for name, _ in known] or NONE_YET)


def from_root(path: Path) -> str:
    """Return the path as a command in the program's folder would name it."""
    return str(path.relative_to(config.ROOT)) if path.is_relative_to(config.ROOT) else str(path)
