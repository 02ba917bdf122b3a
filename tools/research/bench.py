"""Speed and memory of converting, beside their limits, and of training."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch.utils.flop_counter import FlopCounterMode

import config
from infer.audio.reader import load
from infer.converter import VoiceConverter
from infer.models.lite.synthesizer import LiteSynthesizer
from infer.models.standard.synthesizer import Synthesizer
from infer.options import ConvertOptions
from infer.voice.hparams import LiteParams, StandardParams, read_config
from options import Options, command, option, parse_options
from train.lite.dataset import Batch
from train.lite.trainer import Trainer, make_discriminators
from train.standard.dataset import Utterances
from train.standard.discriminators import MultiPeriodDiscriminator
from train.standard.graphs import Recorder
from train.standard.spectrogram import SpectrogramParams
from train.standard.trainer import StandardTrainer
from train.standard.training import pick_precision
from train.state import new_state

WARM_SECONDS = 60
COLD_SECONDS = 5
STANDARD_SECONDS = 10
STANDARD_ROUNDS = 3
MATMULS = 10
BUSY = 0.5  # load average of the last minute from which on others slow this down
TRAINING_FRAMES = 368  # of a clip of usual length
TRAINING_STEPS = 3
# The child prints its highest memory in KiB when it has converted. Linux hands the getrusage peak
# of this process down to its children, so there the child reads VmHWM, which starts with itself.
MEASURED = (
    "import resource, sys; from pathlib import Path; from tools.cmd.infer_cli import main; "
    "code = main(sys.argv[1:]); status = Path('/proc/self/status'); "
    "peak = [line.split()[1] for line in status.read_text().splitlines() "
    "if line.startswith('VmHWM')] if status.exists() "
    "else [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]; "
    "print('PEAK', peak[0]); sys.exit(code)"
)
# one warm conversion, timed; its threads wait as the environment says
TIMED = (
    "import sys, time; from infer.converter import VoiceConverter; "
    "from infer.options import ConvertOptions; from options import parse_options; "
    "options = parse_options(ConvertOptions, sys.argv[1:]); "
    "converter = VoiceConverter(options.voice); converter.convert_file(options); "
    "started, worked = time.perf_counter(), time.process_time(); converter.convert_file(options); "
    "print('TIMES', time.perf_counter() - started, time.process_time() - worked)"
)
SPINNING = {"GOMP_SPINCOUNT": "300000", "KMP_BLOCKTIME": "200"}  # how OpenMP waits untold


@dataclass(frozen=True, kw_only=True)
class BenchOptions(Options):
    """Measure a conversion: stages, cold start, and memory for a short and a long recording."""

    MODULE = "tools.research.bench"

    voice: Path = option("voice model", config.LITE / "demo.pth")
    speech: Path = option("recording that is repeated", config.EXAMPLE)
    long_minutes: float = option("length of the long recording, 0 = leave it out", 60.0)
    runs: int = option("conversions of each length, whose median memory counts", 3, within=(1, 100))
    beside: int = option(
        "measure conversions beside 0 to so many processes that are always busy instead", -1,
        within=(-1, 64),
    )  # fmt: skip
    standard: bool = option("measure the full-size v2 40k synthesizer instead", False)
    training: str = option(
        "measure training steps of this family's full-size networks instead",
        "",
        choices=("", "lite", "v2"),
    )
    batch_size: int = option("clips in such a training step", 1, within=(1, 256))


def bench(options: BenchOptions) -> None:
    """Print one table, after what else this machine had to do."""
    _print_conditions()
    if options.standard:
        _print_standard()
        return
    if options.training:
        _print_training(options.training, options.batch_size)
        return
    with tempfile.TemporaryDirectory() as folder:
        speech, rate = load(options.speech)
        convert = ConvertOptions(
            voice=options.voice, input=Path(folder) / "in.flac", output=Path(folder) / "out.wav"
        )

        def write(seconds: float) -> None:
            with soundfile.SoundFile(convert.input, "w", rate, 1) as file:
                left = round(seconds * rate)
                while left > 0:
                    file.write(speech[:left])
                    left -= len(speech)

        write(WARM_SECONDS)
        if options.beside >= 0:
            _print_beside(convert, options.beside, options.runs)
            return
        _print_stages(convert)
        write(COLD_SECONDS)
        started = time.perf_counter()
        subprocess.run(
            command(convert), cwd=config.ROOT, check=True, stdout=subprocess.DEVNULL, timeout=600
        )
        _print("start to file, 5 s clip", f"{time.perf_counter() - started:.1f} s", "8 s")
        if sys.platform != "win32" and options.long_minutes:
            for minutes in (1.0, options.long_minutes):
                write(60 * minutes)
                runs = [_peak(convert) / 1024 for _ in range(options.runs)]
                peak = float(np.median(runs))
                _print(f"peak memory, {minutes:g} min", f"{peak:.0f} MiB", "600 MiB")
                if len(runs) > 1:
                    _print(f"its {len(runs)} runs", f"{min(runs):.0f}..{max(runs):.0f} MiB", "")


def _print_conditions() -> None:
    """What the figures depend on: date, processors, threads, precision, and other load."""
    _print("date", time.strftime("%Y-%m-%d"), "")
    _print("torch, threads", f"{torch.__version__}, {torch.get_num_threads()}", "")
    if hasattr(os, "sched_getaffinity"):  # Linux
        _print("processors, of them usable", f"{os.cpu_count()}, {_usable()}", "")
    else:
        _print("processors", f"{os.cpu_count()}", "")
    with config.autocast(torch.device("cpu")):
        dtype = torch.mm(torch.ones(1, 1), torch.ones(1, 1)).dtype
    _print("lite's matrix products", str(dtype).removeprefix("torch."), "")
    if hasattr(os, "getloadavg"):
        load_average = os.getloadavg()[0]
        _print("load before", f"{load_average:.2f}", "")
        if load_average > BUSY:
            print("others are at work here: times by the clock are too long", flush=True)


def _usable() -> int:
    return len(os.sched_getaffinity(0))


def _print_standard() -> None:
    """The standard synthesizer beside the time that its products alone need at matmul's rate.

    Matmul and synthesizer take turns, so that what else runs here slows both.
    """
    params = StandardParams.from_groups(read_config("v2", 40000))
    torch.manual_seed(0)
    network = Synthesizer(params, for_training=False).eval().requires_grad_(False)
    frames = round(100 * STANDARD_SECONDS)
    inputs = (
        torch.randn(1, frames, params.content_dim),
        torch.randint(1, 256, (1, frames)),
        torch.full((1, frames), 200.0),
        torch.zeros(1, dtype=torch.long),
    )
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        Synthesizer(params, for_training=False).infer(*(value.to("meta") for value in inputs))
    flops = counter.get_total_flops()
    _print(f"synthesizer, {STANDARD_SECONDS} s of audio", f"{flops / 1e9:.0f} GFLOP", "")
    ratios = []
    for _ in range(STANDARD_ROUNDS):
        before = _matmul_rate()
        started = time.perf_counter()
        network.infer(*inputs)
        seconds = time.perf_counter() - started
        rate = (before + _matmul_rate()) / 2
        ratios.append(seconds * rate / flops)
        _print("matmul", f"{rate / 1e9:.0f} GFLOP/s", "")
        _print("synthesizer", f"{seconds:.2f} s", f"{1.25 * flops / rate:.2f} s")
    _print("time / time of its products", f"{np.median(ratios):.2f}", "1.25")
    if sys.platform != "win32":
        _print("peak memory", f"{_own_peak() / 1e6:.0f} MB", "1200 MB")


def _print_training(version: str, batch_size: int) -> None:
    """Steps of a recipe, on the device that training takes."""
    device = config.pick_device()
    what, step = (lite_step if version == "lite" else standard_step)(batch_size, device)
    print(f"{version}: {what}")
    for number in range(1 + TRAINING_STEPS):
        started, worked = time.perf_counter(), time.process_time()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        label = f"step of {batch_size} clips"
        _print(label if number else f"first {label}", f"{time.perf_counter() - started:.2f} s", "")
        _print("its processor time", f"{time.process_time() - worked:.2f} s", "")
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device)
        _print("peak GPU memory", f"{peak / 1e6:.0f} MB", "")
    if sys.platform != "win32":
        _print("peak memory", f"{_own_peak() / 1e6:.0f} MB", "")


def lite_step(batch_size: int, device: torch.device) -> tuple[str, Callable[[], object]]:
    """What is measured, and one step of the lite recipe on crops as it takes them."""
    groups = read_config("lite", 24000)
    params, settings = LiteParams.from_groups(groups), groups["train"]
    networks = LiteSynthesizer(params), make_discriminators(settings, params.sample_rate)
    state = new_state(*(n.to(device) for n in networks), settings, averaged=True)
    settings = {**settings, "adversarial_from_step": 0}
    trainer = Trainer(state, settings, params.sample_rate, params.hop_length, device, seed=0)
    frames = settings["segment_frames"]
    batch = Batch(
        content=torch.randn(batch_size, frames, params.content_dim),
        f0=torch.full((batch_size, frames), 200.0),
        speaker=torch.zeros(batch_size, dtype=torch.long),
        wav=0.1 * torch.randn(batch_size, frames * params.hop_length),
        bandwidth=torch.full((batch_size,), params.sample_rate / 2),
    ).to(device)
    return f"24k, clips of {frames / 100:g} s, {device}", lambda: trainer.train_step(batch)


def standard_step(
    batch_size: int, device: torch.device, recorder: Recorder | None = None, **changes: Any
) -> tuple[str, Callable[[], object]]:
    """What is measured, and one step of the standard recipe on clips of full length.

    recorder: of CUDA graphs. changes: of the networks' params.
    """
    groups = read_config("v2", 40000)
    params = StandardParams.from_groups(groups, **changes)
    networks = Synthesizer(params).to(device), MultiPeriodDiscriminator("v2").to(device)
    state = new_state(*networks, groups["train"], averaged=False)
    spectrogram = SpectrogramParams.from_data(groups["data"])
    dtype = pick_precision("auto", device)
    trainer = StandardTrainer(
        state, groups["train"], spectrogram, 1, device, dtype, recorder=recorder
    )
    if dtype == torch.float16:
        state.scaler = torch.amp.GradScaler(device.type)
    batch, hop = (batch_size,), params.hop_length
    clips = Utterances(
        content=torch.randn(*batch, TRAINING_FRAMES, params.content_dim),
        spec=torch.rand(*batch, params.spec_bins, TRAINING_FRAMES),
        wav=0.1 * torch.randn(*batch, 1, TRAINING_FRAMES * hop),
        lengths=torch.full(batch, TRAINING_FRAMES),
        speaker=torch.zeros(batch, dtype=torch.long),
        latent_noise=torch.randn(*batch, params.inter_dim, TRAINING_FRAMES),
        crop=torch.rand(batch),
        pitch=torch.randint(1, 256, (*batch, TRAINING_FRAMES)),
        f0=torch.full((*batch, TRAINING_FRAMES), 200.0),
        source_noise=torch.randn(*batch, groups["train"]["segment_frames"] * hop),
    )
    precision = str(dtype).removeprefix("torch.")
    told = f"40k, clips of {TRAINING_FRAMES / 100:g} s, {device}, {precision}"
    return told, lambda: trainer.train_step(clips)


def _matmul_rate() -> float:
    """Operations per second of a product that is large enough to be fast."""
    size = 2048
    left, right = torch.randn(2, size, size)
    torch.mm(left, right)
    started = time.perf_counter()
    for _ in range(MATMULS):
        torch.mm(left, right)
    return 2 * MATMULS * size**3 / (time.perf_counter() - started)


def _own_peak() -> int:
    """Highest memory of this process in bytes."""
    import resource  # not on Windows

    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def _print_stages(options: ConvertOptions) -> None:
    converter = VoiceConverter(options.voice)
    converter.convert_file(options)  # warm
    started, worked = time.perf_counter(), time.process_time()
    result = converter.convert_file(options)
    total, worked = time.perf_counter() - started, time.process_time() - worked
    for name, seconds in result.seconds.items():
        _print(f"{name}, x real time", f"{seconds / WARM_SECONDS:.4f}", "")
    index = "with index" if result.index else "no index"
    _print(f"all, 60 s clip, {index}", f"{total / WARM_SECONDS:.4f}", "0.10")
    _print("the same in processor time", f"{worked / WARM_SECONDS:.4f}", "")


def _print_beside(options: ConvertOptions, most: int, runs: int) -> None:
    """Seconds for one of audio beside busy processes, threads giving way, and spinning as before.

    Both take turns, so that what else runs here slows both.
    """
    ways = {"giving way": {}, "spinning": SPINNING}
    alone: dict[str, float] = {}
    for count in range(most + 1):
        busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
        try:
            rounds = [{way: _times(options, ways[way]) for way in ways} for _ in range(runs)]
        finally:
            for process in busy:
                process.kill()
                process.wait()
        for way in ways:
            clock, worked = np.median([times[way] for times in rounds], axis=0) / WARM_SECONDS
            ratio = clock / alone.setdefault(way, clock)
            limit = "1.6 x" if way == "giving way" and count == 2 else ""
            _print(f"beside {count} busy, {way}", f"{clock:.4f}", "")
            _print("processor time", f"{worked:.4f}", "")
            _print("to none busy", f"{ratio:.2f} x", limit)


def _times(options: ConvertOptions, environment: dict[str, str]) -> tuple[float, float]:
    """Seconds by the clock and of the processor that a warm conversion takes."""
    argv = [sys.executable, "-c", TIMED, *command(options)[3:]]
    done = subprocess.run(
        argv, cwd=config.ROOT, check=True, capture_output=True, text=True,
        env={**os.environ, **environment},
    )  # fmt: skip
    clock, worked = done.stdout.rsplit("TIMES", 1)[1].split()
    return float(clock), float(worked)


def _peak(options: ConvertOptions) -> int:
    argv = [sys.executable, "-c", MEASURED, *command(options)[3:]]
    done = subprocess.run(argv, cwd=config.ROOT, check=True, capture_output=True, text=True)
    return int(done.stdout.rsplit("PEAK", 1)[1])


def _print(what: str, figure: str, limit: str) -> None:
    print(f"{what:36} {figure:>12} {limit and 'limit ' + limit}", flush=True)


if __name__ == "__main__":
    bench(parse_options(BenchOptions))
