"""The training worker, whose processes are killed in the middle of steps.

DEATHS in the environment tells where, e.g. 1:3,0:5 = process 1 in step 3 and process 0 in step 5,
each once: files in the folder DIED keep count.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from train import processes
from train.options import TrainOptions, parse_options
from train.standard.trainer import StandardTrainer
from train.train import train
from train.worker import run_worker

whole = StandardTrainer.generator_step


def die_or_step(trainer: StandardTrainer, *arguments: Any) -> None:
    """Update the discriminators only, where a death is due."""
    death = f"{processes.rank()}:{trainer.state.step + 1}"
    died = Path(os.environ["DIED"], death.replace(":", "-"))
    if death in os.environ["DEATHS"].split(",") and not died.exists():
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    whole(trainer, *arguments)


if __name__ == "__main__":
    StandardTrainer.generator_step = die_or_step
    run_worker(train, parse_options(TrainOptions))
