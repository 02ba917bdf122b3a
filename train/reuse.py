"""f0 and content features of another experiment, for clips that are the same at another rate."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from config import replacing
from train.experiment import Experiment

SAME = 0.98  # correlation of 16 kHz clips cut from different target rates at the same place

logger = logging.getLogger(__name__)


def copy_features(source: Experiment, target: Experiment) -> int:
    """Copy what was extracted from equal clips of the same recordings; returns how many clips.

    f0 is copied unless the target has some by another method; content features where both
    experiments have the same content encoder. Files that are there already stay.
    """
    encoders = [each.read_config()["model"]["content_encoder"] for each in (source, target)]
    same_encoder = encoders[0] == encoders[1]
    has_f0 = source.f0_file.is_file() and (
        not target.f0_file.is_file() or target.f0_file.read_bytes() == source.f0_file.read_bytes()
    )
    if has_f0:
        _copy(source.f0_file, target.f0_file)
    count = 0
    for old, new in _equal_clips(source, target):
        pairs = []
        if has_f0:
            pairs += [(source.f0_hz_file(old), target.f0_hz_file(new))]
            pairs += [(source.f0_coarse_file(old), target.f0_coarse_file(new))]
        if same_encoder:
            pairs += [
                (folder / f"{old}.npy", target.root / folder.name / f"{new}.npy")
                for folder in source.content_folders()
            ]
        count += any([_copy(*pair) for pair in pairs])
    if same_encoder:
        for path in source.root.glob(source.statistics_file(0).name.replace("0", "*")):
            _copy(path, target.root / path.name)
    what = "f0 and features" if same_encoder else f"f0, not features ({' against '.join(encoders)})"
    logger.info(
        "%s of %d of %d clips copied from %s", what, count, len(target.clips()), source.root
    )
    return count


def _equal_clips(source: Experiment, target: Experiment) -> Iterator[tuple[str, str]]:
    """Names of clips in both that are of the same recording and sound the same."""
    numbers = {path: entry.number for path, entry in source.read_sources().items()}
    paths = {str(entry.number): path for path, entry in target.read_sources().items()}
    for new in target.clips():
        number, _, rest = new.partition("_")
        if paths.get(number) not in numbers:
            continue
        old = f"{numbers[paths[number]]}_{rest}"
        if source.wav_16k(old).is_file() and _sounds_same(source.wav_16k(old), target.wav_16k(new)):
            yield old, new


def _sounds_same(first: Path, second: Path) -> bool:
    (one, _), (other, _) = (soundfile.read(path, dtype="float32") for path in (first, second))
    if len(one) != len(other):
        return False
    size = np.linalg.norm(one) * np.linalg.norm(other)
    return bool(size > 0 and np.dot(one, other) / size > SAME)


def _copy(source: Path, target: Path) -> bool:
    """Copy a file that is there and not there yet; returns whether it is in the target now."""
    if source.is_file() and not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as temporary:
            shutil.copyfile(source, temporary)
    return target.exists()
