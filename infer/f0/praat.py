"""f0 by Praat's autocorrelation method (Boersma 1993), "pm"."""

from __future__ import annotations

import numpy as np

from infer.f0 import F0_MAX, F0_MIN, F0_RATE, HOP_LENGTH, SAMPLE_RATE
from infer.f0.windows import loudest, track

VOICING_THRESHOLD = 0.45  # Praat's default; RVC's 0.6 misses more voiced frames, see docs/f0.md
SILENCE_THRESHOLD = 0.03  # of the loudest sample
# Praat's window is three periods of the lowest pitch; half of it, and half a hop so that the
# number of frames does not hang on a rounding error.
PADDING = int(1.5 * SAMPLE_RATE / F0_MIN) + HOP_LENGTH // 4


class PraatF0:
    """Praat's "to pitch (ac)"; the device is ignored."""

    def __init__(self, device: str = "cpu", voicing_threshold: float = VOICING_THRESHOLD) -> None:
        self.voicing_threshold = voicing_threshold

    def __call__(self, audio: np.ndarray) -> np.ndarray:
        """(N,) float32 at 16 kHz -> (N // 160,) float32 Hz."""
        peak = loudest(audio)
        return track(audio, lambda window: self._estimate(window, peak))

    def _estimate(self, window: np.ndarray, peak: float) -> np.ndarray:
        import parselmouth

        # Praat lays its frames symmetrically about the middle of the sound: with as much after the
        # last frame as before the first, frame i falls on sample 160 i.
        after = PADDING + 1 - HOP_LENGTH - len(window) % HOP_LENGTH
        padded = np.pad(window.astype(np.float64), (PADDING, after))
        pitch = parselmouth.Sound(padded, SAMPLE_RATE).to_pitch_ac(
            time_step=1 / F0_RATE,
            silence_threshold=SILENCE_THRESHOLD * peak / loudest(window),
            voicing_threshold=self.voicing_threshold,
            pitch_floor=F0_MIN,
            pitch_ceiling=F0_MAX,
        )
        return pitch.selected_array["frequency"]
