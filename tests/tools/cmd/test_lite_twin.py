from __future__ import annotations

from pathlib import Path

import pytest

from infer.options import ConvertOptions
from options import Options
from tools.cmd import lite_twin
from train.options import PreprocessOptions, TrainOptions


def test_the_teacher_speaks_at_several_pitches_and_the_twin_learns_from_all_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    steps: list[Options] = []
    monkeypatch.setattr(lite_twin, "run_step", steps.append)
    code = lite_twin.main(
        ["--voice", str(tmp_path / "hers.pth"), "--speech", str(tmp_path), "--semitones", "5"]
    )
    assert code == 0
    spoken = [step for step in steps if isinstance(step, ConvertOptions)]
    assert [step.semitones for step in spoken] == [1, 5, 9]
    (preprocess,) = [step for step in steps if isinstance(step, PreprocessOptions)]
    assert {step.output.parent for step in spoken} == {preprocess.dataset}
    (training,) = [step for step in steps if isinstance(step, TrainOptions)]
    assert training.experiment.name == "hers lite"
    assert steps.index(training) > steps.index(preprocess) > steps.index(spoken[-1])
