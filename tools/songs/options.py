"""What a cover is asked for (no third-party import)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from errors import UserError
from infer.options import RenderOptions
from options import option
from tools.songs.separation import DEFAULT_SEPARATOR, SEPARATORS


@dataclass(frozen=True, kw_only=True)
class CoverOptions(RenderOptions):
    """Make a cover of a song: its lead sung by another voice, all else as it was."""

    MODULE = "tools.cmd.cover"

    input: Path | None = option("song, or a video with one, that is separated into stems", None)
    vocals: Path | None = option(
        "the song's vocals where you have them: nothing is separated", None
    )
    accompaniment: Path | None = option("the rest of the song, with --vocals", None)
    drums: Path | None = option("the accompaniment's drums; they keep their pitch", None)
    lead: Path | None = option(
        "the lead as it was converted already, edited perhaps: nothing is converted", None
    )
    output: Path = option("wav flac mp3 m4a ogg or opus; of a video also mp4 mov or mkv")
    stems: Path | None = option("folder for the cover's stems: voice and accompaniment", None)
    separator: str = option("what separates a song", DEFAULT_SEPARATOR, choices=SEPARATORS)
    weights: Path | None = option("weights of the separator, without it the fetched ones", None)
    backing: Path | None = option(
        "weights of a RoFormer that takes the lead from the vocals; backing vocals stay",
        None,
    )
    dereverb: Path | None = option(
        "weights of a RoFormer that takes the room from the vocals before they are converted", None
    )
    denoise: bool = option(
        "take noise from the vocals before they are converted; words can get lost", False
    )
    semitones: float | None = option(
        "shift of the lead alone; auto moves it by the octaves that suit the voice",
        None,
        within=(-48, 48),
        none="auto",
    )
    transpose: float = option("shift of the whole song in semitones", 0.0, within=(-12, 12))
    lead_db: float = option("dB by which the lead is louder than it was", 0.0, within=(-24, 24))
    sides: float = option(
        "share of what is at the sides of the vocals (room, doubling)", 1.0, within=(0, 1)
    )
    high_pass: float = option("Hz below which the lead is cut, 0 = not", 0.0, within=(0, 500))
    bass_db: float = option(
        "dB by which the lead is raised or lowered below 200 Hz", 0.0, within=(-12, 12)
    )
    presence_db: float = option(
        "dB by which it is raised or lowered around 3 kHz", 0.0, within=(-12, 12)
    )
    air_db: float = option("dB by which it is raised or lowered above 9 kHz", 0.0, within=(-12, 12))
    de_ess: float = option("how much sharp s sounds are softened", 0.0, within=(0, 1))
    compress: float = option("how much loud and soft notes are evened out", 0.0, within=(0, 1))
    reverb: float = option("how much room is added to the lead", 0.0, within=(0, 1))
    keep_gb: float = option(
        "GB that stages of all songs and recordings of the page's covers may take; the oldest go",
        10.0,
        within=(0, math.inf),
    )
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
