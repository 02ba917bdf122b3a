"""Every figure of speed that a CUDA GPU has a part in, as one table with the card's name."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import soundfile
import torch
from torch import Tensor

import config
from errors import UserError
from infer.audio.reader import load
from infer.converter import VoiceConverter
from infer.f0.rmvpe import Rmvpe
from infer.models.families import family, plain
from infer.models.standard.synthesizer import Synthesizer
from infer.options import ConvertOptions
from infer.voice.checkpoint import VoiceModel, save_voice_model
from infer.voice.hparams import StandardParams, read_config
from infer.voice.tensors import save_tensors
from options import Options, option, parse_options
from tools.research.bench import lite_step, standard_step
from train.standard.graphs import CudaRecorder

STEPS, WARM_STEPS = 10, 10  # warm: a scaler finds its scale, graphs are recorded
CONVERTED_SECONDS = 300
SMALL = {"hidden_dim": 16, "filter_dim": 32, "num_layers": 1, "upsample_initial_dim": 32}
HUBERT_KERNELS = (10, 3, 3, 3, 3, 2, 2)


@dataclass(frozen=True, kw_only=True)
class GpuOptions(Options):
    """Measure training and converting on a CUDA GPU; the networks' weights are random."""

    MODULE = "tools.research.gpu"

    device: str = option("torch device", "cuda:0")
    small: bool = option("a little of everything: only to see that it runs", False)


