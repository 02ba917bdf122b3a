"""A source that sings: held notes, vibrato and wide glides, made from the vowels of real speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from config import ChunkSizes
from infer.audio.reader import load
from infer.chunking import CUTTERS
from infer.converter import VoiceConverter
from infer.f0 import load_f0_method
from infer.options import ConvertOptions
from tools.research.sing import CHUNKS, EDGE, RATE, SingOptions, Song, listen, make_song, sing


@pytest.fixture(scope="module")
def song(english: Path) -> Song:
    return make_song(english)


@pytest.fixture(scope="module")
def converted(song: Song, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The song in the shipped voice with its index, as anybody would convert it."""
    voice = root / "assets/lite/demo.pth"
    if not voice.exists():
        pytest.skip("the demo voice is not here")
    folder = tmp_path_factory.mktemp("song")
    soundfile.write(folder / "song.wav", song.audio, RATE)
    options = ConvertOptions(
        voice=voice, input=folder / "song.wav", output=folder / "made.wav", f0_method="swift",
        semitones=0.0, device="cpu", **CHUNKS,
    )  # fmt: skip
    VoiceConverter(voice, "cpu").convert_file(options)
    return options.output


def test_the_melody_of_held_notes_glides_and_vibrato_is_kept(song: Song, converted: Path) -> None:
    for name, note in listen(song, converted).items():
        assert note.voiced > 0.96, name
        assert np.median(note.cents) < 10, name
        assert np.quantile(note.cents, 0.9) < 40, name
    heard = load_f0_method("swift")(load(converted, RATE)[0])
    vibrato = song.notes["vibrato"]
    found = heard[vibrato] > 0
    both = (np.log2(f0[vibrato][found]) for f0 in (song.f0, heard))
    assert np.corrcoef(*both)[0, 1] > 0.97


def test_notes_are_as_loud_as_they_were_and_nothing_clicks_where_chunks_meet(
    song: Song, converted: Path
) -> None:
    made, rate = load(converted)
    assert np.isfinite(made).all()
    assert len(made) == len(song.audio) * rate // RATE
    for name, note in listen(song, converted).items():
        level = np.median(note.level)
        assert abs(level) < 5, name
    cutter = CUTTERS["quietest"]([song.audio], RATE, ChunkSizes(**CHUNKS))
    borders = [chunk.start / RATE for chunk in cutter][1:]
    inside = [
        (border, note)
        for border in borders
        for note in song.notes.values()
        if note.start + EDGE < 100 * border < note.stop - EDGE
    ]
    assert inside  # a chunk ends in the middle of a held note
    steps = np.abs(np.diff(made))
    for border, note in inside:
        near = steps[round((border - 0.015) * rate) : round((border + 0.015) * rate)]
        elsewhere = steps[note.start * rate // 100 : round((border - 0.015) * rate)]
        assert near.max() < 1.5 * np.quantile(elsewhere, 0.999)


def test_the_command_prints_a_line_for_every_note(capsys: pytest.CaptureFixture[str]) -> None:
    sing(SingOptions())
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 9
    assert lines[4].split()[:2] == ["440", "1.00"]
