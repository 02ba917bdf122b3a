"""The file formats: what is saved comes back, what is not a voice is refused in one line."""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from errors import CheckpointError
from infer.models.families import family, plain
from infer.voice.checkpoint import (
    VoiceModel,
    load_voice_model,
    save_training_state,
    save_voice_model,
)
from infer.voice.hparams import StandardParams, read_config
from infer.voice.tensors import load_weights
from tests.golden.weights import golden_tensor
from tests.infer.standard_voices import narrow_voice

GOLDEN = Path(__file__).resolve().parents[2] / "golden"


def voice() -> VoiceModel:
    weights = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.ones(2)}
    sizes = dict.fromkeys(("content_dim", "hidden_dim", "inner_dim", "speaker_dim"), 4)
    params = {**sizes, "sample_rate": 24000, "hop_length": 240, "content_encoder": "whisper-base-4"}
    params |= {"num_blocks": 1, "kernel_size": 7, "num_speakers": 1, "f0_known": 900.0}
    pitch = {"f0_median": {0: 210.5}, "f0_range": {0: (150.0, 300.5)}}
    return VoiceModel(weights, params, 24000, "lite", info="5 steps", **pitch)


def test_a_voice_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    save_voice_model(tmp_path / "v.pth", voice())
    back = load_voice_model(tmp_path / "v.pth")
    assert back.params == voice().params
    assert (back.version, back.info, back.f0_median) == ("lite", "5 steps", {0: 210.5})
    assert back.f0_range == {0: (150.0, 300.5)}
    assert all(torch.equal(back.weights[name], value) for name, value in voice().weights.items())
    assert list(tmp_path.iterdir()) == [tmp_path / "v.pth"]


def test_a_lite_voice_of_another_day_is_completed_or_called_newer(tmp_path: Path) -> None:
    path = tmp_path / "v.pth"
    params = {name: value for name, value in voice().params.items() if name != "f0_known"}
    save_voice_model(path, replace(voice(), params=params))
    assert load_voice_model(path).params == {**params, "f0_known": 360.0}
    save_voice_model(path, replace(voice(), params={**params, "warmth": 3}))
    with pytest.raises(CheckpointError, match=r"v\.pth cannot be used: its 'config' has warmth"):
        load_voice_model(path)


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


def described(value: Any) -> dict[str, Any]:
    """What the golden files say about an object: type, and shape, content or value."""
    kind = type(value)
    described_as: dict[str, Any] = {"type": f"{kind.__module__}.{kind.__qualname__}"}
    if isinstance(value, torch.Tensor):
        return {"type": "torch.Tensor", "dtype": str(value.dtype), "shape": list(value.shape)}
    if isinstance(value, dict):
        return {**described_as, "items": {name: described(item) for name, item in value.items()}}
    return {"type": described_as["type"].removeprefix("builtins."), "value": value}


def full_voice(version: str, sample_rate: int, use_f0: bool, info: str) -> VoiceModel:
    """A voice of full size with the golden weights."""
    params = StandardParams.from_groups(read_config(version, sample_rate), use_f0=use_f0)
    with torch.device("meta"):
        trained = family(version).build(params).state_dict()
    weights = {
        name: golden_tensor(name, value.shape, 0)
        for name, value in trained.items()
        if "enc_q" not in name
    }
    return VoiceModel(weights, plain(params), sample_rate, version, use_f0, info)


@pytest.mark.parametrize(
    ("name", "version", "rate", "use_f0", "info"),
    [
        ("v2_f0_48k", "v2", 48000, True, "37epoch"),
        pytest.param("v1_f0_40k", "v1", 40000, True, "", marks=pytest.mark.slow),
        pytest.param("v1_nof0_32k", "v1", 32000, False, "5epoch", marks=pytest.mark.slow),
    ],
)
def test_a_saved_voice_is_built_as_the_reference_builds_it(
    tmp_path: Path, name: str, version: str, rate: int, use_f0: bool, info: str
) -> None:
    golden = json.loads((GOLDEN / f"model_file_{name}.json").read_text(encoding="utf-8"))
    wanted = golden["content"]
    voice = full_voice(version, rate, use_f0, info or wanted["items"]["info"]["value"])
    save_voice_model(tmp_path / "v.pth", voice)
    content = torch.load(tmp_path / "v.pth", weights_only=True)
    assert described(content) == wanted
    assert list(content) == list(wanted["items"])
    assert list(content["weight"]) == list(wanted["items"]["weight"]["items"])
    assert not any(value._is_view() for value in content["weight"].values())
    back = load_voice_model(tmp_path / "v.pth")
    assert replace(back, weights={}) == replace(voice, weights={})
    assert all(torch.equal(back.weights[k].half(), v.half()) for k, v in voice.weights.items())


def test_v2_at_40_khz_has_the_list_of_v1_and_hears_768_values() -> None:
    params = StandardParams.from_groups(read_config("v2", 40000))
    assert (params.content_encoder, params.content_dim) == ("contentvec-768", 768)
    assert replace(params, content_encoder="contentvec-256", content_dim=256) == (
        StandardParams.from_groups(read_config("v1", 40000))
    )


