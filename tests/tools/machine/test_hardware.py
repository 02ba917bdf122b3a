"""What training runs with, told from the machine without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tools.machine import hardware
from tools.machine.hardware import Gpu, choose, parse_gpus

TABLE = """0, GPU-5f3c, NVIDIA GeForce RTX 3060, 12288, 11000
1, GPU-9a0b, NVIDIA A100-SXM4, 80GB, 81920, 500
[N/A]
2, GPU-77, broken, [N/A], 3
"""


def test_the_list_of_gpus_is_read_also_with_commas_in_names_and_lines_that_say_nothing() -> None:
    assert parse_gpus(TABLE) == [
        Gpu(0, "NVIDIA GeForce RTX 3060", 12.0, 11000 / 1024, "GPU-5f3c"),
        Gpu(1, "NVIDIA A100-SXM4, 80GB", 80.0, 500 / 1024, "GPU-9a0b"),
    ]
    assert parse_gpus("") == []


def test_the_build_of_torch_is_what_torch_itself_says(root: Path) -> None:
    code = "import torch.version as t; print('cuda' if t.cuda else 'rocm' if t.hip else 'cpu')"
    said = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert hardware.torch_build() == said.stdout.strip()


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "list_gpus", lambda: parse_gpus(TABLE))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.usefixtures("two_gpus")
def test_the_gpu_with_most_memory_is_taken_and_sets_the_batch_of_the_standard_families(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hardware, "torch_build", lambda: "cuda")
    standard = choose("v2", 48000)
    each = (
        ("GPU 0 · NVIDIA GeForce RTX 3060 · 12 GB", "cuda:0"),
        ("GPU 1 · NVIDIA A100-SXM4, 80GB · 80 GB", "cuda:1"),
    )
    together = ("GPU 0 + 1", "cuda:0,cuda:1")
    assert (standard.device, standard.devices) == ("cuda:1", (*each, together, ("CPU", "cpu")))
    assert standard.batch_size == 32  # of 80 GB
    assert standard.reasons[0] == (
        "hardware_gpu", {"index": 1, "name": "NVIDIA A100-SXM4, 80GB", "memory": "80"},
    )  # fmt: skip
    assert standard.reasons[-1] == ("hardware_share", {"count": 2})
    lite = choose("lite", 24000)
    assert (lite.batch_size, lite.devices) == (8, (*each, ("CPU", "cpu")))


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("variable", "numbers"),
    [("1,0", [1, 0]), ("1", [1]), ("GPU-5f", [0]), ("1,7,0", [1]), ("", []), ("-1", [])],
)
def test_gpus_that_are_hidden_from_torch_are_not_offered_and_the_others_have_its_numbers(
    monkeypatch: pytest.MonkeyPatch, variable: str, numbers: list[int]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    monkeypatch.setattr(hardware, "torch_build", lambda: "cuda")
    assert [gpu.index for gpu in hardware.usable_gpus()] == numbers
    shown = [name.split(" · ")[0] for name, _ in choose("lite", 24000).devices[:-1]]
    assert shown == [f"GPU {number}" for number in numbers]
    devices = [device for _, device in choose("lite", 24000).devices]
    assert devices == [*(f"cuda:{position}" for position in range(len(numbers))), "cpu"]


@pytest.mark.usefixtures("two_gpus")
def test_a_gpu_that_torch_cannot_use_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "torch_build", lambda: "cpu")
    monkeypatch.setattr(hardware.platform, "system", lambda: "Linux")
    choice = choose("v2", 48000)
    assert choice.device == "cpu"
    assert [name for name, _ in choice.reasons] == [
        "hardware_cpu", "hardware_gpu_unused", "hardware_slow",
    ]  # fmt: skip


def test_without_a_driver_there_are_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert hardware.list_gpus() == []


@pytest.mark.usefixtures("two_gpus")
def test_a_device_to_convert_on_is_shown_by_its_name_and_memory() -> None:
    assert hardware.with_names(["auto", "cuda:1", "cpu"]) == [
        ("auto", "auto"),
        ("GPU 1 · NVIDIA A100-SXM4, 80GB · 80 GB", "cuda:1"),
        ("cpu", "cpu"),
    ]
    assert hardware.with_names(["cuda:7"]) == [("cuda:7", "cuda:7")]
