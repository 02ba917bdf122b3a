"""Which clips are complete, as RVC's filelist.txt: wav|content|pitch|f0|speaker."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from config import replacing
from infer.f0.contour import f0_range, median_f0
from train.experiment import Experiment
from train.worker import WorkerError


@dataclass(frozen=True)
class Clip:
    """The files of one training clip; content has one file per altered version."""

    name: str
    wav: Path
    content: tuple[Path, ...]
    f0_coarse: Path
    f0_hz: Path
    spectrogram: Path
    speaker: int


def complete_clips(experiment: Experiment, content_dim: int, use_f0: bool = True) -> list[Clip]:
    """Clips that have every feature; WorkerError says which worker to run if there is none."""
    versions = 1
    while experiment.content(content_dim, versions).is_dir():
        versions += 1
    found = []
    speakers = experiment.speakers()
    lacking: dict[str, int] = {"train.extract_f0": 0, "train.extract_features": 0}
    for name, speaker in speakers.items():
        content = [
            experiment.content_file(name, content_dim, version) for version in range(versions)
        ]
        clip = Clip(
            name=name,
            wav=experiment.target_wav(name),
            content=tuple(path for path in content if path.exists()),
            f0_coarse=experiment.f0_coarse_file(name),
            f0_hz=experiment.f0_hz_file(name),
            spectrogram=experiment.spectrogram_file(name),
            speaker=speaker,
        )
        has_f0 = not use_f0 or clip.f0_hz.exists()
        lacking["train.extract_f0"] += not has_f0
        lacking["train.extract_features"] += not content[0].exists()
        if has_f0 and content[0].exists():
            found.append(clip)
    if not found:
        missing = [worker for worker, count in lacking.items() if count == len(speakers)]
        first = missing[0] if speakers and missing else "train.preprocess"
        raise WorkerError("nothing_to_train", folder=experiment.root, step=first)
    return found


def silent_clip(experiment: Experiment, content_dim: int, speaker: int) -> Clip | None:
    """Return the clip of silence that train.extract_features made, None where there is none."""
    silence, name = experiment.silence, experiment.silence.name
    clip = Clip(
        name=name,
        wav=silence.target_wav(name),
        content=(silence.content_file(name, content_dim),),
        f0_coarse=silence.f0_coarse_file(name),
        f0_hz=silence.f0_hz_file(name),
        spectrogram=silence.spectrogram_file(name),
        speaker=speaker,
    )
    return clip if clip.content[0].is_file() else None


def pitch_of(clips: Sequence[Clip]) -> dict[str, dict[int, Any]]:
    """Return f0_median and f0_range of a voice, in Hz by speaker, as its files keep them."""
    f0 = defaultdict(list)
    for clip in clips:
        f0[clip.speaker].append(np.load(clip.f0_hz))
    whole = {speaker: np.concatenate(parts) for speaker, parts in f0.items()}
    voiced = {speaker: each for speaker, each in whole.items() if (each > 0).any()}
    return {
        "f0_median": {speaker: median_f0(each) for speaker, each in voiced.items()},
        "f0_range": {speaker: f0_range(each) for speaker, each in voiced.items()},
    }


def write_filelist(experiment: Experiment, clips: list[Clip], use_f0: bool = True) -> None:
    """Write filelist.txt, which other RVC programs read."""
    rows = [
        "|".join(
            [
                str(clip.wav.absolute()),
                str(clip.content[0].absolute()),
                *(str(path.absolute()) for path in (clip.f0_coarse, clip.f0_hz) if use_f0),
                str(clip.speaker),
            ]
        )
        for clip in clips
    ]
    with replacing(experiment.filelist) as temporary:
        temporary.write_text("\n".join(rows), encoding="utf-8")
