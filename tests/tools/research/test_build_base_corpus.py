import csv
import itertools

import numpy as np
import pytest
import soundfile

from tools.research import build_base_corpus as corpus


class Hum:
    """An engine that needs no package: a tone between two silences."""

    sample_rate = 16000

    def __init__(self, speaker: corpus.Speaker) -> None:
        pass

    def __call__(self, text: str, language: str, tempo: float, seed: int) -> np.ndarray:
        tone = 0.1 * np.sin(np.arange(16000) * 0.1)
        return np.concatenate([np.zeros(8000), tone, np.zeros(8000)]).astype(np.float32)


@pytest.fixture
def hum(monkeypatch):
    speaker = corpus.Speaker(
        name="hum",
        engine="hum",
        minutes=0.05,
        package="none",
        licence="MIT",
        languages=("en", "cmn"),
        stretch=1.25,
    )
    monkeypatch.setitem(corpus.ENGINES, "hum", Hum)
    monkeypatch.setattr(corpus, "speakers", lambda: [speaker])


def test_clips_are_trimmed_levelled_and_listed_with_their_text(tmp_path, hum):
    options = corpus.BuildBaseCorpusOptions(output=tmp_path)
    minutes = corpus.build_base_corpus(options)
    with (tmp_path / "manifest.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert 0.05 <= minutes < 0.08
    assert [row["speaker"] for row in rows] == ["hum"] * len(rows)
    audio, sample_rate = soundfile.read(tmp_path / rows[0]["file"])
    assert sample_rate == 20000  # 16 kHz declared as 1.25 times as much
    assert np.abs(audio).max() == pytest.approx(corpus.PEAK, abs=0.01)
    assert len(audio) == pytest.approx(16000 * (1 + 2 * corpus.EDGE_SECONDS), rel=0.01)
    assert rows[0]["text"].isascii() and not rows[1]["text"].isascii()


def test_a_second_run_keeps_files_and_gives_the_same_manifest(tmp_path, hum, monkeypatch):
    options = corpus.BuildBaseCorpusOptions(output=tmp_path)
    corpus.build_base_corpus(options)
    first = (tmp_path / "manifest.tsv").read_text(encoding="utf-8")
    monkeypatch.setitem(corpus.ENGINES, "hum", lambda speaker: pytest.fail("spoke again"))
    corpus.build_base_corpus(options)
    assert (tmp_path / "manifest.tsv").read_text(encoding="utf-8") == first


def test_an_unknown_speaker_is_an_error_that_lists_the_known_ones(tmp_path, hum):
    with pytest.raises(ValueError, match="no speaker starts with 'nobody'; there are: hum"):
        corpus.build_base_corpus(corpus.BuildBaseCorpusOptions(output=tmp_path, only="nobody"))


def test_speaker_names_are_unique_and_their_engines_exist():
    speakers = corpus.speakers()
    assert len({speaker.name for speaker in speakers}) == len(speakers)
    assert {speaker.engine for speaker in speakers} <= set(corpus.ENGINES)


def test_sentences_come_without_end_and_hardly_repeat():
    for language in corpus.MANY_LANGUAGES:
        taken = list(itertools.islice(corpus.sentences(language, seed=1), 300))
        assert len(set(taken)) == 300
        assert taken == list(itertools.islice(corpus.sentences(language, seed=1), 300))


def test_respell_takes_the_longest_letters_first_and_never_twice():
    assert corpus.respell("ts.hu", corpus.KOKORO_LETTERS) == "ꭧʰu"
    assert corpus.respell("ae", {"a": "e", "e": "a"}) == "ea"


def test_a_blend_is_nobody_but_repeatable():
    rng = np.random.default_rng(0)
    styles = {name: rng.normal(size=(510, 256)) for name in corpus.KOKORO_VOICES}
    person = corpus.blend(styles, "blend:3")
    assert person.shape == (510, 256)
    assert np.array_equal(person, corpus.blend(styles, "blend:3"))
    assert all(np.abs(person - style).mean() > 0.1 for style in styles.values())
    assert np.array_equal(corpus.blend(styles, "jm_kumo"), styles["jm_kumo"])


def test_silence_from_an_engine_is_an_error():
    with pytest.raises(ValueError, match="silence"):
        corpus.tidy(np.zeros(100, np.float32), 16000)
