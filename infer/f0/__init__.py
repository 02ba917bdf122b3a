"""The f0 methods by name; each class is imported when it is first asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import config
from errors import NoFile, UserError

if TYPE_CHECKING:
    import numpy as np

SAMPLE_RATE = 16000  # Hz; of f0 methods and content encoders
HOP_LENGTH = 160
F0_RATE = SAMPLE_RATE // HOP_LENGTH  # 100 frames per second
F0_MIN = 50.0  # Hz; between these two lie the synthesizer's pitch bins, and some methods search
F0_MAX = 1100.0  # Hz
QUICK_METHOD = "swift"  # its weights come with the program; quick on any CPU: measures pitch

F0_METHODS = {
    "rmvpe": "infer.f0.rmvpe:RmvpeF0",
    "swift": "infer.f0.swift:SwiftF0",
    "fcpe": "infer.f0.fcpe:FcpeF0",
    "crepe-tiny": "infer.f0.crepe:CrepeTinyF0",
    "crepe": "infer.f0.crepe:CrepeFullF0",
    "pm": "infer.f0.praat:PraatF0",
    "harvest": "infer.f0.world:HarvestF0",
    "dio": "infer.f0.world:DioF0",
}


RMVPE_FILES = ("rmvpe/rmvpe.pt", "rmvpe/rmvpe.onnx")  # in assets/downloads/, the first is better

FITTING_SEMITONES = 24  # a melody is moved to a voice by at most so much


def fitting_semitones(
    source_hz: float,
    voice_hz: float,
    is_singing: bool = False,
    source_range: Sequence[float] | None = None,
    voice_range: Sequence[float] | None = None,
) -> int:
    """Return the shift that brings one median f0 to another, 0 where one is not known (0 Hz).

    Singing is shifted by whole octaves, so that it stays in tune with its music: of the two next to
    the median by the one that leaves less of its range (low and high in Hz) outside the voice's.
    """
    if source_hz <= 0 or voice_hz <= 0:
        return 0
    octaves = math.log2(voice_hz / source_hz)
    semitones = round(12 * octaves)
    if is_singing:
        near = sorted({math.floor(octaves), math.ceil(octaves)}, key=lambda n: abs(octaves - n))
        if source_range and voice_range:
            near.sort(key=lambda n: sum(outside(source_range, voice_range, 12 * n)))
        semitones = 12 * near[0]
    return max(-FITTING_SEMITONES, min(FITTING_SEMITONES, semitones))


def outside(
    source_range: Sequence[float], voice_range: Sequence[float], semitones: float
) -> tuple[float, float]:
    """Semitones by which a melody, once it is shifted, goes below and above a voice's range."""
    below, above = (
        semitones + 12 * math.log2(source / voice)
        for source, voice in zip(source_range, voice_range, strict=True)
    )
    return max(0.0, -round(below, 2)), max(0.0, round(above, 2))


class F0Method(Protocol):
    def __call__(self, audio: np.ndarray) -> np.ndarray:
        """audio: (N,) float32 at 16 kHz -> f0: (N // 160,) float32 in Hz, 0 where unvoiced.

        Frame i is centred at sample 160 i. Values are kept as the method finds them, outside of
        F0_MIN..F0_MAX too; docs/f0.md has what each can find.
        """


def load_f0_method(name: str, device: str = "cpu") -> F0Method:
    """The f0 method of that name, its weights on that torch device where it has a network in torch.

    UserError for an unknown name, NoFile when its weights are not installed.
    """
    if name not in F0_METHODS:
        raise UserError("unknown_f0", name=name, known=list(F0_METHODS))
    module, method = F0_METHODS[name].split(":")
    return getattr(import_module(module), method)(device)


def f0_of_clips(method: F0Method, clips: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The f0 of several recordings, at once where the method has a way."""
    many = getattr(method, "many", None)
    return many(clips) if many else [method(clip) for clip in clips]


def default_f0_method() -> str:
    """ "rmvpe" where its weights are, else QUICK_METHOD."""
    return "rmvpe" if _installed_rmvpe() else QUICK_METHOD


def rmvpe_file() -> Path:
    """The weights of RMVPE; NoFile names how to get them."""
    path = _installed_rmvpe()
    if path is None:
        wanted = config.DOWNLOADS / RMVPE_FILES[0]
        raise NoFile("rmvpe", command=config.DOWNLOAD_COMMAND, path=wanted)
    return path


def _installed_rmvpe() -> Path | None:
    files = [config.DOWNLOADS / name for name in RMVPE_FILES]
    return next((path for path in files if path.is_file()), None)
