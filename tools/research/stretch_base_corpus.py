r"""Make other people out of the speakers of a corpus, for the base model.

    python -m tools.research.stretch_base_corpus --source corpus/real --output corpus/stretched
    python -m tools.research.stretch_base_corpus --source corpus/synth --split synth \
        --output corpus/stretched
A recording's samples are declared to be of another rate: pitch and formants move together, as with
a smaller or larger head, and so does the tempo. The recordings keep their licences. Files that
exist are kept.
"""

from __future__ import annotations

import sys
import zlib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from options import Options, option, parse_options
from tools.cmd.terminal import exit_code
from tools.research.build_base_corpus import COLUMNS, read_manifest, write, write_manifest

STRETCHES = (0.78, 0.86, 0.93, 1.08, 1.17, 1.28)  # of the rate that the samples were recorded at
SECONDS = 130.0  # of recordings for each new person, before they are stretched
LEAST_SECONDS = 40.0  # a speaker with less makes none
MANY_SECONDS = 240.0  # a speaker with more makes twice as many


@dataclass(frozen=True, kw_only=True)
class StretchBaseCorpusOptions(Options):
    """Make two or four other people out of every speaker of a corpus."""

    MODULE = "tools.research.stretch_base_corpus"

    source: Path = option("folder of recordings with their manifest.tsv")
    split: str = option("which recordings: their split in the manifest", "train")
    output: Path = option("folder to write <speaker>_x<percent>/*.flac and manifest.tsv to")


def stretch_base_corpus(options: StretchBaseCorpusOptions) -> float:
    """Write every new person's recordings and manifest.tsv; returns the minutes there are."""
    speakers: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in read_manifest(options.source).values():
        named = dict(zip(COLUMNS, row, strict=True))
        if named["split"] == options.split:
            speakers[named["speaker"]].append(named)
    if not speakers:
        raise ValueError(f"{options.source} has no manifest.tsv with a split {options.split!r}")
    made = read_manifest(options.output)
    for speaker, clips in speakers.items():
        total = sum(float(clip["seconds"]) for clip in clips)
        if total < LEAST_SECONDS:
            continue
        random = np.random.default_rng(zlib.crc32(speaker.encode()))
        for stretch in random.choice(STRETCHES, 4 if total > MANY_SECONDS else 2, replace=False):
            name, left = f"{speaker}_x{round(100 * stretch)}", SECONDS * stretch
            for number in random.permutation(len(clips)):
                if left < 0:
                    break
                left -= float(clips[number]["seconds"])
                row = _stretch(clips[number], options, name, float(stretch))
                made[row[0]] = row
    write_manifest(options.output, made)
    return sum(float(row[3]) for row in made.values()) / 60


def _stretch(
    clip: dict[str, str], options: StretchBaseCorpusOptions, name: str, stretch: float
) -> tuple[str, ...]:
    """Write one recording as the new person speaks it; returns its row."""
    path = options.output / name / f"{Path(clip['file']).stem}.flac"
    if not path.exists():
        audio, rate = soundfile.read(options.source / clip["file"])
        write(path, audio, round(rate * stretch))
    info = soundfile.info(path)
    changed = {
        "file": f"{name}/{path.name}",
        "speaker": name,
        "sample_rate": str(info.samplerate),
        "seconds": f"{info.duration:.3f}",
    }
    return tuple((clip | changed).values())


def main() -> int:
    options = parse_options(StretchBaseCorpusOptions)
    return exit_code(lambda: print(f"{stretch_base_corpus(options):.1f} minutes in all"))


if __name__ == "__main__":
    sys.exit(main())
