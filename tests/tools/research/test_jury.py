"""What the judges said is remembered by the content of a file."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tools.research import judges
from tools.research.jury import Jury, Recording


class Counting:
    """A judge that counts how often it is asked."""

    asked = 0

    def score(self, audio: np.ndarray) -> float:
        self.asked += 1
        return float(np.abs(audio).max())


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Counting:
    """The only judge of the jury."""
    counting = Counting()

    def load(name: str) -> Counting:
        if name != "dnsmos":
            raise ImportError("not installed")
        return counting

    monkeypatch.setattr(judges, "load_judge", load)
    return counting


def test_a_recording_is_judged_once_whatever_its_name(
    judge: Counting, english: Path, tmp_path: Path
) -> None:
    memory = tmp_path / "deep" / "memory.json"
    jury = Jury(memory)
    score = jury.ask("dnsmos", Recording(english))
    jury.save()
    shutil.copyfile(english, tmp_path / "renamed.flac")
    again = Jury(memory)
    assert again.ask("dnsmos", Recording(tmp_path / "renamed.flac")) == score
    assert judge.asked == 1


def test_what_is_forgotten_is_not_kept(judge: Counting, english: Path, tmp_path: Path) -> None:
    jury = Jury(tmp_path / "memory.json")
    jury.ask("dnsmos", Recording(english))
    jury.forget(Recording(english))
    jury.save()
    Jury(tmp_path / "memory.json").ask("dnsmos", Recording(english))
    assert judge.asked == 2


def test_what_other_judges_said_does_not_count(
    judge: Counting, english: Path, tmp_path: Path
) -> None:
    memory = tmp_path / "memory.json"
    jury = Jury(memory)
    jury.ask("dnsmos", Recording(english))
    jury.save()
    memory.write_text(memory.read_text().replace('"version": "', '"version": "0'))
    Jury(memory).ask("dnsmos", Recording(english))
    assert judge.asked == 2


@pytest.mark.parametrize("text", ["", "[]", "no json", "{}"])
def test_a_file_that_is_no_memory_is_an_error(judge: Counting, text: str, tmp_path: Path) -> None:
    memory = tmp_path / "notes.json"
    memory.write_text(text)
    with pytest.raises(ValueError, match=r"notes\.json is no memory of the judges"):
        Jury(memory)


def test_missing_judges_are_named(judge: Counting, capsys: pytest.CaptureFixture[str]) -> None:
    jury = Jury()
    assert "dnsmos" in jury and "words" not in jury
    assert "without the judge words" in capsys.readouterr().err
