"""What each worker needs: one options dataclass per worker (no third-party import)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from infer.f0 import F0_METHODS, default_f0_method
from infer.voice.traits import DEFAULT_VERSION
from options import Options, command, option, parse_options
from train.experiment import CLIP_SECONDS
from train.metrics import PATIENCE

__all__ = [
    "BuildIndexOptions",
    "ExtractF0Options",
    "ExtractFeaturesOptions",
    "PreprocessOptions",
    "TrainOptions",
    "VerifyOptions",
    "command",
    "parse_options",
    "train_command",
]

EXPERIMENT_HELP = "experiment folder, e.g. logs/mi"
PRECISIONS = ("auto", "fp32", "fp16", "bf16")
DEFAULT_MINUTES = 15.0
LAUNCHER = "torch.distributed.run"  # torchrun
# a machine that joins later waits in vain for the address of the store that torchrun keeps
FRESH_STORE = "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1"
DEVICE_HELP = "torch device: auto, cpu, cuda:0, mps"


@dataclass(frozen=True, kw_only=True)
class PreprocessOptions(Options):
    """Cut recordings into short clips at the target rate and at 16 kHz."""

    MODULE = "train.preprocess"

    experiment: Path = option(EXPERIMENT_HELP)
    dataset: Path = option("folder of recordings (subfolders too), or one recording")
    version: str = option("voice family, a folder in configs/", DEFAULT_VERSION)
    sample_rate: int = option("target sample rate in Hz", 24000)
    speaker: int = option("speaker number of these recordings", 0, within=(0, math.inf))
    clip_seconds: float = option("length of a clip in seconds", CLIP_SECONDS, within=(1, 30))
    embedder: str | None = option(
        "content encoder of a v1 or v2 voice instead of contentvec, e.g. spin-v2: a folder in "
        "assets/downloads",
        None,
    )
    use_f0: bool = option("the voice follows the melody; only v1 and v2 can do without", True)
    denoise: bool = option(
        "take noise out of the recordings first; needs requirements-songs.txt", False
    )
    reuse: Path | None = option(
        "experiment whose f0 and features are copied for the clips that are the same", None
    )
    processes: int = option("processes to share the work", 1, within=(1, 256))


@dataclass(frozen=True, kw_only=True)
class ExtractF0Options(Options):
    """Extract the melody (f0) of every 16 kHz clip of an experiment."""

    MODULE = "train.extract_f0"

    experiment: Path = option(EXPERIMENT_HELP)
    method: str = option("f0 method", default_f0_method, choices=F0_METHODS)
    device: str = option(DEVICE_HELP, "auto")


@dataclass(frozen=True, kw_only=True)
class ExtractFeaturesOptions(Options):
    """Extract content features of every 16 kHz clip of an experiment."""

    MODULE = "train.extract_features"

    experiment: Path = option(EXPERIMENT_HELP)
    device: str = option(DEVICE_HELP, "auto")
    perturbations: int = option(
        "versions of each clip, all but one altered; 0 = what the encoder needs", 0, within=(0, 16)
    )


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Options):
    """Train a voice from the features of an experiment."""

    MODULE = "train.train"

    experiment: Path = option(EXPERIMENT_HELP)
    voice: Path | None = option("voice file to write; without it weights/<experiment>.pth", None)
    base: Path | None = option("folder of a base model; without it the family's", None)
    use_base: bool = option("start from a base model, not from nothing", True)
    from_experiment: Path | None = option(
        "start from a saved state of this experiment instead of a base model", None
    )
    from_step: int = option(
        "which state of --from-experiment, 0 = the newest", 0, within=(0, math.inf)
    )
    steps: int = option("steps to train in all, 0 = no limit", 0, within=(0, math.inf))
    epochs: int = option("epochs to train in all, 0 = no limit", 0, within=(0, math.inf))
    minutes: float | None = option(
        f"minutes to train in all, 0 = no limit; {DEFAULT_MINUTES:g} where nothing else ends it",
        None,
        within=(0, 1e6),
    )
    patience: int | None = option(
        f"saves without a better one after which it ends, 0 = never; {PATIENCE} where no steps or "
        "epochs are asked for",
        None,
        within=(0, 1e6),
    )
    batch_size: int = option("clips per step", 8, within=(1, 4096))
    total_batch: int = option(
        "clips per step of all processes together, so that they may come and go; 0 = each of them "
        "takes --batch-size",
        0,
        within=(0, 2**20),
    )
    save_minutes: float = option("minutes between saved states", 2.0, within=(0, 1e6))
    voice_epochs: int = option(
        "keep a voice every so many epochs as <voice>_e<epoch>_s<step>.pth, 0 = only the last",
        0,
        within=(0, math.inf),
    )
    precision: str = option(
        "of the standard families' products; auto = fp16 where the GPU is fast in it",
        "auto",
        choices=PRECISIONS,
    )
    cuda_graphs: bool = option(
        "on one CUDA GPU start the kernels of a step of the standard families as one piece", True
    )
    device: str = option(f"{DEVICE_HELP}; under torchrun also cuda:0,cuda:2", "auto")
    seed: int = option("same seed, same order of clips", 0, within=(0, 2**63 - 1))
    threads: int = option("CPU threads, 0 = torch's own choice", 0, within=(0, 1024))

    @property
    def limit_minutes(self) -> float:
        """Minutes after which it ends, 0 = never: a number of steps or epochs is not cut short."""
        if self.minutes is not None:
            return self.minutes
        return 0.0 if self.steps or self.epochs else DEFAULT_MINUTES

    @property
    def limit_saves(self) -> int:
        """Saves without a better one after which it ends, 0 = never."""
        if self.patience is not None:
            return self.patience
        return 0 if self.steps or self.epochs else PATIENCE


def train_command(
    options: TrainOptions, processes: int = 0, machines: str = "", first: str = ""
) -> list[str]:
    """Return the argv that trains with these options; several processes share the work by torchrun.

    processes: of a machine; 0 = one for each device that is named. machines: how many may take
    part, e.g. 1:4; then the same line is started on each of them (not on Windows), and first is the
    address of one of them with a free port, e.g. 10.0.0.1:29400.
    """
    argv = command(options)
    processes = processes or len(options.device.split(","))
    if processes == 1 and not machines:
        return argv
    launcher = [argv[0], "-m", LAUNCHER]
    if machines:
        launcher = ["env", FRESH_STORE, *launcher, "--nnodes", machines, "--max-restarts", "100"]
        launcher += ["--rdzv-backend", "c10d", "--rdzv-endpoint", first]
        launcher += ["--rdzv-id", options.experiment.name]
    return [*launcher, "--nproc-per-node", str(processes), *argv[1:]]


@dataclass(frozen=True, kw_only=True)
class VerifyOptions(Options):
    """Convert a clip of an experiment with its finished voice and index, as a proof of both."""

    MODULE = "train.verify"

    experiment: Path = option(EXPERIMENT_HELP)
    voice: Path | None = option("voice file; without it weights/<experiment>.pth", None)
    device: str = option(DEVICE_HELP, "auto")


@dataclass(frozen=True, kw_only=True)
class BuildIndexOptions(Options):
    """Build the feature index of an experiment."""

    MODULE = "train.build_index"

    experiment: Path = option(EXPERIMENT_HELP)
    max_vectors: int = option(
        "a larger set is reduced to k-means centres: to 10000, or to this if it is less",
        200_000,
        within=(1, 2**31),
    )
    device: str = option(f"{DEVICE_HELP}; only a CUDA GPU helps, with large sets", "auto")
