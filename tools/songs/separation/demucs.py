"""Hybrid Transformer Demucs (Rouard, Massa & Défossez 2023, arXiv:2211.08553), by demucs-infer."""

from __future__ import annotations

import inspect
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from demucs_infer.htdemucs import HTDemucs

import config
from errors import CheckpointError, UserError
from infer.voice.tensors import load_weights, read_tensors
from tools.machine.assets import DEMUCS
from tools.songs.separation import no_weights

PACKAGES = ("demucs.", "demucs_infer.", "fractions.")  # whose classes a file of Demucs names
SEGMENT = Fraction(39, 5)  # seconds; that of every Hybrid Transformer Demucs there is
LEAST_SECONDS = 0.9


class Demucs:
    """Takes a song apart into drums, bass, other and vocals."""

    def __init__(self, weights: Path | None, device: str) -> None:
        """weights: a .th file of one Hybrid Transformer Demucs."""
        self._device = config.pick_device(device)
        path = weights or DEMUCS.path
        if not path.is_file():
            raise no_weights(path)
        self._network = load_demucs(path).to(self._device)
        self.sample_rate = int(self._network.samplerate)
        self.stems = tuple(self._network.sources)
        self.segment = int(self._network.segment * self.sample_rate)
        self.least_segment = round(LEAST_SECONDS * self.sample_rate)

    @torch.inference_mode()
    def __call__(self, audio: np.ndarray) -> np.ndarray:
        # Its own padding to the length that it was trained with would undo shorter segments.
        self._network.use_train_segment = audio.shape[1] * 2 > self.segment
        level = torch.from_numpy(audio).to(self._device)
        middle = level.mean(0)
        mean, deviation = middle.mean(), middle.std() + 1e-5
        stems = self._network(((level - mean) / deviation)[None])[0]
        return (stems * deviation + mean).float().cpu().numpy()[..., : audio.shape[1]]


def load_demucs(path: Path) -> HTDemucs:
    """The network of a .th file, in which classes are only named: nothing of it is run."""
    package = read_tensors(path, shells=PACKAGES)
    try:
        kind, arguments, state = package["klass"], list(package["args"]), package["state"]
        named = dict(package["kwargs"])
    except (TypeError, KeyError, ValueError) as error:
        reason = UserError("not_demucs", name=type(package).__name__)
        raise CheckpointError("damaged", file=path, reason=reason) from error
    if getattr(kind, "__name__", "") != HTDemucs.__name__:
        reason = UserError("not_demucs", name=getattr(kind, "__name__", str(kind)))
        raise CheckpointError("damaged", file=path, reason=reason)
    known = inspect.signature(HTDemucs).parameters
    named = {name: value for name, value in named.items() if name in known}
    if not isinstance(named.get("segment", 10), int | float):  # a fraction, which is not read
        named["segment"] = SEGMENT
    try:
        network = HTDemucs(*arguments, **named)
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        reason = UserError("other", message=str(error) or type(error).__name__)
        raise CheckpointError("damaged", file=path, reason=reason) from error
    load_weights(network, state, path)
    return network.eval().requires_grad_(False)
