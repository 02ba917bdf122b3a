"""One table of odd files for every reader of voices: they agree, and nothing is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from errors import CheckpointError
from infer.models.families import family
from infer.voice.checkpoint import load_voice_model
from infer.voice.header import VOICE, read_header
from tests.infer.voice.odd_files import odd_voices, write


def header_problem(path: Path) -> str:
    """Return why the reader without torch refuses a voice, "" where it does not."""
    try:
        header = read_header(path)
    except CheckpointError as error:
        return str(error)
    if header.problem is not None:
        return f"{path}: {header.problem}"
    return "" if header.kind == VOICE else f"{path}: a {header.kind}"


def loader_problem(path: Path) -> str:
    """Return why the loader refuses a voice, "" where it does not."""
    try:
        model = load_voice_model(path)
        family(model.version).params(**model.params)
    except CheckpointError as error:
        return str(error)
    return ""


def test_every_reader_gives_the_same_answer_and_runs_nothing(tmp_path: Path) -> None:
    (tmp_path / "voices").mkdir()
    target = tmp_path / "ran"
    wrong = []
    table = odd_voices(str(target))
    assert len(table) > 100
    for name, (content, told) in table.items():
        path = write(tmp_path / "voices", content)
        answers = header_problem(path), loader_problem(path)
        is_good = [answer == "" for answer in answers]
        if is_good != [told == ""] * 2 or not all(told in a and "\n" not in a for a in answers):
            wrong.append((name, *answers))
    assert wrong == []
    assert not target.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["voices"]


@pytest.mark.parametrize("kind", ["lite", "legacy_lite"])
def test_a_voice_of_either_age_of_torch_is_the_same(tmp_path: Path, kind: str) -> None:
    table = odd_voices(str(tmp_path / "ran"))
    path = write(tmp_path, table[kind][0])
    header, model = read_header(path), load_voice_model(path)
    assert (header.version, header.sample_rate, header.num_speakers) == ("lite", 24000, 1)
    assert (model.sample_rate, model.info) == (header.sample_rate, header.info)
