"""What the page's lists offer, read from disk each time."""

from __future__ import annotations

from pathlib import Path

import config


def voices() -> list[tuple[str, str]]:
    """Return (name shown, path) of every voice: the user's newest first, the shipped one last."""
    own = sorted(config.WEIGHTS.glob("*.pth"), key=lambda path: -path.stat().st_mtime)
    shipped = [path for path in [config.LITE / "demo.pth"] if path.exists()]
    return [(path.stem, from_root(path)) for path in own + shipped]


def from_root(path: Path) -> str:
    """Return the path as a command in the program's folder would name it."""
    return str(path.relative_to(config.ROOT)) if path.is_relative_to(config.ROOT) else str(path)
