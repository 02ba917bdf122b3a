"""v1 and v2 voices through the whole pipeline, with narrow networks of the real classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
import soundfile
import torch

from infer.audio.reader import load
from infer.converter import VoiceConverter
from infer.memory import TooLittleMemory
from infer.options import ConvertOptions
from infer.voice.checkpoint import CheckpointError
from tests.infer.standard_voices import install_contentvec, narrow_voice, write_voice

WIDTHS = {"v1": 256, "v2": 768}


@pytest.fixture
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("config.DOWNLOADS", tmp_path / "downloads")
    return tmp_path / "downloads"


def options_for(voice: Path, english: Path, **changes: object) -> ConvertOptions:
    options = ConvertOptions(
        voice=voice, input=english, output=voice.with_suffix(".wav"), index_rate=0.0
    )
    return replace(options, **changes)


def convert(voice: Path, options: ConvertOptions) -> np.ndarray:
    VoiceConverter(voice, "cpu").convert_file(options)
    return load(options.output)[0]


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("use_f0", [True, False])
def test_every_kind_converts_at_its_rate_and_pitch_counts_only_where_it_is_used(
    tmp_path: Path, english: Path, downloads: Path, version: str, use_f0: bool
) -> None:
    install_contentvec(downloads, WIDTHS[version])
    voice = write_voice(tmp_path / "v.pth", version, use_f0)
    made = convert(voice, options_for(voice, english))
    source, rate = load(english)
    assert abs(len(made) - len(source) * 32000 / rate) <= 1
    assert np.isfinite(made).all() and made.std() > 0
    higher = convert(voice, options_for(voice, english, semitones=12.0))
    assert np.array_equal(made, higher) is not use_f0
    assert not np.array_equal(made, convert(voice, options_for(voice, english, speaker=2)))


def test_a_voice_without_pitch_asks_no_f0_method(
    tmp_path: Path, english: Path, downloads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_contentvec(downloads, 256)
    voice = write_voice(tmp_path / "v.pth", "v1", use_f0=False)
    monkeypatch.setattr("infer.converter.load_f0_method", None)
    convert(voice, options_for(voice, english))


def test_the_index_is_as_wide_as_the_voice_hears_and_protects_unvoiced_frames(
    tmp_path: Path, english: Path, downloads: Path
) -> None:
    install_contentvec(downloads, 256)
    voice = write_voice(tmp_path / "v.pth", "v1")
    vectors = np.random.default_rng(0).standard_normal((50, 768)).astype(np.float32)
    for width in (256, 768):
        index = faiss.IndexFlatL2(width)
        index.add(np.ascontiguousarray(vectors[:, :width]))
        faiss.write_index(index, str(tmp_path / f"{width}.index"))
    with pytest.raises(ValueError, match=r"768\.index.*768.*256"):
        convert(voice, options_for(voice, english, index=tmp_path / "768.index", index_rate=1.0))
    results = [
        convert(
            voice,
            options_for(
                voice, english, index=tmp_path / "256.index", index_rate=1.0, protect=protect
            ),
        )
        for protect in (0.0, 0.5)
    ]
    assert not np.array_equal(*results)


def test_a_voice_opens_only_the_encoder_that_it_was_trained_with(
    tmp_path: Path, english: Path, downloads: Path
) -> None:
    voice = write_voice(tmp_path / "v.pth", "v1")
    with pytest.raises(FileNotFoundError, match=r"hubert_base\.pt"):
        VoiceConverter(voice, "cpu")
    install_contentvec(downloads, 256)
    VoiceConverter(voice, "cpu")
    other = write_voice(tmp_path / "spin.pth", "v1", embedder="spin-v2")
    with pytest.raises(FileNotFoundError, match="'spin-v2' is not installed"):
        VoiceConverter(other, "cpu")
    wide = write_voice(tmp_path / "wide.pth", "v2")
    with pytest.raises(CheckpointError, match="not 768"):
        VoiceConverter(wide, "cpu")


def test_weights_that_nothing_needs_are_named_and_left_out_and_missing_ones_refused(
    tmp_path: Path, english: Path, downloads: Path, caplog: pytest.LogCaptureFixture
) -> None:
    install_contentvec(downloads, 256)
    voice = narrow_voice("v1")
    content = {
        "weight": {**voice.weights, "dec.window": torch.ones(3)},
        "config": [513, 32, 16, 16, 32, 2, 2, 3, 0, "1", [3, 7, 11], [[1, 3, 5]] * 3,
                   [10, 4, 2, 2, 2], 64, [16, 16, 4, 4, 4], 3, 8, 32000],
    }  # fmt: skip
    path = tmp_path / "v.pth"
    torch.save(content, path)
    assert VoiceConverter(path, "cpu").sample_rate == 32000
    assert "dec.window" in caplog.text
    del content["weight"]["dec.cond.bias"]
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"v\.pth.*dec\.cond\.bias is missing"):
        VoiceConverter(path, "cpu")


def test_a_long_recording_is_as_long_as_it_was_and_has_no_hole_where_it_is_cut(
    tmp_path: Path, english: Path, downloads: Path
) -> None:
    install_contentvec(downloads, 256)
    voice = write_voice(tmp_path / "v.pth", "v1", use_f0=False)
    speech, rate = load(english)
    long = tmp_path / "long.flac"
    soundfile.write(long, np.tile(speech, 8)[: 45 * rate], rate)
    made = convert(voice, options_for(voice, long))
    assert len(made) == 45 * 32000
    level = np.sqrt(np.square(made).reshape(-1, 3200).mean(1))
    assert level.min() > 0.2 * np.median(level)


SIZES = {"x_pad": 0.5, "x_query": 1.0, "x_center": 6.0, "x_max": 7.0}
HALF = {"x_pad": 0.5, "x_query": 0.5, "x_center": 3.0, "x_max": 3.5}


def long_recording(folder: Path, english: Path, seconds: int) -> Path:
    speech, rate = load(english)
    path = folder / f"{seconds}.flac"
    soundfile.write(path, np.tile(speech, 1 + seconds // 6)[: seconds * rate], rate)
    return path


def refuse(kind: str) -> None:
    """A real refusal: more memory than any machine has, or what a GPU raises."""
    if kind == "torch":
        torch.empty(2**55)
    if kind == "numpy":
        np.empty(2**55)
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")


def limit(converter: VoiceConverter, stage: str, seconds: float, kind: str) -> None:
    """Let a stage of the conversion refuse what is longer than that."""
    able = getattr(converter, stage)

    def limited(first: Any, *rest: Any) -> Any:
        length = len(first) / (100 if stage == "render" else 16000)
        if length > seconds:
            refuse(kind)
        return able(first, *rest)

    limited.new_statistics = getattr(able, "new_statistics", None)
    setattr(converter, stage, limited)


@pytest.mark.parametrize(
    ("stage", "kind"), [("render", "cuda"), ("render", "numpy"), ("encoder", "torch")]
)
def test_chunks_that_do_not_fit_are_halved_and_sound_as_if_asked_for(
    tmp_path: Path, english: Path, downloads: Path, caplog: Any, stage: str, kind: str
) -> None:
    install_contentvec(downloads, 256)
    voice = write_voice(tmp_path / "v.pth", "v1")
    options = options_for(voice, long_recording(tmp_path, english, 9), **SIZES)
    converter = VoiceConverter(voice, "cpu")
    converter.convert_file(options)
    whole = load(options.output)[0]
    converter.convert_file(replace(options, **HALF))
    asked = load(options.output)[0]
    limit(converter, stage, 5, kind)
    converter.convert_file(options)
    assert np.array_equal(load(options.output)[0], asked)
    assert not np.array_equal(asked, whole)
    assert caplog.text.count("3.0 s are converted at once instead of 6.0 s") == 1


def test_what_was_converted_before_memory_ran_short_stays(
    tmp_path: Path, english: Path, downloads: Path, caplog: Any
) -> None:
    install_contentvec(downloads, 256)
    voice = write_voice(tmp_path / "v.pth", "v1")
    options = options_for(voice, long_recording(tmp_path, english, 12), **SIZES)
    converter = VoiceConverter(voice, "cpu")
    converter.convert_file(options)
    undisturbed = load(options.output)[0]
    able, calls = converter.render, []

    def fails_once(*arguments: Any) -> np.ndarray:
        calls.append(arguments)
        if len(calls) == 2:
            refuse("torch")
        return able(*arguments)

    converter.render = fails_once
    converter.convert_file(options)
    made = load(options.output)[0]
    assert len(made) == len(undisturbed) == 12 * 32000
    first = 4 * 32000
    assert np.array_equal(made[:first], undisturbed[:first])
    assert "s on, 3.0 s are converted at once instead of 6.0 s" in caplog.text
    level = np.sqrt(np.square(made).reshape(-1, 3200).mean(1))
    assert level.min() > 0.2 * np.median(level)


@pytest.mark.parametrize("version", ["v1", "lite"])
def test_a_chunk_is_prepared_while_the_one_before_is_rendered_and_nothing_changes(
    tmp_path: Path, english: Path, downloads: Path, untrained_voice: Path, version: str
) -> None:
    """As on a GPU: what a chunk became is asked for when the next one has been started."""
    install_contentvec(downloads, 256)
    voice = untrained_voice if version == "lite" else write_voice(tmp_path / "v.pth", version)
    recording = long_recording(tmp_path, english, 20)
    options = options_for(voice, recording, output=tmp_path / "out.wav", **SIZES)
    converter = VoiceConverter(voice, "cpu")
    render = converter.render
    assert not converter.renders_ahead

    def converted(ahead: bool, refused: int | None = None) -> tuple[np.ndarray, list[str]]:
        events: list[str] = []

        def noted(*arguments: Any) -> Callable[[], np.ndarray]:
            number = arguments[-1]  # the seed
            if number == refused and "refused" not in events:
                events.append("refused")
                refuse("cuda")
            events.append(f"started {number}")
            rendered = render(*arguments)
            return lambda: events.append(f"asked for {number}") or rendered()

        converter.render, converter.renders_ahead = noted, ahead
        converter.convert_file(options)
        return load(options.output)[0], events

    plain, events = converted(ahead=False)
    assert events[:4] == ["started 0", "asked for 0", "started 1", "asked for 1"]
    made, events = converted(ahead=True)
    assert events[:4] == ["started 0", "started 1", "asked for 0", "started 2"]
    assert np.array_equal(made, plain)
    halved, _ = converted(ahead=False, refused=1)
    made, events = converted(ahead=True, refused=1)
    assert events[:4] == ["started 0", "refused", "started 1", "asked for 0"]
    assert np.array_equal(made, halved) and not np.array_equal(made, plain)


def test_memory_that_never_suffices_is_one_line_with_the_way_out_and_no_file(
    tmp_path: Path, english: Path, downloads: Path
) -> None:
    install_contentvec(downloads, 256)
    voice = write_voice(tmp_path / "v.pth", "v1")
    options = options_for(voice, english)
    converter = VoiceConverter(voice, "cpu")
    limit(converter, "render", 0.5, "torch")
    with pytest.raises(TooLittleMemory, match=r"memory of cpu.*--device cpu.*lite voice") as told:
        converter.convert_file(options)
    assert "\n" not in str(told.value) and len(str(told.value)) < 400
    assert sorted(path.name for path in tmp_path.iterdir()) == ["downloads", "v.pth"]


def test_an_error_that_is_none_of_memory_is_not_tried_again(
    tmp_path: Path, english: Path, downloads: Path
) -> None:
    install_contentvec(downloads, 256)
    converter = VoiceConverter(write_voice(tmp_path / "v.pth", "v1"), "cpu")
    calls = []

    def broken(*arguments: Any) -> np.ndarray:
        calls.append(arguments)
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    converter.render = broken
    with pytest.raises(RuntimeError, match="mat1"):
        converter.convert_file(options_for(converter.path, english))
    assert len(calls) == 1


def test_four_numbers_that_do_not_fit_together_are_refused(
    tmp_path: Path, english: Path, downloads: Path
) -> None:
    install_contentvec(downloads, 256)
    voice = write_voice(tmp_path / "v.pth", "v1")
    with pytest.raises(ValueError, match=r"--x-center 10 .* --x-query 6"):
        convert(voice, options_for(voice, english, x_center=10.0))
