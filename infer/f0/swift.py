"""f0 by SwiftF0 (Nieradzik 2025, arXiv:2508.18440), run by onnxruntime."""

from __future__ import annotations

import numpy as np

from infer.f0 import F0_MIN, HOP_LENGTH, windows
from infer.f0.contour import resample_contour
from infer.f0.onnx import OnnxNetwork
from infer.f0.windows import gain_to_peak, packaged_file, track

NETWORK_HOP = 256  # samples
HIGHEST = 2000.0  # Hz; in the network's bins above it, sibilants pass for notes
RANGE = {"fmin": np.asarray(F0_MIN, np.float32), "fmax": np.asarray(HIGHEST, np.float32)}
PEAK = 0.5  # the network finds less and less voice in quieter audio
VOICING_THRESHOLD = 0.35


class SwiftF0:
    """SwiftF0's network; on the CPU, where onnxruntime-gpu is not installed.

    A CPU that has the whole work does it in one thread; one beside a GPU has all its cores free.
    """

    def __init__(
        self,
        device: str = "cpu",
        threads: int | None = None,
        voicing_threshold: float = VOICING_THRESHOLD,
    ) -> None:
        self.voicing_threshold = voicing_threshold
        if threads is None:
            threads = 0 if device.startswith("cuda") else 1
        file = packaged_file("swift_f0", "model.onnx", "swift-f0")
        self.network = OnnxNetwork(file, threads, device)

    def __call__(self, audio: np.ndarray) -> np.ndarray:
        """(N,) float32 at 16 kHz -> (N // 160,) float32 Hz."""
        gain = gain_to_peak(audio, PEAK)
        # shorter windows than others have give the same f0 in a quarter of the memory
        return track(audio, lambda window: self._estimate(window * gain), windows.WINDOW // 4)

    def _estimate(self, window: np.ndarray) -> np.ndarray:
        pitch, confidence = self.network(["pitch", "confidence"], {"audio": window[None], **RANGE})
        positions = np.arange(len(window) // HOP_LENGTH) * (HOP_LENGTH / NETWORK_HOP)
        f0, confidence = resample_contour(pitch[0], confidence[0], positions)
        return np.where(confidence >= self.voicing_threshold, f0, 0)
