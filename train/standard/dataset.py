"""Whole clips in batches of similar length, as the standard recipe trains on them.

What a batch holds, its random numbers too, is a function of seed, epoch, step and clip, so that it
does not matter how often training was stopped, or how the batch is shared out.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from operator import itemgetter

import numpy as np
import soundfile
import torch
import torch.nn.functional as F
from torch import Tensor

from errors import CheckpointError
from infer.models.standard.synthesizer import Noise
from infer.voice.hparams import StandardParams
from infer.voice.tensors import read_tensors, save_tensors
from train.filelist import Clip
from train.kept import Feature, KeptClips, pinned
from train.standard.spectrogram import SpectrogramParams, linear_spectrogram
from train.worker import WorkerError

MOST_FRAMES = 900  # of a clip that training looks at
BUCKET_FRAMES = 75  # clips whose lengths differ by less than this share a batch


@dataclass(frozen=True)
class Utterances:
    """A batch; frames are 10 ms, T of the longest clip, zeros behind a shorter one's end."""

    content: Tensor  # (B, T, dim)
    spec: Tensor  # (B, F, T) linear
    wav: Tensor  # (B, 1, T * hop_length)
    lengths: Tensor  # (B,) frames
    speaker: Tensor  # (B,)
    latent_noise: Tensor  # (B, inter_dim, T)
    crop: Tensor  # (B,) in 0..1, where the rendered crop lies
    pitch: Tensor | None = None  # (B, T) 1..255
    f0: Tensor | None = None  # (B, T) Hz
    source_noise: Tensor | None = None  # (B, segment samples)

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def frames(self) -> int:
        """T, of the longest clip or more."""
        return self.spec.shape[-1]

    @property
    def noise(self) -> Noise:
        """The random numbers as the synthesizer takes them."""
        source = None if self.source_noise is None else self.source_noise[..., None]
        return Noise(self.latent_noise, source, self.crop)

    def to(self, device: torch.device) -> Utterances:
        """Return the batch on a device; a pinned one is copied without waiting."""
        return self._each(lambda x: x.to(device, non_blocking=x.is_pinned()))

    def pinned(self) -> Utterances:
        """Return the batch in memory that a CUDA GPU copies from by itself."""
        return self._each(Tensor.pin_memory)

    def copied(self) -> Utterances:
        """Return the same in tensors of its own."""
        return self._each(Tensor.clone)

    def fill(self, batch: Utterances) -> None:
        """Take over the content of another batch of the same shapes."""
        for own, other in zip(vars(self).values(), vars(batch).values(), strict=True):
            if own is not None:
                own.copy_(other)

    def padded(self, frames: int) -> Utterances:
        """Return the batch with zeros up to so many frames: the same losses and gradients."""
        more, hop = frames - self.frames, self.wav.shape[-1] // self.frames
        changed = {"content": (0, 0, 0, more), "wav": (0, more * hop)}
        changed |= dict.fromkeys(("spec", "latent_noise", "pitch", "f0"), (0, more))
        values = {name: getattr(self, name) for name in changed}
        return replace(
            self, **{k: x if x is None else F.pad(x, changed[k]) for k, x in values.items()}
        )

    def _each(self, change: Callable[[Tensor], Tensor]) -> Utterances:
        return Utterances(*(x if x is None else change(x) for x in vars(self).values()))

    def parts(self, number: int) -> Iterator[Utterances]:
        """Yield the batch in so many parts."""
        if number == 1:
            yield self
            return
        size = -(-len(self) // number)
        for first in range(0, len(self), size):
            end = first + size
            yield self._each(itemgetter(slice(first, end)))


@dataclass(frozen=True)
class Picked:
    """A batch of clips that a device keeps: their rows there, and the rest of the batch."""

    kept: KeptClips
    index: Tensor  # (B, T)
    rest: dict[str, Tensor]
    missing: dict[int, dict[str, Tensor]]  # clips, by number, that are not there yet

    def to(self, device: torch.device) -> Utterances:
        """Return the batch on the device that keeps the clips."""
        self.kept.put(self.missing)
        index, *rest = (x.to(device, non_blocking=True) for x in (self.index, *self.rest.values()))
        made = {name: self.kept.gather(name, index) for name in self.kept.features}
        made |= {"spec": made["spec"].mT, "wav": made["wav"].flatten(1)[:, None]}
        return Utterances(**made, **dict(zip(self.rest, rest, strict=True)))

    def pinned(self) -> Picked:
        """Return it in memory that a CUDA GPU copies from by itself."""
        missing = {number: pinned(clip) for number, clip in self.missing.items()}
        return Picked(self.kept, self.index.pin_memory(), pinned(self.rest), missing)


@dataclass
class UtteranceSet:
    """The clips of an experiment; batches are shared by processes, this one is number rank.

    The batches are the same for any number of processes.
    """

    clips: list[Clip]
    params: StandardParams
    spectrogram: SpectrogramParams
    segment_frames: int
    batch_size: int  # of all processes together
    seed: int
    processes: int = 1
    rank: int = 0
    keeps_spectrograms: bool = True  # one process of a machine does
    kept: KeptClips | None = None  # on the device, where the clips fit

    def __post_init__(self) -> None:
        """Leave out clips shorter than a segment: they cannot be cropped."""
        frames = {clip.name: self.frames(clip) for clip in self.clips}
        self.too_short = [name for name, count in frames.items() if count < self.segment_frames]
        self.clips = [clip for clip in self.clips if clip.name not in self.too_short]
        self.counts = [frames[clip.name] for clip in self.clips]
        self._buckets: dict[int, list[int]] = defaultdict(list)
        for number, count in enumerate(self.counts):
            self._buckets[(count - 1) // BUCKET_FRAMES].append(number)

    def frames(self, clip: Clip) -> int:
        """How many frames of a clip there is everything of; WorkerError at another rate."""
        info = soundfile.info(clip.wav)
        if info.samplerate != self.params.sample_rate:
            rates = {"found": info.samplerate, "wanted": self.params.sample_rate}
            raise WorkerError("clip_rate", file=clip.wav, **rates)
        counts = [
            MOST_FRAMES,
            2 * len(np.load(clip.content[0], mmap_mode="r")),
            info.frames // self.params.hop_length,
        ]
        if self.params.use_f0:
            counts += [len(np.load(path, mmap_mode="r")) for path in (clip.f0_hz, clip.f0_coarse)]
        return min(counts)

    @property
    def check(self) -> str:
        """A number that changes when an epoch has other batches."""
        order = self.seed, self.batch_size, [clip.name for clip in self.clips]
        return f"{zlib.crc32(repr(order).encode()):08x}"

    @property
    def steps_per_epoch(self) -> int:
        return sum(-(-len(bucket) // self.batch_size) for bucket in self._buckets.values())

    def order(self, epoch: int) -> list[np.ndarray]:
        """The clips of each batch of an epoch, by number; a bucket's last batch is filled up."""
        random = np.random.default_rng([self.seed, 1, epoch])
        size, batches = self.batch_size, []
        for _, bucket in sorted(self._buckets.items()):
            shuffled = random.permutation(bucket)
            batches += np.array_split(
                np.resize(shuffled, -(-len(bucket) // size) * size), -(-len(bucket) // size)
            )
        return [batches[i] for i in random.permutation(len(batches))]

    def batch(self, epoch: int, position: int, step: int) -> Utterances | Picked:
        """This process's share of a batch of an epoch, longest clip first."""
        rows = list(enumerate(self.order(epoch)[position]))[self.rank :: self.processes]
        rows.sort(key=lambda row: self.counts[row[1]], reverse=True)
        numbers = [int(number) for _, number in rows]
        rest = _stacked(
            self._drawn(number, np.random.default_rng([self.seed, 2, step, place]))
            for place, number in rows
        )
        if self.kept is None:
            return Utterances(**_stacked(map(self._read, numbers)), **rest)
        missing = {number: _rows(self._read(number)) for number in {*numbers} - self.kept.held}
        counts = np.array([self.counts[number] for number in numbers])
        index = self.kept.index(numbers, counts, counts[0])
        return Picked(self.kept, index, rest, missing)

    def keep(self, device: torch.device, left: float) -> None:
        """Keep the clips on a device where they fit; left: GiB that training leaves free there."""
        features = {
            "content": Feature((self.params.content_dim,), frames=2),
            "spec": Feature((self.params.spec_bins,)),
            "wav": Feature((self.params.hop_length,)),
        }
        if self.params.use_f0:
            features |= {"pitch": Feature(dtype=torch.int64), "f0": Feature()}
        kept = KeptClips(self.counts, features)
        self.kept = kept if kept.fit(device, left) else None

    def _read(self, number: int) -> dict[str, np.ndarray]:
        """What the files of a clip hold of it."""
        clip, frames, hop = self.clips[number], self.counts[number], self.params.hop_length
        wav, _ = soundfile.read(clip.wav, dtype="float32")
        item = {
            "content": np.repeat(np.load(clip.content[0]), 2, axis=0)[:frames],
            "spec": self.spec(clip, wav)[:, :frames].numpy(),
            "wav": wav[None, : frames * hop],
        }
        if self.params.use_f0:
            item["pitch"] = np.load(clip.f0_coarse)[:frames].astype(np.int64)
            item["f0"] = np.load(clip.f0_hz)[:frames].astype(np.float32)
        return item

    def _drawn(self, number: int, random: np.random.Generator) -> dict[str, np.ndarray]:
        """What else a batch holds of a clip: its random numbers, above all."""
        frames = self.counts[number]
        item = {
            "lengths": np.int64(frames),
            "speaker": np.int64(self.clips[number].speaker),
            "latent_noise": random.standard_normal(
                (self.params.inter_dim, frames), dtype=np.float32
            ),
            "crop": np.float32(random.random(dtype=np.float32)),
        }
        if self.params.use_f0:
            samples = self.segment_frames * self.params.hop_length
            item["source_noise"] = random.standard_normal(samples, dtype=np.float32)
        return item

    def spec(self, clip: Clip, wav: np.ndarray) -> Tensor:
        """The linear spectrogram of a clip (F, T), read from beside the clip if it is there."""
        shape = (self.params.spec_bins, len(wav) // self.params.hop_length)
        if clip.spectrogram.is_file():
            try:
                spec = read_tensors(clip.spectrogram)
            except CheckpointError:
                spec = None
            if isinstance(spec, Tensor) and tuple(spec.shape) == shape:
                return spec
        spec = linear_spectrogram(torch.from_numpy(wav)[None], self.spectrogram)[0]
        if self.keeps_spectrograms:
            save_tensors(clip.spectrogram, spec)
        return spec


def _rows(item: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """Return what was read of a clip as rows of KeptClips."""
    spec, wav = item["spec"].T, item["wav"].reshape(item["spec"].shape[1], -1)
    changed = {**item, "content": item["content"][::2], "spec": spec, "wav": wav}
    return {name: torch.from_numpy(np.ascontiguousarray(x)) for name, x in changed.items()}


def _stacked(items: Iterable[dict[str, np.ndarray]]) -> dict[str, Tensor]:
    """Stack items, with zeros behind the end of shorter ones."""
    items, columns = list(items), {}
    for name, first in items[0].items():
        sizes = np.max([item[name].shape for item in items], axis=0) if first.ndim else ()
        column = np.zeros((len(items), *(int(size) for size in sizes)), first.dtype)
        for row, item in enumerate(items):
            column[(row, *(slice(size) for size in item[name].shape))] = item[name]
        columns[name] = torch.from_numpy(column)
    return columns
