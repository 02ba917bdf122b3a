"""The measurement on a GPU runs to its end: tried on the processor with small networks."""

from __future__ import annotations

import re
import sys

import pytest
import torch

from errors import UserError
from infer.f0 import rmvpe
from tools.research import bench
from tools.research import gpu as module
from tools.research.gpu import GpuOptions, gpu


@pytest.mark.slow
def test_every_row_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "TRAINING_FRAMES", 40)
    monkeypatch.setattr(rmvpe, "BLOCKS", 1)
    gpu(GpuOptions(device="cpu", small=True))
    printed = capsys.readouterr().out
    rows = re.findall(r"^\| (.+?) \| (.+?) \| .*\|$", printed, re.MULTILINE)[2:]
    assert [name.split(",")[0] for name, _ in rows] == [
        "v2 40k training step", "v2 40k synthesizer", "conversion of 3 s", "conversion of 3 s",
        "lite training",
    ]  # fmt: skip
    assert all(float(re.search(r"[\d.]+", figure)[0]) > 0 for _, figure in rows)
    for _, figure in rows[2:4]:
        total, *stages = map(float, re.findall(r"(\d+\.\d\d)", figure))
        assert sum(stages) == pytest.approx(total, rel=0.1, abs=0.1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
def test_without_a_gpu_it_says_so_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu"])
    assert module.main() == 1
    assert capsys.readouterr().out.count("\n") == 1
    with pytest.raises(UserError, match="cuda:0"):
        gpu(GpuOptions())
