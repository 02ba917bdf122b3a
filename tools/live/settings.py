"""What a live stream is asked for while it runs, as JSON from a page or a program."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

from infer.options import StreamOptions


@dataclass(frozen=True)
class Settings:
    """Options of a stream that may change while it runs; None = as it is.

    voice: its file. fit_pitch: the shift is found, and semitones do not count. is_bypassed: the
    speaker is heard as they are.
    """

    voice: str | None = None
    mode: str | None = None
    semitones: float | None = None
    fit_pitch: bool | None = None
    index_rate: float | None = None
    protect: float | None = None
    rms_mix_rate: float | None = None
    gate_db: float | None = None
    denoise: bool | None = None
    speaker: int | None = None
    is_bypassed: bool | None = None

    def change(self, options: StreamOptions) -> StreamOptions:
        """Return options with what is asked for. UserError: a value that is not allowed."""
        others = ("fit_pitch", "is_bypassed")
        names = [item.name for item in fields(Settings) if item.name not in others]
        asked = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if self.fit_pitch:
            asked["semitones"] = None
        if self.voice is not None:
            asked["voice"] = Path(self.voice)
        return replace(options, **asked)
