"""Networks in ONNX files, run by onnxruntime: on the CPU, or by onnxruntime-gpu on a CUDA GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from errors import CheckpointError

CUDA = "CUDAExecutionProvider"


class OnnxNetwork:
    """One network; what it took to run is given back after every run."""

    def __init__(self, path: Path, threads: int = 0, device: str = "cpu") -> None:
        """threads: 0 = one for each core. device: cuda:N is taken where onnxruntime can.

        ValueError where the file is damaged.
        """
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as failures

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4  # it would print what is raised
        damages = failures.Fail, failures.InvalidGraph, failures.InvalidProtobuf
        providers: list[Any] = ["CPUExecutionProvider"]
        if device.startswith("cuda") and CUDA in onnxruntime.get_available_providers():
            number = device.partition(":")[2] or "0"
            providers.insert(0, (CUDA, {"device_id": number}))
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=providers)
        except damages as error:
            raise CheckpointError("damaged", file=path, reason=str(error)) from error
        self._failures = failures.Fail, failures.RuntimeException
        self._run_options = onnxruntime.RunOptions()
        if len(providers) == 1:  # a GPU's memory is not short of what a network this small takes
            self._run_options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        self._run_options.log_severity_level = 4
        self.input: str = self._session.get_inputs()[0].name

    def __call__(
        self, outputs: list[str] | None, inputs: dict[str, np.ndarray]
    ) -> list[np.ndarray]:
        """The outputs of these names, None = all. RuntimeError, e.g. where memory is refused."""
        try:
            return self._session.run(outputs, inputs, self._run_options)
        except self._failures as error:  # they are no RuntimeErrors by themselves
            raise RuntimeError(str(error)) from error
