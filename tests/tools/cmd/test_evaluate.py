"""The figures of the evaluation, where no judge is needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tools.cmd import evaluate as module
from tools.cmd.evaluate import EvaluateOptions, evaluate
from tools.cmd.judges import count_word_errors, normalize_words


def test_word_errors_are_counted_over_normalised_words() -> None:
    said = normalize_words("Please call 21 people, Mr. Smith!")
    assert said == "please call twenty one people mister smith".split()
    heard = normalize_words("please call twenty people mister smith now")
    assert count_word_errors(said, heard) == 2


def test_the_melody_is_compared_where_both_are_voiced() -> None:
    wanted = np.concatenate([np.linspace(100, 200, 50), np.zeros(20), np.full(30, 150.0)])
    made = wanted.copy()
    made[:5] *= 2  # octave errors
    made[60:70] = 300.0  # voiced where the source is not: not counted here
    figures = module._melody(wanted, made)
    assert figures["f0 gross error"] == pytest.approx(5 / 80)
    assert module._melody(wanted, wanted)["f0 correlation"] == pytest.approx(1.0)


def test_the_error_rate_is_of_all_words_together() -> None:
    rows = [
        {"words": 10.0, "errors source": 0.0, "errors converted": 1.0, "f0 correlation": 1.0},
        {"words": 30.0, "errors source": 4.0, "errors converted": 7.0},
        {"f0 correlation": 1.0},  # a clip whose words nobody knows
    ]
    figures = module._summary(rows)
    assert figures["word error rate converted"] == pytest.approx(8 / 40)
    assert figures["f0 correlation"] == 1.0


def test_without_judges_the_melody_is_still_judged_and_the_missing_are_named(
    untrained_voice: Path,
    english: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def missing(judge: str) -> None:
        raise ImportError(f"needs the package of {judge}")

    monkeypatch.setattr(module.judges, "load_judge", missing)
    speech, rate = soundfile.read(english, dtype="float32")
    for folder in ("sources", "target"):
        (tmp_path / folder).mkdir()
        soundfile.write(tmp_path / folder / "a.flac", speech[: 3 * rate], rate)
    figures = evaluate(
        EvaluateOptions(
            voice=untrained_voice, sources=tmp_path / "sources", target=tmp_path / "target"
        )
    )
    assert figures["clips"] == 1
    assert "distillmos converted" not in figures
    assert "without the judge distillmos" in capsys.readouterr().err
