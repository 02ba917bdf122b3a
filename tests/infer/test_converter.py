"""The pipeline with a small untrained voice and the shipped encoder."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import faiss
import numpy as np
import pytest
import soundfile
import torch

from infer.audio.reader import AudioError, load
from infer.converter import VoiceConverter
from infer.memory import TooLittleMemory
from infer.options import ConvertOptions

Convert = Callable[..., np.ndarray]


@pytest.fixture(scope="module")
def converter(untrained_voice: Path) -> VoiceConverter:
    return VoiceConverter(untrained_voice, "cpu")


@pytest.fixture
def options(untrained_voice: Path, english: Path, tmp_path: Path) -> ConvertOptions:
    return ConvertOptions(
        voice=untrained_voice, input=english, output=tmp_path / "out.wav", index_rate=0.0
    )


def convert(converter: VoiceConverter, options: ConvertOptions, **changes: object) -> np.ndarray:
    converter.convert_file(replace(options, **changes))
    return load(options.output)[0]


def test_the_output_is_as_long_as_the_input_and_the_seed_decides_its_bytes(
    converter: VoiceConverter, options: ConvertOptions
) -> None:
    source, rate = load(options.input)
    first = convert(converter, options)
    assert abs(len(first) - len(source) * 24000 / rate) <= 1
    assert np.array_equal(first, convert(converter, options))
    assert not np.array_equal(first, convert(converter, options, seed=1))


def test_a_long_recording_is_converted_in_pieces_without_jumps(
    converter: VoiceConverter, options: ConvertOptions, tmp_path: Path
) -> None:
    speech, rate = load(options.input)
    long = tmp_path / "long.flac"
    soundfile.write(long, np.tile(speech, 10)[: 55 * rate], rate)
    shares: list[float] = []
    converter.convert_file(replace(options, input=long), shares.append)
    made, made_rate = load(options.output)
    assert len(made) == 55 * made_rate
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)
    assert 0 < min(filter(None, shares)) < 0.3  # told of before anything is rendered
    level = np.sqrt(np.square(made[: made_rate * 55]).reshape(-1, made_rate).mean(1))
    assert level.min() > 0.2 * np.median(level)  # no hole where pieces meet


def test_rumble_below_48_hz_is_no_loudness_to_follow(
    converter: VoiceConverter, options: ConvertOptions, tmp_path: Path
) -> None:
    speech, rate = load(options.input)
    rumble = 0.3 * np.sin(2 * np.pi * 15 * np.arange(len(speech)) / rate)
    soundfile.write(tmp_path / "rumble.wav", 0.3 * speech + rumble, rate)
    soundfile.write(tmp_path / "clean.wav", 0.3 * speech, rate)
    levels = [
        np.sqrt(np.mean(convert(converter, options, input=path, rms_mix_rate=0.0) ** 2))
        for path in (tmp_path / "rumble.wav", tmp_path / "clean.wav")
    ]
    assert levels[0] == pytest.approx(levels[1], rel=0.25)


def test_hiss_is_not_louder_than_it_was_and_quiet_speech_is_spoken(
    options: ConvertOptions, root: Path, tmp_path: Path
) -> None:
    demo = VoiceConverter(root / "assets/lite/demo.pth", "cpu")
    speech, rate = load(options.input)
    hiss = np.random.default_rng(0).normal(0, 1e-3, len(speech))
    quiet, levels = 0.01 * speech, {}
    for name, audio in {"hiss": hiss, "quiet": quiet, "both": quiet + hiss}.items():
        soundfile.write(tmp_path / "in.wav", audio, rate, subtype="FLOAT")
        made = convert(demo, options, input=tmp_path / "in.wav", rms_mix_rate=1.0)
        levels[name] = made.std()
    assert 0.5 * hiss.std() < levels["hiss"] < 1.05 * hiss.std()
    assert min(levels["quiet"], levels["both"]) > 10 * quiet.std()


def test_a_transposed_recording_has_the_transposed_melody(
    converter: VoiceConverter, options: ConvertOptions
) -> None:
    from infer.f0 import load_f0_method

    f0 = load_f0_method("swift")(load(options.input, 16000)[0])
    seen: list[np.ndarray] = []
    synthesize = converter.render

    def spy(content: np.ndarray, contour: np.ndarray, *rest: object) -> np.ndarray:
        seen.append(contour)
        return synthesize(content, contour, *rest)

    converter.render = spy
    try:
        convert(converter, options, semitones=12.0)
    finally:
        converter.render = synthesize
    voiced = (f0 > 0) & (seen[0][: len(f0)] > 0)
    assert np.median(seen[0][: len(f0)][voiced] / f0[voiced]) == pytest.approx(2.0, rel=0.01)


def test_an_index_changes_the_content_and_one_of_the_wrong_width_is_named(
    converter: VoiceConverter, options: ConvertOptions, tmp_path: Path
) -> None:
    vectors = np.random.default_rng(0).standard_normal((50, 513)).astype(np.float32)
    for width, name in ((513, "right.index"), (256, "wrong.index")):
        index = faiss.IndexFlatL2(width)
        index.add(np.ascontiguousarray(vectors[:, :width]))
        faiss.write_index(index, str(tmp_path / name))
    plain = convert(converter, options)
    drawn = convert(converter, options, index=tmp_path / "right.index", index_rate=1.0)
    assert not np.array_equal(plain, drawn)
    with pytest.raises(ValueError, match=r"wrong\.index.*256.*513"):
        convert(converter, options, index=tmp_path / "wrong.index", index_rate=1.0)


def test_a_phase_that_a_stream_hands_on_goes_where_the_network_is(
    untrained_voice: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("config.autocast", lambda device: nullcontext())  # it knows no such device
    elsewhere = VoiceConverter(untrained_voice, "cpu")
    elsewhere.device = torch.device("meta")
    elsewhere.synthesizer.to(elsewhere.device)
    content = np.zeros((100, elsewhere.params.content_dim), np.float32)
    elsewhere.render(content, np.full(100, 200, np.float32), 0, 0, torch.zeros(1).double())


def test_memory_that_does_not_suffice_outside_a_chunk_is_told_with_the_way_out(
    converter: VoiceConverter, options: ConvertOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infer.converter.Joiner.push", lambda *given: np.empty(2**55))
    with pytest.raises(TooLittleMemory, match=r"english\.flac does not fit.*[Uu]nable"):
        converter.convert_file(options)
    assert not options.output.exists()


def test_silence_and_unknown_speakers_leave_no_file(
    converter: VoiceConverter, options: ConvertOptions, tmp_path: Path
) -> None:
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(32000), 16000)
    with pytest.raises(AudioError, match="silent"):
        convert(converter, options, input=silent)
    with pytest.raises(ValueError, match="no speaker 3"):
        convert(converter, options, speaker=3)
    assert not options.output.exists()
    assert list(tmp_path.iterdir()) == [silent]
