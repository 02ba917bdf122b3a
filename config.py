"""This machine: where files live and which device computes. (configs/ holds the networks.)"""

from __future__ import annotations

import json
import math
import os
import secrets
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from errors import UserError

if TYPE_CHECKING:
    import torch

ROOT = Path(__file__).resolve().parent
ASSETS = ROOT / "assets"  # shipped inputs: the encoder, base models, examples, texts
CONFIGS = ROOT / "configs"  # hyperparameters of the networks
EXAMPLE = ASSETS / "examples/english.flac"  # speech for trials
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

BFLOAT16_FILE = DATA / ".bfloat16.json"  # how fast it was measured, by processor
BFLOAT16_GAIN = 1.2  # from which it is worth its rounding
BFLOAT16_ROUNDS = 6

UNFINISHED = ".part"  # ends the names of files that are being written
UNFINISHED_AUDIO = ".*.tmp"  # audio that is being written: hidden, beside its later name


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
    """Where a process writes an audio file until it is whole, see UNFINISHED_AUDIO."""
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


def share_processors() -> None:
    """Have threads that wait give their core to others, and be no more than a container may use.

    Two that wait for each other in a loop, as is usual, take ten times as long beside other work.
    OpenMP reads this when torch or faiss loads it, so packages call it before; what the
    environment says already stays.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if sys.platform == "linux":
        limit = processor_limit(Path("/sys/fs/cgroup/cpu.max"))
        if limit is not None and limit < len(os.sched_getaffinity(0)):
            os.environ.setdefault("OMP_NUM_THREADS", str(limit))


def processor_limit(file: Path) -> int | None:
    """The processors that a Linux container may keep busy, None = all that it sees."""
    try:
        quota, period = file.read_text(encoding="ascii").split()
    except OSError:
        return None
    return None if quota == "max" else max(1, round(int(quota) / int(period)))


def autocast(device: torch.device) -> torch.autocast:
    """A context in which matrix products are bfloat16 where that is faster on the device."""
    import torch

    if device.type == "cuda":
        is_fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        is_fast = device.type == "cpu" and is_bfloat16_faster()
    return torch.autocast(device.type, torch.bfloat16, enabled=is_fast, cache_enabled=False)


def is_half_fast(device: torch.device) -> bool:
    """Whether a device is a CUDA GPU with tensor cores; GTX 16xx have none, and overflow."""
    import torch

    has_cores = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (7, 0)
    return has_cores and "GTX 16" not in torch.cuda.get_device_name(device)


def half(device: torch.device) -> AbstractContextManager[object]:
    """A context in which a conversion's matrix products are float16 where the GPU is fast in it."""
    import torch

    if not is_half_fast(device):
        return nullcontext()
    return torch.autocast(device.type, torch.float16, cache_enabled=False)


@cache
def is_bfloat16_faster() -> bool:
    """Whether this processor multiplies faster in bfloat16: measured once, then read from a file.

    It takes a third of a second, and none where the hardware has no bfloat16.
    """
    import torch

    found: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    if not (found.get("avx512_bf16") or found.get("amx_bf16")):
        return False
    threads = torch.get_num_threads()
    processor = f"{found.get('cpu_name')}, {threads} threads, torch {torch.__version__}"
    known: dict[str, float] = {}
    with suppress(OSError, ValueError):
        known = dict(json.loads(BFLOAT16_FILE.read_text(encoding="utf-8")))
    if not isinstance(known.get(processor), float):
        known[processor] = _bfloat16_gain()
        with suppress(OSError):  # a data root that cannot be written to
            BFLOAT16_FILE.parent.mkdir(parents=True, exist_ok=True)
            with replacing(BFLOAT16_FILE) as temporary:
                temporary.write_text(json.dumps(known, indent=1), encoding="utf-8")
    return known[processor] >= BFLOAT16_GAIN


def _bfloat16_gain() -> float:
    """How many times as fast as in float32 the encoder's largest layers are, casts included."""
    import torch
    from torch.nn import functional

    random = torch.Generator().manual_seed(0)
    shapes = (500, 512), (2048, 512), (512, 2048)  # 10 s, and the layers
    x, inner, outer = (torch.randn(shape, generator=random) for shape in shapes)

    def seconds(dtype: torch.dtype) -> float:
        started = time.perf_counter()
        is_cast = dtype != torch.float32
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, is_cast, False):
            functional.linear(functional.gelu(functional.linear(x, inner)), outer)
        return time.perf_counter() - started

    # in turns, so that what else runs slows both; the first ones prepare kernels
    rounds = [(seconds(torch.float32), seconds(torch.bfloat16)) for _ in range(BFLOAT16_ROUNDS)]
    plain, cast = (min(times) for times in zip(*rounds, strict=True))
    return plain / cast


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
