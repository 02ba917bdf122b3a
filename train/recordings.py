"""The recordings of a dataset: what is one by its name or, where that says nothing, by content."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from errors import NoFile, UserError
from train.worker import WorkerError

AUDIO_SUFFIXES = frozenset(
    ".wav .wave .bwf .flac .mp3 .mpga .mpa .mp2 .m4a .m4b .m4r .aac .ogg .oga .ogx .opus .wma .asf "
    ".aif .aiff .aifc .au .snd .caf .w64 .rf64 .amr .awb .ac3 .eac3 .dts .tta .wv .ape .mka .weba "
    ".mp4 .m4v .mov .mkv .webm .avi .flv .f4v .ts .mts .m2ts .m2t .3gp .3g2 .3ga .wmv .mpg .mpeg "
    ".vob .ogv".split()
)
USUAL_SUFFIX = re.compile(r"\.\w{1,8}", re.ASCII)  # says what a file is; ". Track" does not
HEAD_BYTES = 400
MARKS = re.compile(  # first bytes of files that hold sound
    rb"RIFF....(WAVE|AVI )|RF64....WAVE|riff\x2e\x91\xcf\x11|fLaC|FORM....AIF[FC]|caff|\.snd|OggS"
    rb"|ID3|\xff[\xfb\xfa\xf3\xf2\xe3\xe2\xf1\xf9]|\x1aE\xdf\xa3|#!AMR|FLV\x01|wvpk|\x0b\x77"
    rb"|\x30\x26\xb2\x75\x8e\x66\xcf\x11|\x00\x00\x01\xba|....ftyp(?!heic|heix|mif1|msf1|avif)"
    rb"|(?=\x47.{187}\x47)|(?=.{4}\x47.{191}\x47)",  # transport streams, the second of cameras
    re.DOTALL,
)


@dataclass(frozen=True)
class Found:
    """Every file of a dataset that is not hidden: recordings, and others with why they are none."""

    recordings: list[Path]
    others: list[tuple[Path, UserError]]


def is_recording(path: Path) -> bool:
    """Whether a file is taken for a recording; what is in it is only asked where its name is mute.

    A link to nowhere counts by its name: who reads it says that it is not there.
    """
    if path.suffix.lower() in AUDIO_SUFFIXES:
        return True
    if USUAL_SUFFIX.fullmatch(path.suffix):
        return False
    try:
        with path.open("rb") as file:
            return MARKS.match(file.read(HEAD_BYTES)) is not None
    except OSError:
        return False


def survey(dataset: Path, leave_out: Path) -> Found:
    """Look at every file of a folder and its subfolders, or at the one file given. NoFile.

    What is hidden or lies in the folder leave_out does not count.
    """
    if dataset.is_file():
        return Found([dataset], [])
    if not dataset.is_dir():
        raise NoFile("no_dataset", folder=dataset)
    found = Found([], [])

    def note(error: OSError) -> None:
        found.others.append((Path(str(error.filename)), UserError("folder_closed")))

    for place, folders, names in os.walk(dataset, onerror=note):
        here = Path(place)
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and here / name != leave_out
        )
        for path in sorted(here / name for name in names if not name.startswith(".")):
            if is_recording(path) and (path.is_file() or path.is_symlink()):
                found.recordings.append(path)
            else:
                found.others.append((path, UserError("no_sound_file")))
    found.recordings.sort()
    return found


def find_recordings(dataset: Path, leave_out: Path) -> list[Path]:
    """Return the recordings of a dataset, see `survey`. WorkerError where there are none."""
    found = survey(dataset, leave_out)
    if not found.recordings:
        raise WorkerError("other_kinds", folder=dataset, count=len(found.others))
    return found.recordings
