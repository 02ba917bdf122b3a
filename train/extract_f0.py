"""Worker 2: 16 kHz clips -> f0 curves."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np

from config import pick_device, replacing
from infer.audio.reader import load
from infer.f0 import HOP_LENGTH, SAMPLE_RATE, F0Method, f0_of_clips, load_f0_method
from infer.f0.contour import quantize
from train.clip_batches import clip_batches
from train.experiment import Experiment, write_json
from train.options import ExtractF0Options, parse_options
from train.worker import Progress, WorkerError, run_worker

logger = logging.getLogger(__name__)


def extract_f0(options: ExtractF0Options) -> int:
    """Extract f0 of every clip that has none yet; returns how many clips were done.

    A clip of N samples gets N // 160 frames. Another method than last time begins anew. Raises
    WorkerError naming the clips that failed, after all others are done.
    """
    experiment = Experiment(options.experiment)
    experiment.read_config()
    clips = experiment.clips()
    if not clips:
        raise WorkerError("no_clips", folder=experiment.root)
    _use_method(experiment, options.method)
    todo = [
        clip
        for clip in clips
        if not (experiment.f0_hz_file(clip).is_file() and experiment.f0_coarse_file(clip).is_file())
    ]
    if not todo:
        logger.info("nothing to do: all %d clips have their f0", len(clips))
        return 0
    device = pick_device(options.device)
    method = load_f0_method(options.method, str(device))
    batches = clip_batches(experiment, todo, device)
    failed = []
    done = len(clips) - len(todo)
    with Progress(len(clips), "files", "extract_f0", done=done) as progress:
        for batch in batches:
            failed += _extract(experiment, method, batch)
            progress.advance(len(batch))
    if failed:
        shown = ", ".join(failed[:5]) + (" ..." if len(failed) > 5 else "")
        raise WorkerError("clips_failed", failed=len(failed), all=len(todo), names=shown)
    return len(todo)


def _extract(experiment: Experiment, method: F0Method, clips: list[str]) -> list[str]:
    """Write the f0 of clips; returns those that failed, each of which fails alone."""
    try:
        audios = [load(experiment.wav_16k(clip), SAMPLE_RATE)[0] for clip in clips]
        found = f0_of_clips(method, audios)
    except (ValueError, RuntimeError) as error:
        if len(clips) > 1:
            return [name for clip in clips for name in _extract(experiment, method, [clip])]
        if isinstance(error, RuntimeError):
            raise
        logger.warning("failed %s: %s", experiment.wav_16k(clips[0]), error)
        return clips
    for clip, audio, f0 in zip(clips, audios, found, strict=True):
        assert f0.shape == (len(audio) // HOP_LENGTH,), (method, f0.shape)
        save_array(experiment.f0_hz_file(clip), f0.astype(np.float64))
        save_array(experiment.f0_coarse_file(clip), quantize(f0))
    return []


def _use_method(experiment: Experiment, method: str) -> None:
    """Make the folders, and empty them when another method filled them."""
    folders = (experiment.f0_hz, experiment.f0_coarse)
    if experiment.f0_file.is_file():
        last = json.loads(experiment.f0_file.read_text(encoding="utf-8"))["method"]
        if last != method:
            logger.warning("f0 was extracted with %s; all clips are done again", last)
            for folder in folders:
                for path in folder.glob("*.npy"):
                    path.unlink()
    for folder in folders:
        folder.mkdir(exist_ok=True)
    write_json(experiment.f0_file, {"method": method})


def save_array(path: Path, array: np.ndarray) -> None:
    """Write an array as .npy, whole or not at all."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, array)


if __name__ == "__main__":
    run_worker(extract_f0, parse_options(ExtractF0Options))
