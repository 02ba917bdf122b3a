"""The file formats: what is saved comes back, what is not a voice is refused in one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from infer.checkpoint import (
    CheckpointError,
    VoiceModel,
    load_voice_model,
    load_weights,
    save_training_state,
    save_voice_model,
)


def voice() -> VoiceModel:
    weights = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.ones(2)}
    params = {"sample_rate": 24000, "hidden_dim": 4}
    return VoiceModel(weights, params, 24000, "lite", info="5 steps", f0_median={0: 210.5})


def test_a_voice_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    save_voice_model(tmp_path / "v.pth", voice())
    back = load_voice_model(tmp_path / "v.pth")
    assert back.params == voice().params
    assert (back.version, back.info, back.f0_median) == ("lite", "5 steps", {0: 210.5})
    assert all(torch.equal(back.weights[name], value) for name, value in voice().weights.items())
    assert list(tmp_path.iterdir()) == [tmp_path / "v.pth"]


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


def test_code_in_a_file_is_refused_and_never_run(tmp_path: Path) -> None:
    torch.save({"weight": Evil(tmp_path / "ran"), "config": {}}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError, match=r"evil\.pth cannot be read safely"):
        load_voice_model(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


def test_what_is_no_voice_is_named(tmp_path: Path) -> None:
    path = tmp_path / "v.pth"
    path.write_text("this is a text")
    with pytest.raises(CheckpointError, match=r"v\.pth"):
        load_voice_model(path)
    save_training_state(path, {"model": {}, "optimizer": {}})
    with pytest.raises(CheckpointError, match="training state"):
        load_voice_model(path)
    save_voice_model(path, voice())
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(CheckpointError, match="damaged|safely"):
        load_voice_model(path)
    with pytest.raises(FileNotFoundError, match=r"none\.pth"):
        load_voice_model(tmp_path / "none.pth")


def test_weights_that_do_not_fit_are_listed_by_name() -> None:
    layer = torch.nn.Linear(3, 2)
    good = {name: value.clone() for name, value in layer.state_dict().items()}
    load_weights(layer, good, Path("v.pth"))
    bad = {"weight": torch.zeros(2, 4), "extra": torch.zeros(1)}
    with pytest.raises(CheckpointError) as caught:
        load_weights(layer, bad, Path("v.pth"))
    assert all(
        part in str(caught.value)
        for part in ("v.pth", "bias is missing", "extra is unknown", "weight is (2, 4)")
    )