@dataclass(frozen=True)
class Machine:
    """Where it runs, and with what networks."""

    device: torch.device
    small: bool

    def wait(self) -> None:
        """Let the GPU finish."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def seconds(self, work: Callable[[], object], warm: int, times: int) -> float:
        """Return how long a piece of work takes, once it is warm."""
        for _ in range(warm):
            work()
        self.wait()
        started = time.perf_counter()
        for _ in range(times):
            work()
        self.wait()
        return (time.perf_counter() - started) / times

    @contextmanager
    def peak(self) -> Iterator[Callable[[], str]]:
        """Yield what tells the GPU memory that the block took at most."""
        if self.device.type != "cuda":
            yield lambda: "-"
            return
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(self.device)
        yield lambda: f"{torch.cuda.max_memory_allocated(self.device) / 2**30:.2f} GiB"

    @property
    def changes(self) -> dict[str, Any]:
        """How the networks differ from the full-size ones."""
        return SMALL if self.small else {}


def gpu(options: GpuOptions) -> None:
    """Print the table. UserError where there is no such GPU."""
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError("no_device", name=options.device, count=0)
    machine = Machine(config.pick_device(options.device), options.small)
    name = "no GPU"
    if machine.device.type == "cuda":
        name = torch.cuda.get_device_name(machine.device)
    print(f"{name}, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}")
    print("| work | here | aim |\n| --- | --- | --- |")
    for batch in (1,) if options.small else (4, 8, 16):
        for graphs in (False, True) if machine.device.type == "cuda" else (False,):
            _standard_training(machine, batch, graphs)
    for seconds in (1,) if options.small else (10, 40):
        _synthesizer(machine, seconds)
    with TemporaryDirectory() as folder:
        recording = Path(folder) / "in.wav"
        speech, rate = load(config.EXAMPLE)
        samples = (3 if options.small else CONVERTED_SECONDS) * rate
        soundfile.write(recording, np.resize(speech, samples), rate)
        with patch.object(config, "DOWNLOADS", Path(folder)):
            _write_networks(Path(folder), options.small)
            voice = _write_voice(Path(folder), machine.changes)
            _conversion(machine, "v2", voice, recording, "rmvpe")
        _conversion(machine, "lite", config.LITE / "demo.pth", recording, "swift")
    for batch in (1,) if options.small else (8, 32):
        _lite_training(machine, batch)


def _standard_training(machine: Machine, batch: int, graphs: bool) -> None:
    with machine.peak() as peak:
        recorder = CudaRecorder(machine.device) if graphs else None
        _, step = standard_step(batch, machine.device, recorder, **machine.changes)
        seconds = machine.seconds(step, *((1, 1) if machine.small else (WARM_STEPS, STEPS)))
        aim = "100 ms" if batch == 8 else ""
        what = f"v2 40k training step, batch {batch}{', CUDA graphs' if graphs else ''}"
        _print(what, f"{1000 * seconds:.0f} ms, {peak()}", aim)


def _lite_training(machine: Machine, batch: int) -> None:
    with machine.peak() as peak:
        _, step = lite_step(batch, machine.device)
        seconds = machine.seconds(step, *((1, 1) if machine.small else (WARM_STEPS, STEPS)))
        _print(
            f"lite training, batch {batch}", f"{1 / seconds:.1f} steps/s, {peak()}", "33 steps/s"
        )


def _synthesizer(machine: Machine, seconds: int) -> None:
    params = StandardParams.from_groups(read_config("v2", 40000), **machine.changes)
    torch.manual_seed(0)
    network = Synthesizer(params, for_training=False).eval().requires_grad_(False)
    network.to(machine.device)
    frames = 100 * seconds

    def on_device(value: Tensor) -> Tensor:
        return value.to(machine.device)

    inputs = [
        on_device(value)
        for value in (
            torch.randn(1, frames, params.content_dim),
            torch.randint(1, 256, (1, frames)),
            torch.full((1, frames), 200.0),
            torch.zeros(1, dtype=torch.long),
        )
    ]
    spent = machine.seconds(lambda: network.infer(*inputs), 1 if machine.small else 3, 3)
    aim = {10: "15 ms", 40: "40 ms"}.get(seconds, "")
    _print(f"v2 40k synthesizer, {seconds} s of audio", f"{1000 * spent:.1f} ms", aim)


def _conversion(machine: Machine, name: str, voice: Path, recording: Path, f0_method: str) -> None:
    options = ConvertOptions(
        voice=voice, input=recording, output=recording.with_name("out.wav"),
        f0_method=f0_method, semitones=0.0, device=str(machine.device),
    )  # fmt: skip
    converter = VoiceConverter(voice, options.device)
    converter.convert_file(options)  # warm
    result = converter.convert_file(options)
    spent = sum(result.seconds.values())
    stages = sorted(result.seconds.items(), key=lambda item: -item[1])
    told = ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in stages if seconds >= 0.005)
    what = f"conversion of {result.audio_seconds:.0f} s, {name}, {f0_method}, warm"
    _print(what, f"{spent:.2f} s: {told}", "2 s")


def _write_voice(folder: Path, changes: dict[str, Any]) -> Path:
    """Write a v2 40k voice of random weights."""
    params = StandardParams.from_groups(read_config("v2", 40000), **changes)
    torch.manual_seed(0)
    weights = {
        name: value
        for name, value in family("v2").build(params).state_dict().items()
        if not name.startswith("enc_q.")
    }
    path = folder / "voice.pth"
    save_voice_model(path, VoiceModel(weights, plain(params), params.sample_rate, "v2"))
    return path


def _write_networks(folder: Path, small: bool) -> None:
    """Write RMVPE and a HuBERT of the base model's size, of random weights."""
    torch.manual_seed(0)
    save_tensors(folder / "rmvpe/rmvpe.pt", Rmvpe().state_dict())
    channels, dim, inner_dim, layers = (16, 768, 64, 1) if small else (512, 768, 3072, 12)
    shapes: dict[str, tuple[int, ...]] = {}
    for number, kernel in enumerate(HUBERT_KERNELS):
        inputs = channels if number else 1
        shapes[f"feature_extractor.conv_layers.{number}.0.weight"] = (channels, inputs, kernel)
    for name in ("feature_extractor.conv_layers.0.2", "layer_norm"):
        shapes |= {f"{name}.weight": (channels,), f"{name}.bias": (channels,)}
    products = {"post_extract_proj": (dim, channels), "encoder.pos_conv.0": (dim, dim // 16, 128)}
    norms = ["encoder.layer_norm"]
    for number in range(layers):
        layer = f"encoder.layers.{number}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            products[f"{layer}.self_attn.{name}"] = (dim, dim)
        products |= {f"{layer}.fc1": (inner_dim, dim), f"{layer}.fc2": (dim, inner_dim)}
        norms += [f"{layer}.self_attn_layer_norm", f"{layer}.final_layer_norm"]
    for name, shape in products.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    for name in norms:
        shapes |= {f"{name}.weight": (dim,), f"{name}.bias": (dim,)}
    weights = {name: 0.02 * torch.randn(shape) for name, shape in shapes.items()}
    settings = {"model": {"encoder_attention_heads": 12}}
    save_tensors(folder / "hubert/hubert_base.pt", {"model": weights, "cfg": settings})


def _print(work: str, figure: str, aim: str) -> None:
    print(f"| {work} | {figure} | {aim and 'at most ' * ('step' not in aim) + aim} |", flush=True)


def main() -> int:
    """Measure what the command line asks for; returns the exit code."""
    try:
        gpu(parse_options(GpuOptions))
    except UserError as error:
        print(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
