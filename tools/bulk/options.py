"""What bulk work is asked for (no third-party import)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from errors import UserError
from infer.content import CONTENT_ENCODERS
from infer.f0 import F0_METHODS, default_f0_method
from infer.options import ConvertOptions
from options import Options, command, option

LOCAL = "local"  # address of a cluster that is made of this machine, for one command
DEVICE_HELP = "torch device of a worker; auto = its GPU, where --gpus-per-worker gives it one"
ONE_RECORDING = ("f0_file", "save_f0", "into")  # options of a conversion that mean one recording


@dataclass(frozen=True, kw_only=True)
class BulkOptions(Options):
    """What `python -m tools.cmd.bulk ACTION` takes; each action is a class of its own."""

    MODULE = "tools.cmd.bulk"
    ACTION: ClassVar[str] = ""

    input: Path = option("folder of recordings, or a text file with the path of one on each line")
    output: Path = option("folder for the results")
    report: Path | None = option(
        "manifest of what became of each recording; without it bulk.jsonl in the output", None
    )
    address: str = option(
        "local = this machine alone, auto = the Ray cluster that it belongs to, or an address",
        LOCAL,
    )
    workers: int = option("processes, of which each keeps its models", 1, within=(1, 10_000))
    cpus_per_worker: float = option("processors of each", 1.0, within=(0.01, 1024))
    gpus_per_worker: float = option("GPUs of each; 0.5 = two share one", 0.0, within=(0, 64))

    @property
    def manifest(self) -> Path:
        """Where the outcomes are noted."""
        return self.report or self.output / "bulk.jsonl"


@dataclass(frozen=True, kw_only=True)
class BulkConvertOptions(BulkOptions, ConvertOptions):
    """Convert many recordings to another voice."""

    ACTION = "convert"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ONE_RECORDING:
            if getattr(self, name):
                flag = f"--{name.replace('_', '-')}"
                raise UserError("one_recording", flag=flag, folder=self.input)


@dataclass(frozen=True, kw_only=True)
class BulkF0Options(BulkOptions):
    """Write the melody of many recordings: Hz, 100 a second, 0 where unvoiced, as .npy."""

    ACTION = "extract_f0"

    method: str = option("how the melody is found", default_f0_method, choices=F0_METHODS)
    device: str = option(DEVICE_HELP, "auto")


@dataclass(frozen=True, kw_only=True)
class BulkFeaturesOptions(BulkOptions):
    """Write what is said in many recordings: content features, 50 a second, as .npy."""

    ACTION = "extract_features"

    encoder: str = option("content encoder, e.g. contentvec-768", next(iter(CONTENT_ENCODERS)))
    device: str = option(DEVICE_HELP, "auto")


BULK_ACTIONS = {cls.ACTION: cls for cls in (BulkConvertOptions, BulkF0Options, BulkFeaturesOptions)}


def bulk_command(options: BulkOptions) -> list[str]:
    """Return the argv that does what these options say."""
    python, dash, module, *arguments = command(options)
    return [python, dash, module, options.ACTION, *arguments]
