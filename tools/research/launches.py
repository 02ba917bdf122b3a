"""Count what a training step starts on a GPU, and prove that it never waits, without having one.

A step runs on fake tensors, which have shapes but no values: whatever asks for a value (`.item()`,
a branch on it) fails, and so does a tensor that lies in memory and is no part of the batch. The
processor build of torch cannot differentiate on a fake "cuda", so fake tensors of the processor
stand for the GPU, with the optimiser, the scaler and the types of products that a GPU gets.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch._subclasses.fake_tensor import unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode

import config
from infer.f0 import crepe, rmvpe
from infer.f0.crepe import CHANNELS, Crepe, CrepeFullF0
from infer.f0.rmvpe import Rmvpe, RmvpeF0, fold_norms
from infer.models.lite.synthesizer import LiteSynthesizer
from infer.models.standard import vocoders
from infer.models.standard.synthesizer import Noise, Synthesizer
from infer.voice.hparams import LiteParams, StandardParams, read_config
from train.lite.dataset import Batch, Draws
from train.lite.trainer import Trainer, make_discriminators
from train.standard.dataset import Utterances
from train.standard.discriminators import MultiPeriodDiscriminator
from train.standard.spectrogram import SpectrogramParams
from train.standard.trainer import StandardTrainer
from train.state import TrainState, new_state

DEVICE = torch.device("cpu")  # stands for the GPU
CLIPS, FRAMES = 4, 368  # of a batch
# as this counts them in the trainers of 28 November 2026: with the optimiser tensor by tensor, and
# with the lists of tensors that torch itself takes on a GPU
BEFORE = {"v2": (14864, 8442), "lite": (3204, 2055)}
NO_KERNELS = {
    "device", "empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided", "is_pinned",
    "_unsafe_view", "detach", "lift_fresh", "is_same_size", "sym_size", "sym_stride",
}  # fmt: skip
WAITING = {"_local_scalar_dense", "is_nonzero", "nonzero", "equal", "masked_select", "unique_dim"}
# how torch packs lists of tensors: values of a block, blocks of a kernel, tensors of a kernel by
# the number of lists (ATen/native/cuda/MultiTensorApply.cuh)
BLOCK_VALUES, KERNEL_BLOCKS, KERNEL_TENSORS = 65536, 320, (110, 64, 48, 36, 30)


class Waits(AssertionError):
    """A step asked for a value of a tensor that lies on the GPU, or copied one there."""


class Launches(TorchDispatchMode):
    """Counts the kernels of the operations under it, by name; views and empty tensors have none."""

    def __init__(self, may_wait: bool = False) -> None:
        super().__init__()
        self.kernels: Counter[str] = Counter()
        self.may_wait = may_wait

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = func._overloadpacket.__name__
        is_drawn = isinstance(kwargs.get("generator"), torch.Generator)
        if (name in WAITING or name == "lift_fresh" or is_drawn) and not self.may_wait:
            raise Waits(f"{name}{' with a generator' if is_drawn else ''}")
        if name == "_local_scalar_dense":
            return 1.0
        if not func.is_view and name not in NO_KERNELS:
            self.kernels[name] += _kernels(name, args)
        return func(*args, **kwargs)

    @property
    def total(self) -> int:
        """All kernels."""
        return self.kernels.total()


def _kernels(name: str, args: tuple[Any, ...]) -> int:
    lists = [value for value in args if isinstance(value, list | tuple) and len(value)]
    lists = [value for value in lists if all(isinstance(each, Tensor) for each in value)]
    if not name.startswith(("_foreach", "_fused", "_amp_foreach")) or not lists:
        return 1
    blocks = sum(-(-tensor.numel() // BLOCK_VALUES) for tensor in lists[0])
    most = KERNEL_TENSORS[min(len(lists), len(KERNEL_TENSORS)) - 1]
    return max(math.ceil(blocks / KERNEL_BLOCKS), math.ceil(len(lists[0]) / most))


@contextmanager
def fake_gpu() -> Iterator[None]:
    """Make every tensor of the block a fake one; types and networks are those of a GPU."""

    def autocast(device: torch.device) -> torch.autocast:
        return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)

    def half(device: torch.device) -> torch.autocast:
        return torch.autocast(device.type, torch.float16, cache_enabled=False)

    with ExitStack() as stack:
        stack.enter_context(patch.object(config, "autocast", autocast))
        stack.enter_context(patch.object(config, "half", half))
        stack.enter_context(patch.object(vocoders, "render_rows", vocoders.render_half))
        stack.enter_context(FakeTensorMode())
        yield


def as_fake(network: nn.Module) -> nn.Module:
    """Give a network parameters and buffers without values; only inside `fake_gpu`."""
    for module in network.modules():
        for name, value in module._parameters.items():
            if value is not None:
                module._parameters[name] = nn.Parameter(torch.empty(value.shape))
        for name, value in module._buffers.items():
            if value is not None:
                module._buffers[name] = torch.empty(value.shape)
    return network


def standard_step(scaled: bool = True) -> tuple[Callable[[], object], TrainState]:
    """Return a step of the full v2 40k networks in float16, and its state; inside `fake_gpu`."""
    groups = read_config("v2", 40000)
    params = StandardParams.from_groups(groups)
    with unset_fake_temporarily(), torch.device("meta"):
        networks = Synthesizer(params), MultiPeriodDiscriminator("v2")
    state = new_state(*map(as_fake, networks), groups["train"], averaged=False, fused=True)
    if scaled:
        state.scaler = torch.amp.GradScaler(DEVICE.type)
    spectrogram = SpectrogramParams.from_data(groups["data"])
    trainer = StandardTrainer(state, groups["train"], spectrogram, 1000, DEVICE, torch.float16)
    trainer.mel.filters = torch.empty(trainer.mel.filters.shape)
    hop = params.hop_length
    batch = Utterances(
        content=torch.empty(CLIPS, FRAMES, params.content_dim),
        spec=torch.empty(CLIPS, params.spec_bins, FRAMES),
        wav=torch.empty(CLIPS, 1, FRAMES * hop),
        lengths=torch.empty(CLIPS, dtype=torch.long),
        speaker=torch.empty(CLIPS, dtype=torch.long),
        latent_noise=torch.empty(CLIPS, params.inter_dim, FRAMES),
        crop=torch.empty(CLIPS),
        pitch=torch.empty(CLIPS, FRAMES, dtype=torch.long),
        f0=torch.empty(CLIPS, FRAMES),
        source_noise=torch.empty(CLIPS, groups["train"]["segment_frames"] * hop),
    )
    return lambda: trainer.train_step(batch), state


def lite_step() -> tuple[Callable[[], object], TrainState]:
    """Return a step of the lite recipe with its discriminators, and its state."""
    groups = read_config("lite", 24000)
    params, settings = LiteParams.from_groups(groups), groups["train"]
    settings = {**settings, "adversarial_from_step": 0}
    with unset_fake_temporarily(), torch.device("meta"):
        networks = LiteSynthesizer(params), make_discriminators(settings, params.sample_rate)
    state = new_state(*map(as_fake, networks), settings, averaged=False, fused=True)
    with unset_fake_temporarily(), torch.device("meta"):
        state.average = LiteSynthesizer(params)
    as_fake(state.average).requires_grad_(False)
    trainer = Trainer(state, settings, params.sample_rate, params.hop_length, DEVICE, seed=0)
    as_fake(trainer.spectral)
    frames = settings["segment_frames"]
    wav = torch.empty(CLIPS, frames * params.hop_length)
    content = torch.empty(CLIPS, frames, params.content_dim)
    batch = Batch(
        content=content,
        f0=torch.empty(CLIPS, frames),
        speaker=torch.empty(CLIPS, dtype=torch.long),
        wav=wav,
        bandwidth=torch.empty(CLIPS),
        draws=Draws(torch.empty(CLIPS), content.clone(), wav.clone(), 0),
    )
    return lambda: trainer.train_step(batch), state


def standard_conversion() -> Callable[[], Tensor]:
    """Return a rendering of the full v2 40k synthesizer, its random numbers given."""
    params = StandardParams.from_groups(read_config("v2", 40000))
    with unset_fake_temporarily(), torch.device("meta"):
        network = Synthesizer(params, for_training=False)
    as_fake(network).requires_grad_(False)
    noise = Noise(
        torch.empty(1, params.inter_dim, FRAMES),
        torch.empty(1, FRAMES * params.hop_length, params.num_harmonics),
    )
    content, f0 = torch.empty(1, FRAMES, params.content_dim), torch.empty(1, FRAMES)
    pitch, speaker = (torch.empty(size, dtype=torch.long) for size in ((1, FRAMES), 1))
    return lambda: network.infer(content, pitch, f0, speaker, noise=noise).wav


def lite_conversion() -> Callable[[], Tensor]:
    """Return a rendering of the lite synthesizer, its random numbers given."""
    params = LiteParams.from_groups(read_config("lite", 24000))
    with unset_fake_temporarily(), torch.device("meta"):
        network = LiteSynthesizer(params)
    as_fake(network).requires_grad_(False)
    content, f0 = torch.empty(1, FRAMES, params.content_dim), torch.empty(1, FRAMES)
    speaker, phase = torch.empty(1, dtype=torch.long), torch.empty(1)
    noise = torch.empty(1, FRAMES * params.hop_length)
    return lambda: network(content, f0, speaker, phase=phase, noise=noise)


def rmvpe_conversion() -> Callable[[], Tensor]:
    """Return RMVPE's way from audio to f0."""
    with unset_fake_temporarily(), torch.device("meta"):
        network = Rmvpe()
        fold_norms(network.eval())
    with ExitStack() as stack:
        stack.enter_context(patch.object(rmvpe, "load_network", lambda path, device: network))
        stack.enter_context(patch.object(rmvpe, "rmvpe_file", lambda: None))
        stack.enter_context(unset_fake_temporarily())
        method = RmvpeF0()
    as_fake(network).requires_grad_(False)
    for name in ("filters", "hann", "cents"):
        setattr(method, name, torch.empty(getattr(method, name).shape))
    audio = torch.empty(1, FRAMES * 160)
    return lambda: method.decode(method.salience(method.mel(audio)))


