"""Clips that a GPU works on together."""

from __future__ import annotations

import torch

from train.experiment import Experiment

CLIPS = 32  # at once


def clip_batches(experiment: Experiment, clips: list[str], device: torch.device) -> list[list[str]]:
    """Clips by length for a GPU, CLIPS in a batch; for a processor one by one as they are."""
    if device.type == "cpu":
        return [[clip] for clip in clips]
    ordered = sorted(clips, key=lambda clip: experiment.wav_16k(clip).stat().st_size)
    return [ordered[i : i + CLIPS] for i in range(0, len(ordered), CLIPS)]
