"""Per-speaker normalisation of content: removes almost all that differs between speakers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LIMIT = 6.0  # normalised content beyond this is an outlier
PRIOR_FRAMES = 50  # weight of the average voice in a recording's statistics (1 s)
KNOWN_FRAMES = 250  # weight of what was known of a speaker before (5 s)
SPEECH_RANGE = 3.5  # log10 energy below the loud frames at which speech ends (35 dB)


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation of each content value over somebody's speech, (dim,) each."""

    mean: np.ndarray
    std: np.ndarray
    limit: float = LIMIT

    def normalize(self, content: np.ndarray) -> np.ndarray:
        """(T, dim) raw content -> zero mean, unit variance over that speech; within +-limit."""
        return np.clip((content - self.mean) / self.std, -self.limit, self.limit)


class RunningStatistics:
    """Collects Statistics over a recording, started from what an average voice has.

    Notes are held at one loudness, speech is not. So the loudness, the last value, varies by no
    less than an average voice's, or the softer notes would count as silence; and what is loud lies
    a deviation above the mean at least, as in speech, or notes would count as half loud.
    """

    is_final = False  # more speech makes them better

    def __init__(self, prior: Statistics, prior_frames: int = PRIOR_FRAMES) -> None:
        self.least_spread = prior.std[-1]  # of the log10 energy
        self.loud = np.inf  # log10 energy of the loud frames; infinite = none yet
        self._start(prior.mean, prior.std, prior_frames)

    def begin_with(self, mean: np.ndarray, std: np.ndarray) -> None:
        """Start from a speaker who was heard before, instead of the average voice: (dim,) each."""
        self._start(mean, std, KNOWN_FRAMES)

    def _start(self, mean: np.ndarray, std: np.ndarray, frames: int) -> None:
        self.count = float(frames)
        self.sum = mean.astype(np.float64) * self.count
        self.squares = (std.astype(np.float64) ** 2 + mean.astype(np.float64) ** 2) * self.count

    def update(self, content: np.ndarray) -> None:
        """Add the frames of (T, dim) raw content that are speech, not pauses."""
        if len(content) == 0:
            return
        energy = content[:, -1]
        loud = float(np.percentile(energy, 95))
        self.loud = loud if self.loud == np.inf else max(self.loud, loud)
        speech = content[energy > loud - SPEECH_RANGE].astype(np.float64)
        self.count += len(speech)
        self.sum = self.sum + speech.sum(0)
        self.squares = self.squares + (speech**2).sum(0)

    def result(self) -> Statistics:
        """Return the statistics of everything so far."""
        mean = self.sum / self.count
        std = np.sqrt(np.maximum(self.squares / self.count - mean**2, 1e-6))
        std[-1] = max(std[-1], self.least_spread)
        mean[-1] = min(mean[-1], self.loud - std[-1])
        return Statistics(mean.astype(np.float32), std.astype(np.float32))


class NoStatistics:
    """For encoders whose values are used as they are: its result changes nothing."""

    is_final = True

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def update(self, content: np.ndarray) -> None:
        """Nothing is collected."""

    def result(self) -> Statistics:
        """Mean 0, deviation 1, no limit."""
        return Statistics(np.zeros(self.dim, np.float32), np.ones(self.dim, np.float32), np.inf)
