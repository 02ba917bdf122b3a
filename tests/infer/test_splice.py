"""A part made again: outside not one sample changes, inside it is as in a whole conversion."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from errors import UserError
from infer.converter import VoiceConverter
from infer.options import ConvertOptions
from infer.splice import FADE_SECONDS
from tests.infer.standard_voices import install_contentvec, write_voice

SIZES = {"x_pad": 0.5, "x_query": 1.0, "x_center": 5.0, "x_max": 6.0}


@pytest.fixture
def options(untrained_voice: Path, english: Path, tmp_path: Path) -> ConvertOptions:
    speech, rate = soundfile.read(english)
    soundfile.write(tmp_path / "long.flac", np.tile(speech, 4)[: 23 * rate + 7], rate)
    return ConvertOptions(
        voice=untrained_voice, input=tmp_path / "long.flac", output=tmp_path / "first.flac",
        index_rate=0.0, **SIZES,
    )  # fmt: skip


def samples(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="int16")[0]


def test_only_the_part_changes_and_it_is_as_if_all_had_been_made_again(
    options: ConvertOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    converter, calls = VoiceConverter(options.voice, "cpu"), []
    converter.convert_file(options)
    other = replace(options, output=tmp_path / "other.wav", semitones=5.0)
    converter.convert_file(other)
    render = converter.render
    monkeypatch.setattr(converter, "render", lambda *given: calls.append(1) or render(*given))
    part = replace(other, output=tmp_path / "part.wav", into=options.output, from_=9.0001, to=10.73)
    done = converter.convert_file(part)
    before, whole, made = (samples(each.output) for each in (options, other, part))
    assert len(before) == len(made) and done.audio_seconds == len(made) / 24000
    first, last, fade = (round(24000 * each) for each in (part.from_, part.to, FADE_SECONDS))
    assert np.array_equal(made[:first], before[:first])
    assert np.array_equal(made[last:], before[last:])
    inside = slice(first + fade, last - fade)
    assert np.array_equal(made[inside], whole[inside])
    assert not np.array_equal(made[inside], before[inside])
    assert len(calls) <= 2  # of five chunks


def test_a_part_by_a_voice_of_another_rate_fits_into_the_earlier_result(
    options: ConvertOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    VoiceConverter(options.voice, "cpu").convert_file(options)
    monkeypatch.setattr("config.DOWNLOADS", tmp_path / "downloads")
    install_contentvec(tmp_path / "downloads", 256)
    voice = write_voice(tmp_path / "v.pth", "v1")  # 32 kHz
    part = replace(
        options, voice=voice, output=tmp_path / "part.flac", into=options.output, from_=0.0, to=2.0
    )
    VoiceConverter(voice, "cpu").convert_file(part)
    before, made = samples(options.output), samples(part.output)
    assert soundfile.info(part.output).samplerate == 24000
    assert np.array_equal(made[48000:], before[48000:])
    assert not np.array_equal(made[:48000], before[:48000])


def test_what_cannot_be_spliced_is_refused_and_leaves_no_file(
    options: ConvertOptions, english: Path, tmp_path: Path
) -> None:
    converter = VoiceConverter(options.voice, "cpu")
    part = {"into": tmp_path / "first.flac", "from_": 1.0, "to": 2.0}
    for change, said in (
        ({"from_": None}, "--into, --from and --to together"),
        ({"from_": 1.97}, "too short"),
        ({"output": tmp_path / "o.mp3"}, r"choose one of \.wav, \.flac"),
        ({"save_f0": tmp_path / "c.csv"}, "not of a part"),
    ):
        with pytest.raises(UserError, match=said):
            replace(options, **{**part, **change})
    stereo, short = tmp_path / "stereo.wav", tmp_path / "short.wav"
    soundfile.write(stereo, np.zeros((24000, 2)), 24000)
    soundfile.write(short, np.zeros(24000 * 5), 24000)
    for change, said in (
        ({"into": tmp_path / "none.wav"}, "no such file"),
        ({"into": stereo}, "one channel"),
        ({"into": short}, "not as long as the recording"),
        ({"into": short, "input": english, "from_": 5.0, "to": 6.0}, r"ends at 5\.00 s"),
        ({"into": short, "output": short}, "choose another output"),
    ):
        asked = {"output": tmp_path / "o.wav", **part, **change}
        with pytest.raises(ValueError, match=said):
            converter.convert_file(replace(options, **asked))
    assert not (tmp_path / "o.wav").exists()
