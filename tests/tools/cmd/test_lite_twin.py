from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

from infer.options import ConvertOptions
from options import Options, command
from tools.cmd import infer_cli, lite_twin
from train.options import PreprocessOptions, TrainOptions


def test_the_teacher_speaks_at_several_pitches_and_the_twin_learns_from_all_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, untrained_voice: Path, english: Path
) -> None:
    steps: list[Options] = []

    def run_step(step: Options) -> None:
        steps.append(step)
        if isinstance(step, ConvertOptions):  # for real; workers have tests of their own
            assert infer_cli.main(command(step)[3:]) == 0

    monkeypatch.setattr(lite_twin, "run_step", run_step)
    monkeypatch.setattr("config.LOGS", tmp_path / "logs")
    speech = tmp_path / "speech"
    speech.mkdir()
    audio, rate = soundfile.read(english, frames=16000)
    soundfile.write(speech / "a.wav", audio, rate)
    asked = ["--voice", str(untrained_voice), "--speech", str(speech), "--semitones", "5"]
    assert lite_twin.main(asked) == 0
    spoken = [step for step in steps if isinstance(step, ConvertOptions)]
    assert [step.semitones for step in spoken] == [1, 5, 9]
    (preprocess,) = [step for step in steps if isinstance(step, PreprocessOptions)]
    heard = [path for path in preprocess.dataset.rglob("*") if path.is_file()]
    assert sorted(path.parent for path in heard) == sorted(step.output for step in spoken)
    (training,) = [step for step in steps if isinstance(step, TrainOptions)]
    assert training.experiment.name == f"{untrained_voice.stem} lite"
    assert steps.index(training) > steps.index(preprocess) > steps.index(spoken[-1])