def crepe_conversion() -> Callable[[], Tensor]:
    """Return the way of the full CREPE from audio to its bins."""
    with unset_fake_temporarily(), torch.device("meta"):
        network = Crepe(CHANNELS["full"]).eval()
    with patch.object(crepe, "load_crepe", lambda size, device: network):
        method = CrepeFullF0()
    as_fake(network).requires_grad_(False)
    audio = torch.empty(FRAMES * 160)
    return lambda: method.salience(audio)


CONVERSIONS = {
    "v2": standard_conversion,
    "lite": lite_conversion,
    "rmvpe": rmvpe_conversion,
    "crepe": crepe_conversion,
}
STEPS = {"v2": standard_step, "lite": lite_step}


def count(family: str) -> Launches:
    """Count the kernels of a family's second step: the first makes the optimisers' moments."""
    with fake_gpu():
        step, _ = STEPS[family]()
        step()
        with Launches() as launches:
            step()
    return launches


def count_conversion(name: str) -> Launches:
    """Count the kernels of one chunk through a network."""
    with fake_gpu(), torch.no_grad():
        render = CONVERSIONS[name]()
        with Launches() as launches:
            render()
    return launches


def main() -> None:
    """Print a table, and what the kernels are."""
    for family in STEPS:
        launches = count(family)
        alone, listed = BEFORE[family]
        print(f"{family}, kernels of a step: {launches.total}, and no waiting")
        print(f"  to {alone} before: {launches.total / alone:.2f}")
        print(f"  to {listed} before with torch's lists: {launches.total / listed:.2f}")
        print(" ", ", ".join(f"{name} {n}" for name, n in launches.kernels.most_common(12)))
    for name in CONVERSIONS:  # rmvpe's recurrent layer is taken apart here, on a GPU it is one
        print(f"{name}, kernels of a chunk: {count_conversion(name).total}, and no waiting")


if __name__ == "__main__":
    main()
