"""A source that sings: held notes, vibrato and wide glides, made from the vowels of real speech."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import pyworld
import soundfile

from config import ChunkSizes
from infer.audio import load
from infer.chunking import CUTTERS
from infer.converter import VoiceConverter
from infer.f0 import load_f0_method
from infer.options import ConvertOptions

RATE = 16000
FRAMES = 200  # of WORLD in a second
STEADY = 12  # of them, 60 ms of one vowel
HELD = (110, 220, 330, 440, 660, 880)  # Hz
LEVEL = 0.15
EDGE = 10  # frames of f0 at the ends of a note, where it fades
# cuts fall into held notes, and a recording this long has three of them
CHUNKS = {"x_pad": 1.0, "x_query": 0.5, "x_center": 9.8, "x_max": 9.8}


@dataclass(frozen=True)
class Song:
    """audio (N,) at 16 kHz, f0 (T,) Hz that it was made with, and the frames of each note."""

    audio: np.ndarray
    f0: np.ndarray
    notes: dict[str, slice]


def vowels(speech: np.ndarray, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Spectral envelope and aperiodicity of the loudest voiced stretches."""
    wave = speech.astype(np.float64)
    f0, time = pyworld.dio(wave, RATE)
    f0 = pyworld.stonemask(wave, f0, time, RATE)
    envelope, noise = pyworld.cheaptrick(wave, f0, time, RATE), pyworld.d4c(wave, f0, time, RATE)
    starts = [i for i in range(0, len(f0) - STEADY, 4) if (f0[i : i + STEADY] > 0).all()]
    starts.sort(key=lambda i: -envelope[i : i + STEADY].sum())
    chosen: list[int] = []
    for start in starts:
        if all(abs(start - other) > 40 for other in chosen):
            chosen.append(start)
    return [
        (envelope[i : i + STEADY].mean(0), noise[i : i + STEADY].mean(0)) for i in chosen[:count]
    ]


def sung(f0: np.ndarray, vowel: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """One note: f0 (T,) at FRAMES a second, in one vowel; fades in and out over 50 ms."""
    envelope, noise = (np.repeat(part[None], len(f0), 0) for part in vowel)
    size = len(f0) * RATE // FRAMES
    wave = np.resize(pyworld.synthesize(f0.astype(np.float64), envelope, noise, RATE), size)
    inside = np.minimum(np.arange(size), np.arange(size)[::-1])
    return LEVEL * wave / np.sqrt(np.mean(wave**2)) * np.minimum(1, inside / (0.05 * RATE))


@pytest.fixture(scope="module")
def song(english: Path) -> Song:
    """Held notes of 3 s, glides of two octaves in 1 s, and 3 s of vibrato over 2 semitones."""
    ramp, time = np.linspace(0, 2, FRAMES), np.arange(3 * FRAMES) / FRAMES
    contours = {str(hz): np.full(3 * FRAMES, float(hz)) for hz in HELD}
    contours["up"], contours["down"] = 110 * 2**ramp, 880 / 2**ramp
    contours["vibrato"] = 330 * 2 ** (np.sin(2 * np.pi * 5.5 * time) / 12)
    voices = vowels(load(english, RATE)[0], 4)
    audio, f0, notes = [np.zeros(RATE // 2)], [np.zeros(50)], {}
    for number, (name, contour) in enumerate(contours.items()):
        start = sum(map(len, f0))
        notes[name] = slice(start + EDGE, start + len(contour) // 2 - EDGE)
        audio += [sung(contour, voices[number % 4]), np.zeros(RATE // 4)]
        f0 += [contour[::2], np.zeros(25)]
    return Song(np.concatenate(audio).astype(np.float32), np.concatenate(f0), notes)


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
        device="cpu", **CHUNKS,
    )  # fmt: skip
    VoiceConverter(voice, "cpu").convert_file(options)
    return options.output


def levels_db(wave: np.ndarray, note: slice, rate: int) -> np.ndarray:
    """Level of each 50 ms of a note, relative to the source's notes."""
    size = rate // 20
    part = wave[note.start * rate // 100 : note.stop * rate // 100]
    squares = np.square(part[: len(part) // size * size]).reshape(-1, size).mean(1)
    return 10 * np.log10(squares + 1e-12) - 20 * np.log10(LEVEL)


def test_the_melody_of_held_notes_glides_and_vibrato_is_kept(song: Song, converted: Path) -> None:
    heard = load_f0_method("pm")(load(converted, RATE)[0])
    for name, note in song.notes.items():
        wanted, found = song.f0[note], heard[note]
        voiced = found > 0
        cents = np.abs(1200 * np.log2(found[voiced] / wanted[voiced]))
        assert voiced.mean() > (0.8 if name == "down" else 0.96), name
        assert np.median(cents) < 10, name
        assert np.quantile(cents, 0.9) < 40, name
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
    for name, note in song.notes.items():
        level = np.median(levels_db(made, note, rate))
        assert abs(level) < (10 if name == "880" else 6), name  # the highest is softer
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
