"""Training clips -> batches of random crops; which crop is a function of seed and step alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import soundfile
import torch
from torch import Tensor

from train.filelist import Clip
from train.rehearsal import RehearsalBatch

BAND_EDGE_DB = -90.0  # below a clip's loudest bin; resampling leaves less than this above the band
HELD_OUT_SHARE = 0.04
HELD_OUT_FROM = 10  # clips; with fewer, every one is needed for training
HELD_OUT_MOST = 16


class Draws(NamedTuple):
    """Random numbers of a step: where its harmonics start, and which noise it hears."""

    phase: Tensor  # (B,) cycles
    content_noise: Tensor  # (B, T, dim) normal, without the log energy's
    source_noise: Tensor  # (B, T * hop_length) normal
    crop_start: int  # first sample that the discriminators see


@dataclass(frozen=True)
class Batch:
    """A batch of crops of equal length, or whole clips one at a time."""

    content: Tensor  # (B, T, dim) at 100 frames/s
    f0: Tensor  # (B, T) Hz
    speaker: Tensor  # (B,)
    wav: Tensor  # (B, T * hop_length)
    bandwidth: Tensor  # (B,) Hz
    draws: Draws | None = None
    rehearsal: RehearsalBatch | None = None  # by the voice, of other people's words

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device; a pinned one is copied without waiting."""
        return self._each(lambda x: x.to(device, non_blocking=x.is_pinned()))

    def pinned(self) -> Batch:
        """Return the batch in memory that a CUDA GPU copies from by itself."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        *values, draws, rehearsal = vars(self).values()
        if draws is not None:
            draws = Draws(*map(change, draws[:-1]), draws.crop_start)
        if rehearsal is not None:
            rehearsal = RehearsalBatch(*map(change, rehearsal[:-1]), rehearsal.offset)
        return Batch(*map(change, values), draws, rehearsal)


def bandwidth(wav: np.ndarray, sample_rate: int) -> float:
    """Hz up to which a clip holds anything; half its sample rate unless it was recorded lower."""
    size = min(1024, len(wav))
    frames = np.lib.stride_tricks.sliding_window_view(wav, size)[::512]
    spec = np.abs(np.fft.rfft(frames * np.hanning(frames.shape[1]))).max(0)
    loud = np.flatnonzero(spec > spec.max() * 10 ** (BAND_EDGE_DB / 20))
    return float((loud[-1] + 1) / len(spec) * sample_rate / 2) if len(loud) else sample_rate / 2


class Dataset:
    """Clips of an experiment, split into training and a few held-out ones."""

    def __init__(
        self, clips: list[Clip], sample_rate: int, hop_length: int, batch_size: int, seed: int
    ) -> None:
        self.sample_rate, self.hop_length = sample_rate, hop_length
        self.batch_size, self.seed = batch_size, seed
        order = np.random.default_rng(0).permutation(len(clips))  # the same for every seed
        wanted = max(int(len(clips) * HELD_OUT_SHARE), int(len(clips) >= HELD_OUT_FROM))
        num_held_out = min(wanted, HELD_OUT_MOST)
        self.held_out = [clips[i] for i in order[:num_held_out]]
        self.training = [clips[i] for i in sorted(order[num_held_out:])]
        self._bandwidth: dict[str, float] = {}

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.training) // self.batch_size)

    def batch(self, step: int, num_frames: int) -> Batch:
        """The batch of a step: crops of num_frames frames, shorter clips padded with silence."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng([self.seed, 1, epoch]).permutation(len(self.training))
        chosen = np.resize(np.roll(order, -position * self.batch_size), self.batch_size)
        random = np.random.default_rng([self.seed, 2, step])
        return self._stack([self._crop(self.training[i], random, num_frames) for i in chosen])

    def whole(self, clip: Clip) -> Batch:
        """One whole clip as a batch of one."""
        return self._stack([self._crop(clip, None, 0)])

    def _stack(self, items: list[tuple[np.ndarray, ...]]) -> Batch:
        columns = [np.stack(column) for column in zip(*items, strict=True)]
        return Batch(*(torch.from_numpy(column) for column in columns))

    def _crop(
        self, clip: Clip, random: np.random.Generator | None, num_frames: int
    ) -> tuple[np.ndarray, ...]:
        f0 = np.load(clip.f0_hz, mmap_mode="r")
        version = 0 if random is None else int(random.integers(len(clip.content)))
        content = np.load(clip.content[version], mmap_mode="r")
        total = min(len(f0), 2 * len(content))
        num_frames = num_frames or total
        start = 0 if random is None else int(random.integers(max(1, total - num_frames + 1)))
        length = min(num_frames, total - start)
        rows = np.arange(start, start + length) // 2
        padding = num_frames - length
        wav, _ = soundfile.read(
            clip.wav, start=start * self.hop_length, frames=length * self.hop_length,
            dtype="float32", fill_value=0.0,
        )  # fmt: skip
        return (
            np.pad(content[rows[0] : rows[-1] + 1][rows - rows[0]], ((0, padding), (0, 0)), "edge"),
            np.pad(f0[start : start + length], (0, padding)).astype(np.float32),
            np.int64(clip.speaker),
            np.pad(wav, (0, num_frames * self.hop_length - len(wav))),
            np.float32(self._band(clip)),
        )

    def _band(self, clip: Clip) -> float:
        if clip.name not in self._bandwidth:
            wav, _ = soundfile.read(clip.wav, dtype="float32")
            self._bandwidth[clip.name] = bandwidth(wav, self.sample_rate)
        return self._bandwidth[clip.name]
