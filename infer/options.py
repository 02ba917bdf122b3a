"""What a conversion is asked for (no third-party import)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from errors import UserError
from infer.f0 import F0_METHODS, SAMPLE_RATE, default_f0_method
from options import Options, option

PLANNED = "without it from free memory, see config.py"
OUTPUT_RATES = (8000, 192_000)  # Hz
EXACT_SUFFIXES = (".wav", ".flac")  # every sample comes back as it was
PART_SECONDS = 0.05  # shorter parts are not made again
AUDIO_FORMATS = ("", "wav", "flac", "mp3", "m4a", "ogg", "opus")  # "" = the input's own, else wav


@dataclass(frozen=True, kw_only=True)
class RenderOptions(Options):
    """Render a voice: what recordings, songs and live speech are converted with."""

    voice: Path = option("voice model, e.g. assets/lite/demo.pth")
    semitones: float | None = option(
        "shift of the melody, 12 = one octave up; auto brings it to where the voice speaks",
        None,
        within=(-48, 48),
        none="auto",
    )
    f0_method: str = option("how the melody is found", default_f0_method, choices=F0_METHODS)
    index: Path | None = option("feature index; without it the voice's own is looked for", None)
    index_rate: float = option("share of features taken from the index", 0.5, within=(0, 1))
    protect: float = option(
        "keep unvoiced sounds: 0 = most, 0.5 = not at all", 0.33, within=(0, 0.5)
    )
    speaker: int = option("speaker number inside the voice model", 0, within=(0, math.inf))
    device: str = option("torch device: auto, cpu, cuda:0, mps", "auto")
    seed: int = option("same seed, same output", 0, within=(0, 2**63 - 1))


@dataclass(frozen=True, kw_only=True)
class ConvertOptions(RenderOptions):
    """Convert a recording, or a folder of recordings, to another voice."""

    MODULE = "tools.cmd.infer_cli"

    input: Path = option("audio or video file, or a folder of them")
    output: Path = option("file to write, or a folder when the input is one")
    singing: bool = option(
        "with --semitones auto: by whole octaves, so that it stays in tune with its music", False
    )
    rms_mix_rate: float = option(
        "loudness: 0 = follow the source, 1 = as the voice speaks", 0.25, within=(0, 1)
    )
    denoise: bool = option(
        "take noise out first: less hiss, but words can get lost; needs requirements-songs.txt",
        False,
    )
    f0_file: Path | None = option(
        "melody of the recording instead of a measured one: lines of seconds,hz; 0 = unvoiced", None
    )
    save_f0: Path | None = option("also write the melody, before its shift, to this file", None)
    into: Path | None = option(
        "earlier result (.wav or .flac) of this recording: only a part of it is made again", None
    )
    from_: float | None = option(
        "with --into: second at which the part begins", None, within=(0, math.inf)
    )
    to: float | None = option("with --into: second at which it ends", None, within=(0, math.inf))
    resample_rate: int = option("sample rate of the output in Hz, 0 = the voice's own", 0)
    format: str = option("output format of a folder: wav flac mp3 m4a ogg opus", "", AUDIO_FORMATS)
    report: Path | None = option(
        "note in this file what became of each recording; what is done by it is left out", None
    )
    x_pad: float | None = option(f"seconds of context of a chunk; {PLANNED}", None, within=(0, 60))
    x_query: float | None = option(
        f"seconds around a cut that are searched for silence; {PLANNED}", None, within=(0.1, 60)
    )
    x_center: float | None = option(f"seconds between two cuts; {PLANNED}", None, within=(2, 3600))
    x_max: float | None = option(
        f"seconds up to which a recording is left whole; {PLANNED}", None, within=(2, 3600)
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        low, high = OUTPUT_RATES
        if self.resample_rate and not low <= self.resample_rate <= high:
            raise UserError("resample", value=self.resample_rate, low=low, high=high)
        given = [each is not None for each in (self.into, self.from_, self.to)]
        if any(given):
            if not all(given):
                raise UserError("part_given")
            if self.save_f0:
                raise UserError("part_melody")
            if self.output.suffix.lower() not in EXACT_SUFFIXES:
                raise UserError("part_output", file=self.output, known=list(EXACT_SUFFIXES))
            first, last = self.part or (0.0, 0.0)
            if last - first < PART_SECONDS:
                raise UserError("part_short", first=first, last=last, needed=PART_SECONDS)

    @property
    def part(self) -> tuple[float, float] | None:
        """First and last second of the part that is made again, None for the whole recording."""
        return None if self.from_ is None or self.to is None else (self.from_, self.to)

    @property
    def chunk_sizes(self) -> dict[str, float]:
        """Those of the four numbers that were given."""
        names = ("x_pad", "x_query", "x_center", "x_max")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


STREAM_MODES = {  # seconds: block, look-ahead, context
    "fast": (0.06, 0.04, 1.2),
    "balanced": (0.08, 0.08, 1.5),
    "best": (0.2, 0.16, 3.0),
}


@dataclass(frozen=True, kw_only=True)
class StreamOptions(RenderOptions):
    """Convert speech while it is spoken."""

    MODULE = "tools.live.server"

    mode: str = option("fast answers soonest, best sounds best", "balanced", choices=STREAM_MODES)
    block_seconds: float | None = option(
        "converted at once; without it as the mode says", None, within=(0.02, 2)
    )
    look_ahead_seconds: float | None = option(
        "sound that a block waits for; without it as the mode says", None, within=(0.02, 2)
    )
    context_seconds: float | None = option(
        "sound before a block that is heard with it, at first; without it as the mode says",
        None,
        within=(1, 9),
    )
    rms_mix_rate: float = option(
        "loudness: 0 = follow the source, 1 = as the voice speaks", 0.25, within=(0, 1)
    )
    gate_db: float = option("below this level (dBFS) there is silence", -60.0, within=(-100, 0))
    denoise: bool = option(
        "take noise out first: less hiss, but words can get lost; needs requirements-songs.txt",
        False,
    )
    input_rate: int = option("sample rate of what comes in, Hz", SAMPLE_RATE, within=OUTPUT_RATES)
    output_rate: int = option(
        "sample rate of what goes out, Hz; 0 = the voice's own", 0, within=(0, OUTPUT_RATES[1])
    )

    @property
    def timing(self) -> tuple[float, float, float]:
        """Seconds of block, look-ahead and context."""
        given = (self.block_seconds, self.look_ahead_seconds, self.context_seconds)
        usual = STREAM_MODES[self.mode]
        block, ahead, context = (
            mode if each is None else each for each, mode in zip(given, usual, strict=True)
        )
        return block, ahead, context