def raw_voice(
    version: str, use_f0: bool = True, noted: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The content of a public voice file."""
    weights = {name: value.half() for name, value in narrow_voice(version, use_f0).weights.items()}
    config = [513, 32, 16, 16, 32, 2, 2, 3, 0, "1", [3, 7, 11], [[1, 3, 5]] * 3]
    rates = ([10, 8, 2, 2], [20, 16, 4, 4])
    if version == "v1":
        rates = ([10, 4, 2, 2, 2], [16, 16, 4, 4, 4])
    config += [rates[0], 64, rates[1], 109, 8, 32000]
    return OrderedDict(weight=weights, config=config, **(noted or {}))


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("use_f0", [True, False])
def test_a_voice_without_any_label_is_read_by_its_weights(
    tmp_path: Path, version: str, use_f0: bool
) -> None:
    torch.save(raw_voice(version, use_f0), tmp_path / "v.pth")
    model = load_voice_model(tmp_path / "v.pth")
    assert (model.version, model.use_f0, model.sample_rate, model.info) == (
        version, use_f0, 32000, "",
    )  # fmt: skip
    assert model.params["num_speakers"] == 3  # its table has 3 rows, its config says 109
    wanted = narrow_voice(version, use_f0)
    assert model.params == wanted.params
    for name, value in wanted.weights.items():
        assert torch.equal(model.weights[name], value.half().float())


def test_what_other_programs_noted_and_named_otherwise_is_kept(tmp_path: Path) -> None:
    noted = {
        "vocoder": "HiFi-GAN", "model_name": "mi", "embedder_model": "spin-v2", "author": "None",
        "epoch": 5, "step": 100, "sr": 32000, "f0": True, "version": "v2", "speakers_id": 1,
    }  # fmt: skip
    content = raw_voice("v2", noted=noted)
    content["weight"] = {
        name.replace("weight_g", "parametrizations.weight.original0").replace(
            "weight_v", "parametrizations.weight.original1"
        ): value
        for name, value in content["weight"].items()
    }
    content["weight"]["enc_q.pre.weight"] = torch.zeros(1)
    torch.save(content, tmp_path / "v.pth")
    model = load_voice_model(tmp_path / "v.pth")
    assert model.params["content_encoder"] == "spin-v2-768"
    assert list(model.weights) == list(narrow_voice("v2").weights)
    save_voice_model(tmp_path / "again.pth", model)
    again = torch.load(tmp_path / "again.pth", weights_only=True)
    assert {name: again[name] for name in noted} == {**noted, "sr": "32k", "f0": 1}
    assert load_voice_model(tmp_path / "again.pth").params == model.params


def test_a_voice_of_another_encoder_says_so_and_contentvec_needs_no_word(tmp_path: Path) -> None:
    voice = narrow_voice("v2")
    save_voice_model(tmp_path / "v.pth", voice)
    assert "embedder_model" not in torch.load(tmp_path / "v.pth", weights_only=True)
    korean = replace(voice, params={**voice.params, "content_encoder": "korean-hubert-base-768"})
    save_voice_model(tmp_path / "v.pth", korean)
    content = torch.load(tmp_path / "v.pth", weights_only=True)
    assert content["embedder_model"] == "korean-hubert-base"
    assert load_voice_model(tmp_path / "v.pth").params == korean.params


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"vocoder": "RingFormer"}, "vocoder 'RingFormer'; this program has HiFi-GAN, MRF"),
        ({"config": [1, 2, 3]}, "no list of 18 values"),
        ({"config": "text"}, "no list of 18 values"),
        ({9: "2"}, "type '2'"),
        ({2: 10**9}, "1000000000 as inter_dim"),
        ({6: [2]}, r"\[2\] as num_layers"),
        ({12: [10, 4, 2]}, "do not multiply"),
        ({14: [16, 16, 4, 4]}, "do not fit together"),
        ({5: 3}, "do not fit together"),
        ({17: 32001}, "320 is not 10 ms"),
        ({17: "32k"}, "'32k' as sample_rate"),
        ({"weight": {"a": 1}}, "no table of tensors"),
        ({"weight": {"a": torch.tensor(float("nan"))}}, "a holds values that are not numbers"),
        ({"weight": {}}, "lacks enc_p.emb_phone.weight"),
    ],
)
def test_a_voice_that_cannot_be_built_is_refused_by_what_is_wrong(
    tmp_path: Path, change: dict[Any, Any], told: str
) -> None:
    content = raw_voice("v1")
    for key, value in change.items():
        (content["config"] if isinstance(key, int) else content)[key] = value
    torch.save(content, tmp_path / "v.pth")
    with pytest.raises(CheckpointError, match=told) as caught:
        model = load_voice_model(tmp_path / "v.pth")
        try:
            StandardParams(**model.params)
        except ValueError as error:
            raise CheckpointError("damaged", file=tmp_path / "v.pth", reason=error) from error
    assert "v.pth" in str(caught.value)
    assert "\n" not in str(caught.value)
