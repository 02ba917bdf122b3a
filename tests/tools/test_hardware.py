"""What training runs with, told from the machine without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tools import hardware
from tools.hardware import Gpu, choose, parse_gpus

TABLE = """0, NVIDIA GeForce RTX 3060, 12288, 11000
1, NVIDIA A100-SXM4, 80GB, 81920, 500
[N/A]
2, broken, [N/A], 3
"""


def test_the_list_of_gpus_is_read_also_with_commas_in_names_and_lines_that_say_nothing() -> None:
    assert parse_gpus(TABLE) == [
        Gpu(0, "NVIDIA GeForce RTX 3060", 12.0, 11000 / 1024),
        Gpu(1, "NVIDIA A100-SXM4, 80GB", 80.0, 500 / 1024),
    ]
    assert parse_gpus("") == []


def test_the_build_of_torch_is_what_torch_itself_says(root: Path) -> None:
    code = "import torch.version as t; print('cuda' if t.cuda else 'rocm' if t.hip else 'cpu')"
    said = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert hardware.torch_build() == said.stdout.strip()


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "list_gpus", lambda: parse_gpus(TABLE))


@pytest.mark.usefixtures("two_gpus")
def test_the_gpu_with_most_memory_is_taken_and_sets_the_batch_of_the_standard_families(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hardware, "torch_build", lambda: "cuda")
    standard = choose("v2", 48000)
    assert (standard.device, standard.devices) == ("cuda:1", ("cuda:1", "cuda:0", "cpu"))
    assert standard.batch_size == 32
    assert standard.reasons[0] == (
        "hardware_gpu", {"index": 1, "name": "NVIDIA A100-SXM4, 80GB", "memory": "80"},
    )  # fmt: skip
    assert choose("lite", 24000).batch_size == 8


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
