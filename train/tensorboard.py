"""Losses, sound and pictures for TensorBoard, in events.out.tfevents.* of the experiment."""

from __future__ import annotations

import importlib.util
import logging
from typing import TYPE_CHECKING

import numpy as np
import torch

from train.experiment import Experiment
from train.standard.spectrogram import SpectrogramParams, linear_spectrogram, log_mel

if TYPE_CHECKING:
    from torch import Tensor

PICTURE_WINDOW = 2048
PICTURE_MELS = 125
# black, violet, orange, pale yellow: quiet to loud
COLOURS = torch.tensor([[0.0, 0.0, 0.0], [0.4, 0.1, 0.5], [0.95, 0.45, 0.2], [1.0, 1.0, 0.75]])

logger = logging.getLogger(__name__)


class Curves:
    """Writes events; without the package tensorboard it says so once and writes nothing."""

    def __init__(self, experiment: Experiment, step: int) -> None:
        """step: where this run begins; what an earlier run wrote after it is hidden."""
        self.writer = None
        if importlib.util.find_spec("tensorboard") is None:
            logger.info("no curves for TensorBoard: the package tensorboard is not installed")
            return
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(experiment.root), purge_step=step or None)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()

    def losses(self, step: int, values: dict[str, float]) -> None:
        """Mean losses by name."""
        if self.writer is not None:
            for name, value in values.items():
                self.writer.add_scalar(name, value, step)

    def sample(self, step: int, made: np.ndarray, original: np.ndarray, sample_rate: int) -> None:
        """A clip as the voice makes it and as it was recorded, (N,) each: sound and log mel."""
        if self.writer is None:
            return
        for name, wav in (("made", made), ("original", original)):
            audio = torch.from_numpy(np.asarray(wav, np.float32)).clamp(-1, 1)
            self.writer.add_audio(f"audio/{name}", audio[None], step, sample_rate)
            self.writer.add_image(f"mel/{name}", mel_picture(audio, sample_rate), step)
        self.writer.flush()


def mel_picture(wav: Tensor, sample_rate: int) -> Tensor:
    """The log mel spectrogram of (N,) as a picture (3, n_mels, T) in 0..1, low notes below."""
    hop = sample_rate // 100
    params = SpectrogramParams(sample_rate, PICTURE_WINDOW, hop, PICTURE_WINDOW, PICTURE_MELS)
    mel = log_mel(linear_spectrogram(wav[None], params), params)[0].flip(0)
    level = (mel - mel.min()) / (mel.max() - mel.min()).clamp(min=1e-6) * (len(COLOURS) - 1)
    lower = level.long().clamp(max=len(COLOURS) - 2)
    share = (level - lower)[..., None]
    return (COLOURS[lower] * (1 - share) + COLOURS[lower + 1] * share).permute(2, 0, 1)
