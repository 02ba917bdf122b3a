"""What a live stream's process reads and writes: frames with a number and a time (no numpy).

A frame is a header and a body. AUDIO and SPARE are float32, mono; everything else is JSON.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

from errors import UserError

AUDIO, SETTINGS, REPORT, READY, FAILED, SPARE = 1, 2, 3, 4, 5, 6
HEADER = struct.Struct("<BIdI")  # kind, number, seconds, bytes of the body
LARGEST_BODY = 1 << 20  # bytes; a block of two seconds at 48 kHz has a third of it


@dataclass(frozen=True)
class Frame:
    """kind: one of the constants above; number: counts up; seconds: where in the input's time.

    Audio that comes out carries the time of the moment of the input that its first sample is of.
    SPARE follows it: audio that may be played after it while the next is late.
    """

    kind: int
    number: int
    seconds: float
    body: bytes

    def pack(self) -> bytes:
        """Return the bytes of the frame."""
        return HEADER.pack(self.kind, self.number, self.seconds, len(self.body)) + self.body

    @property
    def values(self) -> dict[str, Any]:
        """The body of a frame that is not audio."""
        return json.loads(self.body)


def json_frame(kind: int, values: dict[str, Any], number: int = 0, seconds: float = 0.0) -> Frame:
    """Return a frame with values as its body."""
    return Frame(kind, number, seconds, json.dumps(values).encode("ascii"))


def read_frame(file: BinaryIO) -> Frame | None:
    """Read the next frame; None at the end of the stream. ValueError: no frame begins here."""
    header = file.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    kind, number, seconds, size = _checked(header)
    body = file.read(size)
    return Frame(kind, number, seconds, body) if len(body) == size else None


def unpack_frame(message: bytes) -> Frame:
    """Read a frame that came as a whole. ValueError: it is none."""
    if len(message) < HEADER.size:
        raise UserError("live_frame")
    kind, number, seconds, size = _checked(message[: HEADER.size])
    body = message[HEADER.size :]
    if len(body) != size or (kind == AUDIO and size % 4) or not math.isfinite(seconds):
        raise UserError("live_frame")
    return Frame(kind, number, seconds, body)


def _checked(header: bytes) -> tuple[int, int, float, int]:
    kind, number, seconds, size = HEADER.unpack(header)
    if not AUDIO <= kind <= SPARE or size > LARGEST_BODY:
        raise ValueError(f"a frame of kind {kind} with {size} bytes")
    return kind, number, seconds, size
