"""Voices as .safetensors: the same voice comes back, and what its table claims is not believed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from errors import CheckpointError, UserError
from infer.voice.checkpoint import VoiceModel, load_voice_model, save_voice_model
from infer.voice.header import VOICE, read_header
from tests.infer.standard_voices import narrow_voice

LITE = {
    "sample_rate": 24000, "hop_length": 240, "content_encoder": "whisper-base-4",
    "content_dim": 4, "hidden_dim": 4, "inner_dim": 8, "num_blocks": 1, "kernel_size": 3,
    "speaker_dim": 2, "num_speakers": 1, "f0_known": 900.0,
}  # fmt: skip


def lite_voice() -> VoiceModel:
    weights = {"emb_g.weight": torch.ones(1, 2)}
    pitch = {"f0_median": {0: 210.5}, "f0_range": {0: (150.0, 300.5)}}
    return VoiceModel(weights, LITE, 24000, "lite", info="5 steps", **pitch)


@pytest.mark.parametrize("kind", ["lite", "v1", "v2"])
def test_a_voice_comes_back_as_it_was_and_the_header_says_the_same(
    tmp_path: Path, kind: str
) -> None:
    extra = {"author": "Mi", "epoch": 12, "speaker_info": {"0": "Mi"}}
    voice = replace(lite_voice() if kind == "lite" else narrow_voice(kind), extra=extra)
    path = tmp_path / "v.safetensors"
    save_voice_model(path, voice)
    back = load_voice_model(path)
    assert replace(back, weights={}, extra=extra) == replace(voice, weights={})
    assert {name: back.extra[name] for name in extra} == extra
    assert all(torch.equal(back.weights[k].half(), v.half()) for k, v in voice.weights.items())
    save_voice_model(tmp_path / "v.pth", voice)
    as_torch, as_safe = read_header(tmp_path / "v.pth"), read_header(path)
    assert (as_safe.kind, as_safe.problem) == (VOICE, None)
    assert replace(as_safe, noted=as_torch.noted) == as_torch
    assert as_safe.noted["author"] == "Mi"


def test_the_labels_are_those_that_voice_changers_read(tmp_path: Path) -> None:
    save_voice_model(tmp_path / "v.safetensors", narrow_voice("v2"))
    with safe_open(tmp_path / "v.safetensors", "pt") as file:
        labels = file.metadata()
    assert (labels["format"], labels["f0"], labels["version"]) == ("pt", "1", "v2")
    config = json.loads(labels["config"])
    assert (len(config), config[-1]) == (18, 32000)


def written(path: Path, table: object, data: bytes = b"", size: int | None = None) -> Path:
    text = json.dumps(table).encode()
    path.write_bytes((len(text) if size is None else size).to_bytes(8, "little") + text + data)
    return path


def entry(shape: object, start: int, end: int, dtype: str = "F16") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize(
    "table",
    [
        {"a": entry([2**33], 0, 2**34)},
        {"a": entry([4], 0, 4)},
        {"a": entry([-2], 0, 4)},
        {"a": entry([2], 0, 4, "Q4")},
        {"a": entry("text", 0, 4)},
        {"a": entry([2], 0, 4), "b": entry([2], 0, 4)},
        {"a": entry([1], 0, 2)},
        {"a": 5},
        {"a": {}},
        {"__metadata__": 5},
        {"__metadata__": {"config": "no json"}, "a": entry([2], 0, 4)},
    ],
)
def test_a_table_that_does_not_agree_with_the_file_is_refused_by_both_readers(
    tmp_path: Path, table: object
) -> None:
    path = written(tmp_path / "v.safetensors", table, b"1234")
    for read in (read_header, load_voice_model):
        with pytest.raises(CheckpointError, match=r"v\.safetensors is damaged"):
            read(path)


def test_weights_without_labels_are_no_voice_and_a_file_cut_off_says_so(tmp_path: Path) -> None:
    path = tmp_path / "v.safetensors"
    save_file({"a": torch.ones(2)}, path)
    with pytest.raises(CheckpointError, match="lacks 'weight' or 'config'"):
        load_voice_model(path)
    assert read_header(path).problem is not None
    save_voice_model(path, lite_voice())
    for length in (0, 5, 20, path.stat().st_size - 1):
        (tmp_path / "cut.safetensors").write_bytes(path.read_bytes()[:length])
        for read in (read_header, load_voice_model):
            with pytest.raises(CheckpointError, match=r"cut\.safetensors"):
                read(tmp_path / "cut.safetensors")


def test_a_full_disk_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise SafetensorError("I/O error: No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", fail)
    with pytest.raises(UserError, match="v.safetensors: cannot be written .*No space left"):
        save_voice_model(tmp_path / "v.safetensors", narrow_voice("v2"))
    assert not list(tmp_path.iterdir())
