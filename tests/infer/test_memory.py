"""What a refusal of memory looks like, from allocators that really refuse."""

from __future__ import annotations

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


def test_other_errors_are_none_of_memory() -> None:
    with pytest.raises(RuntimeError) as wrong:
        torch.ones(2, 3) @ torch.ones(2, 3)
    for error in (wrong.value, ValueError("out of memory"), OSError("out of memory")):
        assert not is_out_of_memory(error)
