"""How long a whole training still takes: its step by its own pace, those ahead by those before."""

from __future__ import annotations

from collections.abc import Sequence

from options import parse_options
from tools.jobs.jobs import module_of
from train.options import TrainOptions
from train.worker import ProgressLine

PACES = {  # how long the steps take beside each other; training lasts as long as it is told to
    "train.preprocess": 1.0,
    "train.extract_f0": 1.0,
    "train.extract_features": 3.0,
    "train.build_index": 0.1,
    "train.verify": 0.1,
}


def seconds_left(
    commands: Sequence[Sequence[str]],
    took: Sequence[float],
    progress: ProgressLine | None,
    trained: float,
) -> float | None:
    """Return seconds until the last step is done; None while that cannot be told.

    commands: of a job; took: seconds of those that are done; progress: of the one
    after them; trained: seconds that training has had before.
    """
    modules = [module_of(words) for words in commands]
    spent = dict(zip(modules, took, strict=False))
    now, left = modules[len(took)] if len(took) < len(modules) else "", 0.0
    ahead = list(zip(modules, commands, strict=True))[len(took) :]
    if progress and progress.seconds_left is not None and now:
        left = progress.seconds_left
        share = progress.done / progress.total if progress.total else 1.0
        if share < 1:
            spent[now] = left / (1 - share)
        del ahead[0]
    paces = [PACES[module] for module in spent if module in PACES]
    pace = sum(spent[module] for module in spent if module in PACES) / sum(paces) if paces else None
    for module, words in ahead:
        if module == TrainOptions.MODULE:
            arguments = list(words[list(words).index(module) + 1 :])
            minutes = parse_options(TrainOptions, arguments).limit_minutes
            if not minutes:
                return None  # epochs, whose pace nobody knows yet
            left += max(0.0, 60 * minutes - trained)
        elif pace is None or module not in PACES:
            return None
        else:
            left += pace * PACES[module]
    return left
