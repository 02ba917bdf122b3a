"""A long conversion that was killed goes on where it was."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

import config
from infer import kept as module
from infer.audio.reader import load
from infer.chunking import Chunk
from infer.converter import VoiceConverter
from infer.kept import KeptChunks
from infer.options import ConvertOptions
from options import command

SECONDS, CENTER = 20, 2.0
# a conversion that stands still when it has kept three chunks
STOPS = """
import pathlib, sys, time
from infer import kept
from infer.kept import KeptChunks
from tools.cmd.infer_cli import main

kept.FOLDER = pathlib.Path(sys.argv.pop(1))

add, added = KeptChunks.add, []

def add_three(*arguments):
    add(*arguments)
    added.append(arguments)
    if len(added) == 3:
        print("STOPS", flush=True)
        time.sleep(1000)

KeptChunks.add = add_three
main(sys.argv[1:])
"""


def test_a_killed_conversion_goes_on_from_its_last_chunk_with_the_same_samples(
    untrained_voice: Path, english: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "unfinished"  # others of these tests leave theirs in the common one
    monkeypatch.setattr(module, "FOLDER", folder)
    speech, rate = load(english)
    recording = tmp_path / "long.flac"
    soundfile.write(recording, np.tile(speech, SECONDS)[: SECONDS * rate], rate)
    options = ConvertOptions(
        voice=untrained_voice, input=recording, output=tmp_path / "first.wav",
        x_pad=0.5, x_query=0.5, x_center=CENTER, x_max=CENTER, device="cpu",
    )  # fmt: skip
    converter = VoiceConverter(untrained_voice, "cpu")
    numbers: list[int] = []
    render = converter.render

    def counted(*arguments: object) -> np.ndarray:
        numbers.append(int(arguments[-1]))
        return render(*arguments)

    monkeypatch.setattr(converter, "render", counted)
    converter.convert_file(options)
    unbroken, numbers[:] = len(numbers), []
    assert unbroken > SECONDS / CENTER
    assert not list(folder.glob("*"))

    again = replace(options, output=tmp_path / "other name.wav")
    process = subprocess.Popen(
        [sys.executable, "-c", STOPS, str(folder), *command(again)[3:]],
        cwd=config.ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert any(line == "STOPS\n" for line in process.stdout)
    process.kill()
    process.wait()
    process.stdout.close()
    assert not again.output.exists()
    (file,) = folder.glob("*")
    with file.open("ab") as written:  # a record that was not finished
        written.write(b"\0" * 100)

    converter.convert_file(replace(again, seed=1))  # another conversion takes nothing of it
    assert len(numbers) == unbroken
    numbers.clear()
    converter.convert_file(again)
    assert numbers == list(range(3, unbroken))
    assert again.output.read_bytes() == options.output.read_bytes()
    assert not list(folder.glob("*"))


def chunk(start: int) -> Chunk:
    """A chunk of a second."""
    return Chunk(np.zeros(16000, np.float32), start, 0, 0)


def test_what_is_damaged_is_not_taken_and_what_nobody_took_up_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ("a" + module.SUFFIX)
    kept = KeptChunks(path)
    wavs = np.random.default_rng(0).standard_normal((3, 500)).astype(np.float32)
    for number, wav in enumerate(wavs):
        kept.add(chunk(16000 * number), number, wav)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1  # in the second of the three
    path.write_bytes(content)
    kept = KeptChunks(path)
    assert np.array_equal(kept.get(chunk(0), 0), wavs[0])
    assert kept.get(chunk(16000), 1) is None
    assert kept.get(chunk(0), 1) is None
    kept.add(chunk(16000), 1, wavs[1])
    assert np.array_equal(KeptChunks(path).get(chunk(16000), 1), wavs[1])

    monkeypatch.setattr(module, "FOLDER", tmp_path)
    old = time.time() - 8 * 24 * 3600
    os.utime(path, (old, old))
    fresh = tmp_path / ("b" + module.SUFFIX)
    fresh.touch()
    module._clear(tmp_path / "wanted")
    assert list(tmp_path.iterdir()) == [fresh]


def test_a_disk_that_takes_nothing_does_not_stop_the_conversion(tmp_path: Path) -> None:
    file = tmp_path / "no folder"
    file.touch()
    kept = KeptChunks(file / "a.chunks")
    kept.add(chunk(0), 0, np.zeros(5, np.float32))
    kept.add(chunk(0), 0, np.zeros(5, np.float32))
    assert KeptChunks(file / "a.chunks").get(chunk(0), 0) is None
    kept.remove()
