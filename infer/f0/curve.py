"""Melodies as files: lines of seconds and Hz, 0 where unvoiced."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from config import replacing
from errors import UserError
from infer.f0 import F0_RATE
from infer.f0.contour import resample_contour

LARGEST_MIB = 64  # about 8 hours at 100 lines a second
LOWEST_HZ, HIGHEST_HZ = 10.0, 4000.0  # below and above nobody sings
SHOWN_LETTERS = 40  # of a line that cannot be read
HEADER = "seconds,hz"


class Curve:
    """A melody read from a file, at any times."""

    def __init__(self, seconds: np.ndarray, f0: np.ndarray) -> None:
        """seconds: (K,) float64, rising. f0: (K,) float32 in Hz, 0 where unvoiced."""
        self.f0, self._seconds, self._is_voiced = f0, seconds, f0 > 0
        self._reach = float(np.median(np.diff(seconds))) if len(seconds) > 1 else 1 / F0_RATE
        voiced = np.flatnonzero(self._is_voiced)
        self._filled = np.interp(np.arange(len(f0)), voiced, f0[voiced]) if len(voiced) else None

    def frames(self, first: int, count: int) -> np.ndarray:
        """Return frames at 100/s from number `first` on: (count,) float32 in Hz.

        Between two voiced lines the pitch glides, else the nearer line counts. Unvoiced before the
        first line and after the last.
        """
        if self._filled is None:
            return np.zeros(count, np.float32)
        times = (first + np.arange(count)) / F0_RATE
        places = np.interp(times, self._seconds, np.arange(len(self._seconds)))
        f0, voiced = resample_contour(self._filled, self._is_voiced.astype(np.float64), places)
        begin, end = self._seconds[0] - self._reach, self._seconds[-1] + self._reach
        is_known = (times > begin) & (times < end) & (voiced >= 0.5)
        return np.where(is_known, f0, 0.0).astype(np.float32)


def read_curve(path: Path) -> Curve:
    """Read a file of lines "seconds,hz". UserError, OSError.

    A first line that begins with a letter is a header. Commas, semicolons, tabs or spaces may stand
    between the two numbers.
    """
    if path.stat().st_size > LARGEST_MIB * 2**20:
        raise UserError("curve_size", file=path, size=LARGEST_MIB)
    seconds: list[float] = []
    f0: list[float] = []
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip() or (number == 1 and line.lstrip()[0].isalpha()):
                continue
            time, hz = _row(path, number, line)
            if seconds and time <= seconds[-1]:
                raise UserError(
                    "curve_order", file=path, line=number, seconds=time, before=seconds[-1]
                )
            if hz != 0 and not LOWEST_HZ <= hz <= HIGHEST_HZ:
                raise UserError(
                    "curve_hz", file=path, line=number, hz=hz, low=LOWEST_HZ, high=HIGHEST_HZ
                )
            seconds.append(time)
            f0.append(hz)
    if not seconds:
        raise UserError("curve_empty", file=path)
    return Curve(np.array(seconds), np.array(f0, np.float32))


def write_curve(path: Path, f0: np.ndarray) -> None:
    """Write (T,) Hz at 100 frames/s; `read_curve` gives the same values back. OSError."""
    rows = (f"{i / F0_RATE:.2f},{hz}" for i, hz in enumerate(np.asarray(f0, np.float32)))
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as unfinished:
        unfinished.write_text("\n".join([HEADER, *rows, ""]), encoding="ascii")


def _row(path: Path, number: int, line: str) -> tuple[float, float]:
    try:
        time, hz = (float(part) for part in re.split(r"[,;\s]+", line.strip(), maxsplit=2))
        if math.isfinite(time) and math.isfinite(hz) and time >= 0:
            return time, hz
    except ValueError:  # not two, or no numbers
        pass
    raise UserError("curve_line", file=path, line=number, text=line.strip()[:SHOWN_LETTERS])
