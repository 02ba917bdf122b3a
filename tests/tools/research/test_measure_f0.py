from __future__ import annotations

import numpy as np
import pytest

from infer.f0 import HOP_LENGTH
from tools.research.measure_f0 import MeasureF0Options, Score, measure_f0, synthesize_voice


def test_a_score_counts_each_kind_of_error_once() -> None:
    truth = np.array([100, 100, 100, 100, 0, 0, np.nan])
    score = Score()
    score.add(np.array([100, 200, 0, 110, 0, 90, 50.0]), truth)
    assert (score.voiced, score.unvoiced, score.both) == (4, 2, 3)
    assert (score.missed, score.false, score.gross, score.semitone) == (1, 1, 1, 2)
    assert score.frame_error() == pytest.approx(3 / 6)


def test_the_synthetic_voice_and_its_truth_have_the_same_frames() -> None:
    audio, truth = synthesize_voice(np.random.default_rng(0), short=True)
    assert len(truth) == len(audio) // HOP_LENGTH
    blocks = np.abs(audio[: len(truth) * HOP_LENGTH]).reshape(-1, HOP_LENGTH).max(axis=1)
    assert blocks[truth > 0].mean() > 3 * blocks[truth == 0].mean()


def test_the_measurement_prints_a_row_for_each_method() -> None:
    table = measure_f0(MeasureF0Options(methods="pm,swift", short=True))
    assert table.count("| pm |") == table.count("| swift |") == 2
    assert "**synthetic**" in table and "recordings" not in table
