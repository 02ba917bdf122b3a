"""The trash: what was thrown away last is offered again for a while; all of it stays there."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

TRASH = "trash"  # the folder's name, beside what is thrown into it
UNDO_SECONDS = 3600.0


def note_trashed(path: Path) -> None:
    """Note that something was thrown away now."""
    os.utime(path)


def last_trashed(paths: Iterable[Path]) -> Path | None:
    """The one of the trash that was thrown away last; None if that is long ago."""
    times = {}
    for path in paths:
        with suppress(FileNotFoundError):  # it is brought back at this moment
            times[path] = path.stat().st_mtime
    last = max(times, key=lambda path: times[path], default=None)
    return last if last and time.time() - times[last] < UNDO_SECONDS else None
