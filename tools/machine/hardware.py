"""What this machine can compute with, told without torch: GPUs, torch's build, processors."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import config
from infer.voice.hparams import read_config
from infer.voice.traits import traits
from train.memory import plan_memory

QUERY = ["--query-gpu=index,uuid,name,memory.total,memory.free", "--format=csv,noheader,nounits"]
QUERY_SECONDS = 10.0


@dataclass(frozen=True)
class Gpu:
    """An NVIDIA GPU by its number in nvidia-smi; memory in GiB."""

    index: int
    name: str
    memory: float
    free_memory: float
    uuid: str = ""


@dataclass(frozen=True)
class Choice:
    """What a training runs with here; reasons: (name of a text, its values), most important first.

    devices: what may be chosen instead, each with what is shown of it. A device is named as torch
    does, several that share the work with commas: cuda:0,cuda:1.
    """

    device: str
    devices: tuple[tuple[str, str], ...]
    processes: int
    batch_size: int
    reasons: tuple[tuple[str, dict[str, object]], ...]


def choose(version: str, sample_rate: int) -> Choice:
    """Pick device, processes and batch size for a voice family on this machine."""
    gpus, build, processes = usable_gpus(), torch_build(), num_processors()
    family, hparams = traits(version), read_config(version, sample_rate)
    batch_size = hparams["train"]["batch_size"]
    reasons: list[tuple[str, dict[str, object]]] = []
    device, devices = "cpu", [("CPU", "cpu")]
    if gpus and build != "cpu":
        best = max(gpus, key=lambda gpu: gpu.memory)
        device = f"cuda:{gpus.index(best)}"
        devices = _gpu_choices(gpus, can_share=family.shares_gpus) + devices
        reasons.append(
            (
                "hardware_gpu",
                {"index": best.index, "name": best.name, "memory": f"{best.memory:.0f}"},
            )
        )
        if family.needs_gpu:
            plan = plan_memory(best.memory, sample_rate=sample_rate)
            batch_size = plan.batch_size
            reasons.append(("hardware_batch", {"size": batch_size, "needed": f"{plan.needed:.1f}"}))
            if best.memory < config.SMALL_GPU:
                reasons.append(("hardware_small", {"memory": f"{best.memory:.1f}"}))
            if len(gpus) > 1:
                reasons.append(("hardware_share", {"count": len(gpus)}))
    elif platform.system() == "Darwin" and platform.machine() == "arm64":
        device, devices = "mps", [("Apple GPU", "mps"), *devices]
        reasons.append(("hardware_mps", {}))
    else:
        reasons.append(("hardware_cpu", {"count": processes}))
        if gpus:
            reasons.append(("hardware_gpu_unused", {"name": gpus[0].name}))
        if family.needs_gpu:
            reasons.append(("hardware_slow", {}))
    return Choice(device, tuple(devices), processes, batch_size, tuple(reasons))


def _gpu_choices(gpus: list[Gpu], can_share: bool) -> list[tuple[str, str]]:
    """Each GPU, and all of them together, as (what is shown, device); torch numbers them anew."""
    names = [f"cuda:{number}" for number in range(len(gpus))]
    shown = [f"GPU {gpu.index} · {gpu.name} · {gpu.memory:.0f} GB" for gpu in gpus]
    offered = list(zip(shown, names, strict=True))
    if can_share and len(gpus) > 1:
        offered.append((f"GPU {' + '.join(str(gpu.index) for gpu in gpus)}", ",".join(names)))
    return offered


def with_names(devices: Iterable[str]) -> list[tuple[str, str]]:
    """(What is shown, device) of each device that torch names: a GPU's name and memory."""
    devices = list(devices)
    gpus = usable_gpus() if any(device.startswith("cuda:") for device in devices) else []
    shown = {device: label for label, device in _gpu_choices(gpus, can_share=False)}
    return [(shown.get(device, device), device) for device in devices]


@cache
def has_gpu() -> bool:
    """Whether torch computes on a GPU here."""
    is_apple = platform.system() == "Darwin" and platform.machine() == "arm64"
    return is_apple or (torch_build() != "cpu" and bool(usable_gpus()))


def list_gpus() -> list[Gpu]:
    """NVIDIA GPUs as their driver lists them; none where there is no driver."""
    try:
        listed = subprocess.run(
            ["nvidia-smi", *QUERY], capture_output=True, text=True, timeout=QUERY_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return parse_gpus(listed.stdout) if listed.returncode == 0 else []


def usable_gpus() -> list[Gpu]:
    """The GPUs that torch sees, in its order, once CUDA_DEVICE_ORDER is PCI_BUS_ID."""
    return visible_gpus(list_gpus(), os.environ.get("CUDA_VISIBLE_DEVICES"))


def visible_gpus(gpus: list[Gpu], wanted: str | None) -> list[Gpu]:
    """Those that CUDA_VISIBLE_DEVICES names by number or UUID, up to the first it does not know."""
    if wanted is None:
        return gpus
    found = []
    for word in wanted.split(","):
        name = word.strip()
        match = [gpu for gpu in gpus if _is_called(gpu, name)]
        if len(match) != 1:
            break
        found += match
    return found


def _is_called(gpu: Gpu, name: str) -> bool:
    return str(gpu.index) == name or (name.startswith("GPU-") and gpu.uuid.startswith(name))


def parse_gpus(table: str) -> list[Gpu]:
    """Read what nvidia-smi prints, a GPU a line; the order is QUERY's, memory in MiB."""
    gpus = []
    for line in table.splitlines():
        words = [word.strip() for word in line.split(",")]
        if len(words) >= 5 and words[0].isdecimal() and words[-2].isdecimal():
            free = float(words[-1]) if words[-1].isdecimal() else 0.0
            name, memory = ", ".join(words[2:-2]), float(words[-2]) / 1024
            gpus.append(Gpu(int(words[0]), name, memory, free / 1024, words[1]))
    return gpus


@cache
def torch_build() -> str:
    """What the installed torch computes on: cuda, rocm or cpu, read without importing it."""
    spec = importlib.util.find_spec("torch")
    folders = spec.submodule_search_locations if spec else None
    if not folders:
        return "cpu"
    text = (Path(folders[0]) / "version.py").read_text(encoding="utf-8")
    for build, name in (("cuda", "cuda"), ("rocm", "hip")):
        if re.search(rf"^{name}\b[^=]*= *['\"]", text, re.MULTILINE):
            return build
    return "cpu"


def num_processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
