"""A corpus speaker is split by the order of the table; nothing to compare with is trained on."""

from __future__ import annotations

from pathlib import Path

import pytest

from errors import UserError
from tools.cmd.fine_tune import FineTuneOptions, fine_tune, main, read_split

HEADER = "file\tspeaker\tseconds\ttext\tsplit"
ROWS = [
    ("mi/a.wav", "mi", 40, "target"),
    ("ed/a.wav", "ed", 5, "source"),
    ("mi/b.wav", "mi", 30, "target"),
    ("mi/c.wav", "mi", 1, "target"),
    ("ed/b.wav", "ed", 6, "source"),
]


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A corpus of five clips."""
    lines = [HEADER]
    for file, speaker, seconds, split in ROWS:
        path = tmp_path / "corpus" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.encode())
        lines.append(f"{file}\t{speaker}\t{seconds}\t\t{split}")
    path = tmp_path / "corpus" / "manifest.tsv"
    path.write_text("\n".join(lines) + "\n")
    return path


def options(manifest: Path, **changes: object) -> FineTuneOptions:
    """Split only."""
    values = {"manifest": manifest, "speaker": "mi", "output": manifest.parents[1] / "out"}
    return FineTuneOptions(**{**values, "minutes": 0.0, **changes})


def names(folder: Path) -> list[str]:
    """Files under a folder, by their place in the corpus."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in files)


def test_the_first_minutes_train_and_the_rest_is_real(manifest: Path) -> None:
    fine_tune(options(manifest, data_minutes=1.0))  # a and b are longer than a minute together
    out = manifest.parents[1] / "out"
    assert names(out / "mi" / "train") == ["mi/a.wav"]
    assert names(out / "mi" / "real") == ["mi/b.wav", "mi/c.wav"]
    assert names(out / "sources") == ["ed/a.wav", "ed/b.wav"]
    assert (out / "sources/ed/b.wav").read_bytes() == b"ed/b.wav"


def test_the_same_command_again_changes_nothing_and_another_split_is_refused(
    manifest: Path,
) -> None:
    fine_tune(options(manifest, data_minutes=1.0))
    fine_tune(options(manifest, data_minutes=1.0))
    with pytest.raises(UserError, match="is no part of this split; remove"):
        fine_tune(options(manifest, data_minutes=1.18))
    assert names(manifest.parents[1] / "out" / "mi" / "real") == ["mi/b.wav", "mi/c.wav"]


@pytest.mark.parametrize("minutes", [0.5, 2.0])
def test_a_side_without_clips_is_an_error(manifest: Path, minutes: float) -> None:
    with pytest.raises(ValueError, match=r"mi has 1\.2 minutes"):
        read_split(manifest, "mi", 60 * minutes)


def test_an_unknown_speaker_and_a_strange_table_are_one_line(
    manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["--manifest", str(manifest), "--speaker", "eve", "--output", str(manifest.parent)]
    assert main(argv) == 1
    assert capsys.readouterr().err.strip().endswith("has no speaker 'eve'")
    manifest.write_text("file\tspeaker\na.wav\teve\n")
    assert main(argv) == 1
    assert "has no column seconds, split" in capsys.readouterr().err


def test_a_file_outside_the_corpus_is_refused(manifest: Path) -> None:
    manifest.write_text(f"{HEADER}\n../x.wav\tmi\t9\t\ttarget\nb.wav\tmi\t9\t\ttarget\n")
    with pytest.raises(ValueError, match="leads out of the corpus"):
        fine_tune(options(manifest, data_minutes=0.2))
