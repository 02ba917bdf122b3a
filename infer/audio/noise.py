"""How far speech is above steady noise."""

from __future__ import annotations

import numpy as np

SMOOTHING = 3  # frames
QUANTILE = 0.03  # the quietest moments of each band's smoothed power
BIAS = 1.78  # mean of steady noise / that quantile of its smoothed power (measured)
SNR_RANGE = (-10.0, 70.0)  # dB; beyond, the estimate says nothing


def signal_to_noise(power: np.ndarray, silence: float) -> float:
    """Speech over noise in dB, from (T, bands) power of 10 ms frames; 0 where there is no sound.

    Steady noise is what remains when a band falls silent: between words, and in the many
    time-frequency places that speech leaves empty while it lasts. silence: power of a frame up to
    which a gate or an editor made it, so that it says nothing about the room.
    """
    total = power.sum(axis=1)
    is_sound = total > silence
    if is_sound.sum() < SMOOTHING:
        return 0.0
    power, total = power[is_sound], total[is_sound]
    sums = np.cumsum(np.pad(power, ((1, 0), (0, 0))), axis=0, dtype=np.float64)
    smooth = (sums[SMOOTHING:] - sums[:-SMOOTHING]) / SMOOTHING
    noise = BIAS * np.quantile(smooth, QUANTILE, axis=0).sum()
    speech = total.mean() - noise
    if speech <= 0:
        return SNR_RANGE[0]
    return float(np.clip(10 * np.log10(speech / max(noise, 1e-12)), *SNR_RANGE))
