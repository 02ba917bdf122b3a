"""What a refusal of memory looks like, from allocators that really refuse."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from infer.memory import is_out_of_memory


def test_what_allocators_say_is_recognised() -> None:
    for ask in (lambda: torch.empty(2**55), lambda: np.empty(2**55), lambda: bytearray(2**60)):
        with pytest.raises((RuntimeError, MemoryError)) as refused:
            ask()
        assert is_out_of_memory(refused.value)
    for said in (
        "std::bad_alloc",
        "could not create a primitive",
        "MPS backend out of memory (MPS allocated: 1 GB)",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    ):
        assert is_out_of_memory(RuntimeError(said))
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))


@pytest.mark.skipif(sys.platform != "linux", reason="limits its own address space")
def test_what_onnxruntime_says_is_recognised_and_it_goes_on_with_memory(
    root: Path,
) -> None:
    code = """
import resource
import numpy as np
from infer.f0 import load_f0_method
from infer.memory import is_out_of_memory

method = load_f0_method("swift")
audio = np.random.default_rng(0).normal(0, 0.1, 26 * 16000).astype(np.float32)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
before = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (used + 16 * 2**20, before[1]))
try:
    method(audio)
except RuntimeError as error:
    print(is_out_of_memory(error))
resource.setrlimit(resource.RLIMIT_AS, before)
print(len(method(audio)))
"""
    ran = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert ran.stdout.split() == ["True", "2600"], ran.stderr
    assert ran.stderr == ""


def test_other_errors_are_none_of_memory() -> None:
    with pytest.raises(RuntimeError) as wrong:
        torch.ones(2, 3) @ torch.ones(2, 3)
    for error in (wrong.value, ValueError("out of memory"), OSError("out of memory")):
        assert not is_out_of_memory(error)
