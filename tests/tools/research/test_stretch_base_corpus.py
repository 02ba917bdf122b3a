"""Other people out of known ones: another pitch, another tempo, the same licence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from infer.audio.reader import load
from infer.f0 import SAMPLE_RATE, load_f0_method
from tools.research.build_base_corpus import read_manifest, write_manifest
from tools.research.stretch_base_corpus import StretchBaseCorpusOptions, stretch_base_corpus


@pytest.fixture
def corpus(tmp_path: Path, english: Path) -> Path:
    """A minute of one speaker, and a clip of another whose split is another."""
    audio, rate = load(english)
    rows = {}
    for number in range(10):
        file = f"anna/{number}.flac"
        (tmp_path / "corpus" / "anna").mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / "corpus" / file, audio, rate)
        split = "train" if number else "target"
        seconds = f"{len(audio) / rate:.3f}"
        rows[file] = (file, "anna", str(rate), seconds, "text", "package", "CC-BY-3.0", split)
    write_manifest(tmp_path / "corpus", rows)
    return tmp_path / "corpus"


def median_pitch(path: Path) -> float:
    f0 = load_f0_method("swift")(load(path, SAMPLE_RATE)[0])
    return float(np.median(f0[f0 > 0]))


def test_every_new_person_has_another_pitch_and_only_recordings_of_the_split(
    corpus: Path, tmp_path: Path
) -> None:
    options = StretchBaseCorpusOptions(source=corpus, output=tmp_path / "made")
    minutes = stretch_base_corpus(options)
    rows = read_manifest(tmp_path / "made")
    people = {row[1] for row in rows.values()}
    assert len(people) == 2
    assert minutes == pytest.approx(sum(float(row[3]) for row in rows.values()) / 60)
    assert {row[6] for row in rows.values()} == {"CC-BY-3.0"}
    assert not any(Path(file).stem == "0" for file in rows)  # it is of the split target
    own = median_pitch(corpus / "anna" / "1.flac")
    for person in people:
        stretch = int(person.split("_x")[1]) / 100
        path = tmp_path / "made" / person / "1.flac"
        assert median_pitch(path) / own == pytest.approx(stretch, rel=0.03)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "made").rglob("*.flac")}
    stretch_base_corpus(options)  # again: everything is there
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "made").rglob("*.flac")}


def test_a_corpus_without_the_split_is_refused(corpus: Path, tmp_path: Path) -> None:
    options = StretchBaseCorpusOptions(source=corpus, split="synth", output=tmp_path / "made")
    with pytest.raises(ValueError, match="no manifest.tsv with a split 'synth'"):
        stretch_base_corpus(options)
