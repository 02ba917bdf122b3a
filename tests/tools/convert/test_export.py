"""Voices for other programs: what is written is the same voice, or nothing is written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from onnxruntime import InferenceSession

from errors import UserError
from infer.converter import load_synthesizer
from infer.models.families import family, plain
from infer.voice.checkpoint import VoiceModel, load_voice_model, save_voice_model
from infer.voice.hparams import LiteParams, read_config
from tests.infer.standard_voices import write_voice
from tools.convert import export as exporter
from tools.convert.export import export

pytest.importorskip("onnx")


def write_lite(path: Path) -> Path:
    torch.manual_seed(0)
    params = LiteParams.from_groups(
        read_config("lite", 24000), content_dim=8, hidden_dim=16, inner_dim=32, num_blocks=1,
        speaker_dim=4, num_speakers=2,
    )  # fmt: skip
    weights = family("lite").build(params).state_dict()
    save_voice_model(path, VoiceModel(weights, plain(params), 24000, "lite"))
    return path


def test_a_voice_becomes_safetensors_and_a_torch_file_again(tmp_path: Path) -> None:
    voice = write_voice(tmp_path / "v.pth", "v2")
    export(voice, tmp_path / "v.safetensors")
    export(tmp_path / "v.safetensors", tmp_path / "again.pth")
    first, again = load_voice_model(voice), load_voice_model(tmp_path / "again.pth")
    assert (again.params, again.info) == (first.params, first.info)
    assert all(torch.equal(again.weights[name], value) for name, value in first.weights.items())


@pytest.mark.parametrize(("name", "known"), [("v.txt", "v.txt ends in none"), ("v.pth", "exists")])
def test_another_ending_and_a_name_that_is_taken_are_refused(
    tmp_path: Path, name: str, known: str
) -> None:
    voice = write_voice(tmp_path / "v.pth", "v2")
    with pytest.raises(UserError, match=known):
        export(voice, tmp_path / name)
    assert list(tmp_path.iterdir()) == [voice]


def test_onnx_of_a_standard_voice_takes_any_length_and_gives_what_conversion_gives(
    tmp_path: Path,
) -> None:
    voice = write_voice(tmp_path / "v.pth", "v2")
    export(voice, tmp_path / "v.onnx")
    session = InferenceSession(tmp_path / "v.onnx", providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    assert names == ["phone", "phone_lengths", "pitch", "pitchf", "ds", "rnd"]
    _, params, synthesizer = load_synthesizer(voice)
    network = family("v2").exported(synthesizer)
    for frames in (11, 131):
        inputs = network.make_inputs(frames, seed=1)
        (audio,) = session.run(
            ["audio"], {name: x.numpy() for name, x in zip(names, inputs, strict=True)}
        )
        assert audio.shape == (1, 1, frames * params.hop_length)
        assert np.abs(audio - network.run_network(*inputs).numpy()).max() < 1e-3


def test_onnx_of_a_lite_voice_is_checked_and_a_different_one_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    voice = write_lite(tmp_path / "v.pth")
    export(voice, tmp_path / "v.onnx")
    session = InferenceSession(tmp_path / "v.onnx", providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_inputs()] == ["content", "f0", "speaker"]
    monkeypatch.setattr(exporter, "LARGEST_DIFFERENCE", 0.0)
    with pytest.raises(UserError, match="onnxruntime and torch differ"):
        export(voice, tmp_path / "other.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["v.onnx", "v.pth"]


def test_without_the_exporter_the_command_that_installs_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="requirements-export.txt"):
        export(write_lite(tmp_path / "v.pth"), tmp_path / "v.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["v.pth"]
