"""What training measured: its losses for the curves of the page, and how a clip sounded."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from train.experiment import Experiment

if TYPE_CHECKING:
    import numpy as np  # the page reads the losses only

SAMPLES_KEPT = 20  # the newest
PATIENCE = 4  # saves without a better one, after which a training has learnt what it can
WORDS_WEIGHT = 5.0  # of words lost beside the held-out loss: docs/research/ears.md
ORIGINAL = "original"  # the sample that is the recording itself


def save_cost(held_out: float, words: float | None = None) -> float:
    """How bad a save is: far from the voice (its held-out loss), and forgetful of words (0..1)."""
    if words is None or math.isnan(words):
        return held_out
    return held_out + WORDS_WEIGHT * (1 - words)


def append_metrics(experiment: Experiment, step: int, **values: float) -> None:
    """Note losses by name at a step; values that are not finite are left out."""
    known = {name: round(value, 5) for name, value in values.items() if math.isfinite(value)}
    line = json.dumps({"step": step, **known}) + "\n"
    with experiment.metrics_file.open("ab") as file:
        file.write(line.encode("ascii"))


def read_metrics(experiment: Experiment) -> list[dict[str, float]]:
    """Entries by ascending step; a run that goes on from an earlier state replaces what followed.

    Half a line from a killed process is ignored.
    """
    entries: list[dict[str, float]] = []
    if not experiment.metrics_file.is_file():
        return entries
    text = experiment.metrics_file.read_text(encoding="utf-8", errors="replace")
    for line in text.splitlines():
        try:
            items = json.loads(line).items()
        except (ValueError, AttributeError, RecursionError):
            continue
        entry = {name: value for name, value in items if type(value) in (int, float)}
        if "step" not in entry:
            continue
        while entries and _is_replaced(entries[-1], entry):
            entries.pop()
        entries.append(entry)
    return entries


def _is_replaced(earlier: dict[str, float], entry: dict[str, float]) -> bool:
    """Tell whether an entry is of a run that was killed, and repeated by the later one."""
    if earlier["step"] == entry["step"]:  # a run reaches a step at one time
        return earlier.get("seconds") != entry.get("seconds")
    return earlier["step"] > entry["step"]


def write_sample(
    experiment: Experiment, step: int | None, audio: np.ndarray, sample_rate: int
) -> None:
    """Keep how a held-out clip sounds at a step, None = in the recording; audio: (N,) float32."""
    from infer.audio.writer import write_wav

    path = experiment.sample_file(ORIGINAL if step is None else str(step))
    path.parent.mkdir(exist_ok=True)
    write_wav(path, audio, sample_rate, "PCM_16")
    for old in sampled_steps(experiment)[:-SAMPLES_KEPT]:
        experiment.sample_file(str(old)).unlink()


def sampled_steps(experiment: Experiment) -> list[int]:
    """Steps that there are samples of, ascending."""
    files = experiment.sample_file(ORIGINAL).parent.glob("*.wav")
    return sorted(int(path.stem) for path in files if path.stem.isdecimal())
