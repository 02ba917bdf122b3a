"""Training clips -> batches of random crops; which crop is a function of seed and step alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import soundfile
import torch
from torch import Tensor

from train.filelist import Clip
from train.kept import Feature, KeptClips, pinned
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

    def with_draws(self, draws: Draws, rehearsal: RehearsalBatch | None) -> Batch:
        """Return the batch with the random numbers of its step."""
        return replace(self, draws=draws, rehearsal=rehearsal)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        *values, draws, rehearsal = vars(self).values()
        if draws is not None:
            draws = Draws(*map(change, draws[:-1]), draws.crop_start)
        if rehearsal is not None:
            rehearsal = RehearsalBatch(*map(change, rehearsal[:-1]), rehearsal.offset)
        return Batch(*map(change, values), draws, rehearsal)


@dataclass(frozen=True)
class Picked:
    """A batch of clips that a device keeps: their rows there, and the rest of the batch.

    rows: a batch that has rows where content, f0 and samples belong.
    """

    kept: KeptClips
    rows: Batch
    version: Tensor  # (B, 1) of the content
    missing: dict[int, dict[str, Tensor]]  # clips, by number, that are not there yet

    def to(self, device: torch.device) -> Batch:
        """Return the batch on the device that keeps the clips."""
        self.kept.put(self.missing)
        rows, version = self.rows.to(device), self.version.to(device, non_blocking=True)
        return replace(
            rows,
            content=self.kept.gather("content", rows.content, version),
            f0=self.kept.gather("f0", rows.f0),
            wav=self.kept.gather("wav", rows.wav).flatten(1),
        )

    def with_draws(self, draws: Draws, rehearsal: RehearsalBatch | None) -> Picked:
        """Return the batch with the random numbers of its step."""
        return replace(self, rows=self.rows.with_draws(draws, rehearsal))

    def pinned(self) -> Picked:
        """Return it in memory that a CUDA GPU copies from by itself."""
        missing = {number: pinned(clip) for number, clip in self.missing.items()}
        return Picked(self.kept, self.rows.pinned(), self.version.pin_memory(), missing)


class Crop(NamedTuple):
    """What is heard of a clip: a version of its content, and frames."""

    version: int
    start: int
    length: int


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
        self._lengths: dict[tuple[str, int], int] = {}
        self.kept: KeptClips | None = None  # on the device, where the clips fit

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.training) // self.batch_size)

    def batch(self, step: int, num_frames: int) -> Batch | Picked:
        """The batch of a step: crops of num_frames frames, shorter clips padded with silence."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng([self.seed, 1, epoch]).permutation(len(self.training))
        chosen = np.resize(np.roll(order, -position * self.batch_size), self.batch_size)
        random = np.random.default_rng([self.seed, 2, step])
        crops = [self._choose(self.training[i], random, num_frames) for i in chosen]
        if self.kept is not None:
            return self._picked(self.kept, chosen, crops, num_frames)
        return self._stack(
            [
                self._crop(self.training[i], crop, num_frames)
                for i, crop in zip(chosen, crops, strict=True)
            ]
        )

    def whole(self, clip: Clip) -> Batch:
        """One whole clip as a batch of one."""
        length = self._length(clip, 0)
        return self._stack([self._crop(clip, Crop(0, 0, length), length)])

    def _stack(self, items: list[tuple[np.ndarray, ...]]) -> Batch:
        columns = [np.stack(column) for column in zip(*items, strict=True)]
        return Batch(*(torch.from_numpy(column) for column in columns))

    def _length(self, clip: Clip, version: int) -> int:
        """How many frames there are of a version of a clip."""
        if (clip.name, version) not in self._lengths:
            f0, content = (
                np.load(path, mmap_mode="r") for path in (clip.f0_hz, clip.content[version])
            )
            self._lengths[clip.name, version] = min(len(f0), 2 * len(content))
        return self._lengths[clip.name, version]

    def _choose(self, clip: Clip, random: np.random.Generator, num_frames: int) -> Crop:
        version = int(random.integers(len(clip.content)))
        total = self._length(clip, version)
        start = int(random.integers(max(1, total - num_frames + 1)))
        return Crop(version, start, min(num_frames, total - start))

    def _crop(self, clip: Clip, crop: Crop, num_frames: int) -> tuple[np.ndarray, ...]:
        version, start, length = crop
        f0 = np.load(clip.f0_hz, mmap_mode="r")
        content = np.load(clip.content[version], mmap_mode="r")
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

    def keep(self, device: torch.device, left: float) -> None:
        """Keep the clips on a device where they fit; left: GiB that training leaves free there."""
        versions = range(max(len(clip.content) for clip in self.training))
        dim = np.load(self.training[0].content[0], mmap_mode="r").shape[1]
        features = {
            "content": Feature((len(versions), dim), frames=2),
            "f0": Feature(),
            "wav": Feature((self.hop_length,)),
        }
        kept = KeptClips([self._longest(clip) for clip in self.training], features)
        self.kept = kept if kept.fit(device, left) else None

    def _longest(self, clip: Clip) -> int:
        return max(self._length(clip, version) for version in range(len(clip.content)))

    def _picked(
        self, kept: KeptClips, chosen: np.ndarray, crops: list[Crop], num_frames: int
    ) -> Picked:
        """Say where crops of clips lie in what is kept."""
        versions, starts, lengths = (np.array(column) for column in zip(*crops, strict=True))
        clips = [self.training[i] for i in chosen]
        index = kept.index(chosen, lengths, num_frames, starts)
        last = torch.from_numpy(kept.starts[chosen] + starts + lengths - 1)
        rows = Batch(
            content=torch.where(index > 0, index, last[:, None]),
            f0=index,
            speaker=torch.tensor([clip.speaker for clip in clips]),
            wav=index,
            bandwidth=torch.tensor([self._band(clip) for clip in clips], dtype=torch.float32),
        )
        missing = {int(i): self._rows(self.training[i]) for i in {*chosen} - kept.held}
        return Picked(kept, rows, torch.from_numpy(versions)[:, None], missing)

    def _rows(self, clip: Clip) -> dict[str, Tensor]:
        """Read a whole clip, all versions of it, as rows of KeptClips."""
        frames = self._longest(clip)
        versions = [np.load(path)[: -(-frames // 2)] for path in clip.content]
        content = np.zeros((-(-frames // 2), len(versions), versions[0].shape[1]), np.float32)
        for number, version in enumerate(versions):
            content[: len(version), number] = version
        wav, _ = soundfile.read(clip.wav, frames=frames * self.hop_length, dtype="float32")
        wav = np.pad(wav, (0, frames * self.hop_length - len(wav)))
        rows = content, np.load(clip.f0_hz)[:frames].astype(np.float32), wav.reshape(frames, -1)
        return {
            name: torch.from_numpy(x)
            for name, x in zip(("content", "f0", "wav"), rows, strict=True)
        }

    def _band(self, clip: Clip) -> float:
        if clip.name not in self._bandwidth:
            wav, _ = soundfile.read(clip.wav, dtype="float32")
            self._bandwidth[clip.name] = bandwidth(wav, self.sample_rate)
        return self._bandwidth[clip.name]
