"""This machine: where files live and which device computes. (configs/ holds the networks.)"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

ROOT = Path(__file__).resolve().parent
ASSETS = ROOT / "assets"  # shipped and downloaded inputs: encoders, base models, examples
CONFIGS = ROOT / "configs"  # hyperparameters of the networks
LOGS = ROOT / "logs"  # one folder per experiment
DATASETS = ROOT / "datasets"  # recordings that were added in the page, a folder per experiment
WEIGHTS = ROOT / "weights"  # voice models the user makes or drops in

DOWNLOADS = ASSETS / "downloads"  # what is fetched by tools.cmd.download_assets
LITE = ASSETS / "lite"  # everything the offline default needs


def autocast(device: torch.device) -> torch.autocast:
    """A context in which matrix products are bfloat16 where the device's hardware has it."""
    import torch

    if device.type == "cuda":
        is_fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        capabilities = getattr(torch.cpu, "get_capabilities", dict)()
        is_fast = device.type == "cpu" and bool(
            capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
        )
    return torch.autocast(device.type, torch.bfloat16, enabled=is_fast, cache_enabled=False)


def pick_device(name: str = "auto") -> torch.device:
    """The torch device of that name; "auto" is the first CUDA GPU, else Apple's GPU, else the CPU.

    Raises ValueError for a name torch does not know or a device this machine does not have.
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
        raise ValueError(f"unknown device {name!r}; use auto, cpu, cuda:0, mps ...") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"no device {name!r} here: torch sees {torch.cuda.device_count()} CUDA GPUs; "
            "use --device cpu"
        )
    return device
