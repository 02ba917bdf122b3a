"""What a cover is asked for (no third-party import)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from errors import UserError
from infer.f0 import F0_METHODS, default_f0_method
from options import Options, option
from tools.songs.separation import DEFAULT_SEPARATOR, SEPARATORS


@dataclass(frozen=True, kw_only=True)
class CoverOptions(Options):
    """Make a cover of a song: its lead sung by another voice, all else as it was."""

    MODULE = "tools.cmd.cover"

    input: Path | None = option("song, or a video with one, that is separated into stems", None)
    vocals: Path | None = option(
        "the song's vocals where you have them: nothing is separated", None
    )
    accompaniment: Path | None = option("the rest of the song, with --vocals", None)
    drums: Path | None = option("the accompaniment's drums; they keep their pitch", None)
    voice: Path = option("voice model, e.g. assets/lite/demo.pth")
    output: Path = option("wav flac mp3 m4a ogg or opus; of a video also mp4 mov or mkv")
    stems: Path | None = option("folder for the cover's stems: voice and accompaniment", None)
    separator: str = option("what separates a song", DEFAULT_SEPARATOR, choices=SEPARATORS)
    weights: Path | None = option("weights of the separator, without it the fetched ones", None)
    denoise: bool = option("take noise from the vocals before they are converted", False)
    semitones: float | None = option(
        "shift of the lead alone; without it the octaves that suit the voice",
        None,
        within=(-48, 48),
    )
    transpose: float = option("shift of the whole song in semitones", 0.0, within=(-12, 12))
    f0_method: str = option("how the melody is found", default_f0_method, choices=F0_METHODS)
    index: Path | None = option("feature index; without it the voice's own is looked for", None)
    index_rate: float = option("share of features taken from the index", 0.5, within=(0, 1))
    protect: float = option(
        "keep breaths and consonants: 0 = most, 0.5 = not at all", 0.33, within=(0, 0.5)
    )
    speaker: int = option("speaker number inside the voice model", 0, within=(0, math.inf))
    device: str = option("torch device: auto, cpu, cuda:0, mps", "auto")
    seed: int = option("same seed, same output", 0, within=(0, 2**63 - 1))
    lead_db: float = option("dB by which the lead is louder than it was", 0.0, within=(-24, 24))
    sides: float = option(
        "share of what is at the sides of the vocals (room, doubling)", 1.0, within=(0, 1)
    )
    high_pass: float = option("Hz below which the lead is cut, 0 = not", 0.0, within=(0, 500))
    de_ess: float = option("how much sharp s sounds are softened", 0.0, within=(0, 1))
    compress: float = option("how much loud and soft notes are evened out", 0.0, within=(0, 1))
    reverb: float = option("how much room is added to the lead", 0.0, within=(0, 1))
    report: Path | None = option("also write what was made to this file, as JSON", None)
    loudness: float | None = option(
        "loudness of the cover in LUFS, without it the song's own", None, within=(-40, -6)
    )

    @property
    def song(self) -> Path:
        """The file that names the song. UserError: there is none, or its parts do not fit."""
        if (self.vocals is None) != (self.accompaniment is None):
            raise UserError("both_stems")
        found = self.input or self.vocals
        if found is None or (self.input and self.vocals):
            raise UserError("song_or_stems")
        return found
