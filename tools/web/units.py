"""Times and sizes as people say them."""

from __future__ import annotations


def duration_text(seconds: float) -> str:
    """Return "7.4 s" below a minute, "3:05" below an hour, else "1:03:05"."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    return clock_text(round(seconds))


def clock_text(seconds: float) -> str:
    """Return "0:07", "3:05" or "1:03:05", as players show it."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def size_text(count: int) -> str:
    """Return "812 B", "34.1 kB", "2.5 MB" or "1.2 GB"."""
    if count < 1000:
        return f"{count} B"
    size = float(count)
    for unit in ("kB", "MB"):
        size /= 1000
        if size < 999.95:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} GB"
