"""How long a whole training still takes, told by what is known of its steps."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.jobs.ahead import PACES, seconds_left
from tools.jobs.jobs import argv_of
from tools.jobs.training import Settings, commands
from train.experiment import Experiment
from train.worker import parse_progress


def steps(**changes: object) -> list[list[str]]:
    """The commands of a job."""
    settings = Settings(**{"dataset": "d", "minutes": 20.0, **changes})
    return [argv_of(each)[2:] for each in commands(Experiment(Path("logs/mi")), settings)]


def test_the_minutes_asked_for_count_from_the_beginning_and_steps_by_those_before() -> None:
    line = parse_progress("preprocess 30/40 (75%) 1.0 files/s, 0:10 left")
    left = seconds_left(steps(), [], line, trained=0)
    others = sum(PACES.values()) - PACES["train.preprocess"]
    assert left == pytest.approx(10 + 20 * 60 + 40 * others)
    # the same a moment later, when the next step has told nothing yet
    assert seconds_left(steps(), [40.0], None, trained=0) == pytest.approx(left - 10)
    assert seconds_left(steps(), [40.0], None, trained=600) == pytest.approx(left - 10 - 600)


def test_while_it_trains_its_own_time_left_and_the_short_steps_after_it() -> None:
    line = parse_progress("train 5:00/20:00 (25%), 15:00 left, step 7")
    took = [100.0, 100.0, 100.0 * PACES["train.extract_features"]]
    left = seconds_left(steps(), took, line, trained=300)
    assert left == pytest.approx(900 + 100 * 0.2, rel=0.01)
    two_gpus = steps(kind="v2 40k", device="cuda:0,cuda:1", epochs=5)
    line = parse_progress("train 10/40 (25%) 2.0 steps/s, 0:15 left, step 10")
    assert seconds_left(two_gpus, took, line, trained=0) == pytest.approx(15 + 20, rel=0.01)


def test_epochs_that_have_not_begun_take_nobody_knows_how_long() -> None:
    assert seconds_left(steps(kind="v2 40k"), [40.0], None, trained=0) is None
    assert seconds_left(steps(), [], None, trained=0) is None
