"""How a voice sings: a song of held notes and wide glides, note by note beside its source.

    python -m tools.research.sing --voice weights/mi.pth

The song is made from the vowels of a recording of speech, taken apart and put together by WORLD.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

import config
from infer.audio.reader import load
from infer.converter import VoiceConverter
from infer.f0 import load_f0_method
from infer.options import ConvertOptions
from options import Options, option, parse_options
from tools.cmd.terminal import exit_code

RATE = 16000
FRAMES = 200  # of WORLD in a second
STEADY = 12  # of them, 60 ms of one vowel
HELD = (110, 220, 330, 440, 660, 880)  # Hz
LEVEL = 0.15  # RMS of every note
EDGE = 10  # frames of f0 at the ends of a note, where it fades
# cuts fall into held notes, and a recording this long has three of them
CHUNKS = {"x_pad": 1.0, "x_query": 0.5, "x_center": 9.8, "x_max": 9.8}


@dataclass(frozen=True, kw_only=True)
class SingOptions(Options):
    """Convert a song of held notes and wide glides and print what became of each note."""

    MODULE = "tools.research.sing"

    voice: Path = option("voice model", config.LITE / "demo.pth")
    index: Path | None = option("feature index; without it the voice's own is looked for", None)
    speech: Path = option("speech whose vowels sing", config.EXAMPLE)
    rms_mix_rate: float = option(
        "loudness: 0 = the source's, 1 = the voice's", ConvertOptions.rms_mix_rate, within=(0, 1)
    )


@dataclass(frozen=True)
class Song:
    """audio (N,) at 16 kHz, f0 (T,) Hz that it was made with, and the frames of each note."""

    audio: np.ndarray
    f0: np.ndarray
    notes: dict[str, slice]


@dataclass(frozen=True)
class Sung:
    """What became of a note: its voiced share, cents off (T,) and dB beside its source (M,)."""

    voiced: float
    cents: np.ndarray
    level: np.ndarray


def vowels(speech: np.ndarray, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Spectral envelope and aperiodicity of the loudest voiced stretches."""
    import pyworld

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
    import pyworld

    envelope, noise = (np.repeat(part[None], len(f0), 0) for part in vowel)
    size = len(f0) * RATE // FRAMES
    wave = np.resize(pyworld.synthesize(f0.astype(np.float64), envelope, noise, RATE), size)
    inside = np.minimum(np.arange(size), np.arange(size)[::-1])
    return LEVEL * wave / np.sqrt(np.mean(wave**2)) * np.minimum(1, inside / (0.05 * RATE))


def make_song(speech: Path) -> Song:
    """Held notes of 3 s, glides of two octaves in 1 s, and 3 s of vibrato over 2 semitones."""
    ramp, time = np.linspace(0, 2, FRAMES), np.arange(3 * FRAMES) / FRAMES
    contours = {str(hz): np.full(3 * FRAMES, float(hz)) for hz in HELD}
    contours["up"], contours["down"] = 110 * 2**ramp, 880 / 2**ramp
    contours["vibrato"] = 330 * 2 ** (np.sin(2 * np.pi * 5.5 * time) / 12)
    voices = vowels(load(speech, RATE)[0], 4)
    audio, f0, notes = [np.zeros(RATE // 2)], [np.zeros(50)], {}
    for number, (name, contour) in enumerate(contours.items()):
        start = sum(map(len, f0))
        notes[name] = slice(start + EDGE, start + len(contour) // 2 - EDGE)
        audio += [sung(contour, voices[number % 4]), np.zeros(RATE // 4)]
        f0 += [contour[::2], np.zeros(25)]
    return Song(np.concatenate(audio).astype(np.float32), np.concatenate(f0), notes)


def levels_db(wave: np.ndarray, note: slice, rate: int) -> np.ndarray:
    """Level of each 50 ms of a note in dB."""
    size = rate // 20
    part = wave[note.start * rate // 100 : note.stop * rate // 100]
    squares = np.square(part[: len(part) // size * size]).reshape(-1, size).mean(1)
    return 10 * np.log10(squares + 1e-12)


def listen(song: Song, converted: Path) -> dict[str, Sung]:
    """What became of every note of a song in its conversion."""
    heard, (made, rate) = load_f0_method("swift")(load(converted, RATE)[0]), load(converted)
    notes = {}
    for name, note in song.notes.items():
        wanted, found = song.f0[note], heard[note]
        voiced = found > 0
        cents = np.abs(1200 * np.log2(found[voiced] / wanted[voiced]))
        level = levels_db(made, note, rate) - levels_db(song.audio, note, RATE)
        notes[name] = Sung(float(voiced.mean()), cents, level)
    return notes


def sing(options: SingOptions) -> None:
    """Print a line for every note."""
    song = make_song(options.speech)
    with tempfile.TemporaryDirectory() as folder:
        convert = ConvertOptions(
            voice=options.voice, index=options.index, rms_mix_rate=options.rms_mix_rate,
            input=Path(folder) / "song.wav", output=Path(folder) / "made.wav", f0_method="swift",
            semitones=0.0,
            **CHUNKS,
        )  # fmt: skip
        soundfile.write(convert.input, song.audio, RATE)
        VoiceConverter(options.voice).convert_file(convert)
        notes = listen(song, convert.output)
    print(f"{'note':8} {'voiced':>7} {'cents off':>10} {'dB':>6}")
    for name, note in notes.items():
        cents = f"{np.median(note.cents):.1f}" if len(note.cents) else "-"
        print(f"{name:8} {note.voiced:7.2f} {cents:>10} {np.median(note.level):6.1f}")


def main() -> int:
    options = parse_options(SingOptions)
    return exit_code(lambda: sing(options))


if __name__ == "__main__":
    sys.exit(main())
