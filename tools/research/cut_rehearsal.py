"""Make assets/lite/rehearsal: half a minute of each speaker of the corpus's train split.

A maintainer's tool. Training a voice says it with other people's words (train/rehearsal.py).
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from config import replacing
from infer.audio.reader import load
from infer.f0 import SAMPLE_RATE
from options import Options, option, parse_options

SECONDS = (3.0, 7.0)  # of a clip
CLIPS = 5  # of a speaker, evenly spaced over those of that length
PAUSE = 0.2  # seconds between them
LEVEL = 0.5  # peak of a clip


@dataclass(frozen=True, kw_only=True)
class CutRehearsalOptions(Options):
    """Join a few clips of each speaker of the train split into one Opus file."""

    MODULE = "tools.research.cut_rehearsal"

    corpus: Path = option("folder with manifest.tsv")
    output: Path = option("folder to write to")


def cut_rehearsal(options: CutRehearsalOptions) -> None:
    """Write a file for each speaker."""
    rows = defaultdict(list)
    with (options.corpus / "manifest.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["split"] == "train" and SECONDS[0] <= float(row["seconds"]) <= SECONDS[1]:
                rows[row["speaker"]].append(options.corpus / row["file"])
    options.output.mkdir(parents=True, exist_ok=True)
    for speaker, files in rows.items():
        pieces = []
        for number in np.linspace(0, len(files) - 1, CLIPS).astype(int):
            audio, _ = load(files[number], SAMPLE_RATE)
            pieces += [audio * (LEVEL / np.abs(audio).max()), np.zeros(int(PAUSE * SAMPLE_RATE))]
        with replacing(options.output / f"{speaker}.ogg") as temporary:
            soundfile.write(
                temporary, np.concatenate(pieces), SAMPLE_RATE, format="OGG", subtype="OPUS"
            )


if __name__ == "__main__":
    cut_rehearsal(parse_options(CutRehearsalOptions, sys.argv[1:]))
