"""This machine: where files live and which device computes. (configs/ holds the networks.)"""

from __future__ import annotations

import math
import os
import secrets
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from errors import UserError

if TYPE_CHECKING:
    import torch

ROOT = Path(__file__).resolve().parent
ASSETS = ROOT / "assets"  # shipped inputs: the encoder, base models, examples, texts
CONFIGS = ROOT / "configs"  # hyperparameters of the networks
LITE = ASSETS / "lite"  # everything the offline default needs

# Everything that is written lies below RVC_DATA, a folder on another disk for instance (a relative
# one is seen from the program's folder); without it, in the program's folder.
DATA = (ROOT / Path(os.environ.get("RVC_DATA", "")).expanduser()).resolve()
LOGS = DATA / "logs"  # one folder per experiment
DATASETS = DATA / "datasets"  # recordings that were added in the page, a folder per experiment
WEIGHTS = DATA / "weights"  # voice models the user makes or drops in
RESULTS = DATA / "results"  # what the page converted
DOWNLOADS = DATA / "assets" / "downloads"  # weights that do not come with the program
DOWNLOAD_COMMAND = "python -m tools.cmd.download_assets"  # fetches them

UNFINISHED = ".part"  # ends the names of files that are being written


@dataclass(frozen=True)
class ChunkSizes:
    """How long recordings are cut to be converted, in seconds; RVC's four numbers.

    x_pad: audio on each side of a chunk that is computed and thrown away. x_query: on each side of
    the place for a cut, where silence is looked for. x_center: between two cuts. x_max: a recording
    up to this long is left in one piece. UserError if they do not fit together.
    """

    x_pad: float
    x_query: float
    x_center: float
    x_max: float

    def __post_init__(self) -> None:
        if not (self.x_pad >= 0 and 0 < 2 * self.x_query < self.x_center <= self.x_max):
            sizes = {"center": self.x_center, "query": self.x_query, "max": self.x_max}
            raise UserError("chunk_sizes", **sizes)

    def halved(self) -> ChunkSizes:
        """Half as long, with as much context. ValueError: nothing sensible is shorter."""
        if self.x_center < 2 * LEAST_CENTER:
            raise ValueError(f"chunks of {self.x_center:g} s cannot be halved")
        names = ("x_query", "x_center", "x_max")
        return replace(self, **{name: getattr(self, name) / 2 for name in names})


SMALL_GPU = 4  # GiB; a GPU with less trains no v1 and v2 voices, and converts in shorter chunks
LEAST_CENTER = 2.0  # seconds; shorter chunks would be little more than their context
# By how a voice family cuts, each from so many GiB of free GPU memory on. Processors need little
# for any length. Change a row here, or give --x-pad, --x-query, --x-center and --x-max.
CHUNK_SIZES = {
    "centers": (  # v1, v2
        (SMALL_GPU, ChunkSizes(x_pad=1, x_query=6, x_center=38, x_max=41)),
        (2, ChunkSizes(x_pad=1, x_query=5, x_center=30, x_max=32)),
        (0, ChunkSizes(x_pad=1, x_query=2.5, x_center=15, x_max=16)),
    ),
    "quietest": ((0, ChunkSizes(x_pad=1, x_query=8, x_center=24, x_max=24)),),  # lite
}


def plan_chunks(cuts: str, device: torch.device) -> ChunkSizes:
    """The chunk sizes for a way of cutting and the memory that is free on a device."""
    free = free_memory(device)
    return next(sizes for least, sizes in CHUNK_SIZES[cuts] if free >= least)


def free_memory(device: torch.device) -> float:
    """GiB that this process can have on a GPU; infinite for a processor."""
    import torch

    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return (torch.cuda.mem_get_info(device)[0] + cached) / 2**30
    if device.type == "mps":
        return (torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()) / 2**30
    return math.inf


def unfinished(path: Path, process: int) -> Path:
    """Where a process writes an audio file until it is whole: hidden, beside its later name."""
    number = zlib.crc32(os.fsencode(path.name))  # a name itself may be as long as names can be
    return path.with_name(f".{process}-{number:08x}.tmp")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it takes the place of `path` when all went well.

    No other writer of the same file has it: the last one's content stays, whole.
    """
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}{UNFINISHED}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def autocast(device: torch.device) -> torch.autocast:
    """A context in which matrix products are bfloat16 where the device's hardware has it."""
    import torch

    if device.type == "cuda":
        is_fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
        is_fast = device.type == "cpu" and bool(
            capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
        )
    return torch.autocast(device.type, torch.bfloat16, enabled=is_fast, cache_enabled=False)


def pick_device(name: str = "auto") -> torch.device:
    """The torch device of that name; "auto" is the first CUDA GPU, else Apple's GPU, else the CPU.

    Raises UserError for a name torch does not know or a device this machine does not have.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            name = "cuda:0"
        elif torch.backends.mps.is_available():
            name = "mps"
        else:
            name = "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError("unknown_device", name=name) from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError("no_device", name=name, count=torch.cuda.device_count())
    return device
