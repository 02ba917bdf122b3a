"""Voices out of training states: the kind of network is told by its tensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from infer.models.families import FAMILIES
from infer.voice.checkpoint import CheckpointError, load_voice_model, save_voice_model
from infer.voice.extract import extract_voice
from infer.voice.header import STATE, read_header
from infer.voice.hparams import HIFIGAN, MRF, REFINEGAN, read_config
from infer.voice.tensors import load_weights
from tests.infer.applio_voices import applio_name
from tests.infer.models.standard.test_vocoders import applio_params


def write_state(path: Path, params: Any, version: str, drop: str = "none") -> dict[str, Any]:
    """Write a state as RVC's trainer does; its weights are zeros."""
    with torch.device("meta"):
        shapes = FAMILIES[version].build(params).state_dict()
    vocoder = getattr(params, "vocoder", HIFIGAN)
    weights = {
        applio_name(vocoder, name): torch.zeros(value.shape, dtype=torch.float16)
        for name, value in shapes.items()
        if not name.startswith(drop)
    }
    state = {"model": weights, "iteration": 7, "optimizer": {}, "learning_rate": 1e-4}
    torch.save(state, path)
    return weights


@pytest.mark.parametrize(
    ("version", "rate", "use_f0"), [("v1", 48000, False), ("v2", 48000, True), ("v1", 40000, True)]
)
def test_version_rate_f0_and_speakers_come_from_the_tensors(
    tmp_path: Path, version: str, rate: int, use_f0: bool
) -> None:
    params = FAMILIES[version].params.from_groups(
        read_config(version, rate), use_f0=use_f0, num_speakers=5
    )
    path = tmp_path / "G_2333333.pth"
    weights = write_state(path, params, version)
    assert (read_header(path).kind, read_header(path).version) == (STATE, version)
    model = extract_voice(path)
    assert (model.version, model.sample_rate, model.use_f0) == (version, rate, use_f0)
    assert model.params["num_speakers"] == 5
    assert model.weights.keys() == {name for name in weights if not name.startswith("enc_q.")}
    assert "epoch 7" in model.info
    save_voice_model(tmp_path / "voice.pth", model)
    assert load_voice_model(tmp_path / "voice.pth").params == model.params


def test_an_extracted_file_has_the_structure_of_the_reference(root: Path, tmp_path: Path) -> None:
    told = json.loads(
        (root / "tests/golden/model_file_extracted_v2_f0_48k.json").read_text(encoding="utf-8")
    )
    params = FAMILIES["v2"].params.from_groups(read_config("v2", 48000), use_f0=True)
    write_state(tmp_path / "G_1.pth", params, "v2")
    save_voice_model(tmp_path / "voice.pth", extract_voice(tmp_path / "G_1.pth", "mine"))
    content = torch.load(tmp_path / "voice.pth", weights_only=True)
    assert content.keys() == set(told["key_order"])
    for name in ("config", "version", "sr", "f0"):
        assert content[name] == told["content"][name]["value"], name
    assert content["info"] == "mine"


def test_where_the_tensors_fit_two_rates_the_config_beside_decides(tmp_path: Path) -> None:
    params = FAMILIES["v1"].params.from_groups(read_config("v1", 48000), use_f0=False)
    path = tmp_path / "G_1.pth"
    write_state(path, params, "v1", drop="enc_q.")  # 32 and 48 kHz look alike without it
    with pytest.raises(CheckpointError, match="config.json"):
        extract_voice(path)
    rvc = {"data": {"sampling_rate": 48000}, "model": {}, "train": {}}
    (tmp_path / "config.json").write_text(json.dumps(rvc), encoding="utf-8")
    assert extract_voice(path).sample_rate == 48000


def test_a_network_of_other_sizes_is_known_by_the_config_beside_it(tmp_path: Path) -> None:
    groups = read_config("lite", 24000)
    groups["model"].update(hidden_dim=32, inner_dim=64, num_blocks=2)
    params = FAMILIES["lite"].params.from_groups(groups)
    write_state(tmp_path / "G_1.pth", params, "lite")
    with pytest.raises(CheckpointError, match="fits no network"):
        extract_voice(tmp_path / "G_1.pth")
    content = {"version": "lite", "sample_rate": 24000, **groups}
    (tmp_path / "config.json").write_text(json.dumps(content), encoding="utf-8")
    assert extract_voice(tmp_path / "G_1.pth").params["hidden_dim"] == 32


def test_the_base_of_lite_becomes_a_voice_and_its_discriminators_do_not(root: Path) -> None:
    assert extract_voice(root / "assets/lite/base_G.pth").sample_rate == 24000
    with pytest.raises(CheckpointError, match="not from D_"):
        extract_voice(root / "assets/lite/base_D.pth")


APPLIO_RATES = {  # bins, steps, kernels
    24000: (513, [10, 6, 2, 2], [20, 12, 4, 4]),
    40000: (1025, [10, 10, 2, 2], [16, 16, 4, 4]),
    48000: (1025, [12, 10, 2, 2], [24, 20, 4, 4]),
}


@pytest.mark.parametrize(
    ("vocoder", "rate", "count", "values", "is_told"),
    [  # tensors and values as Applio's own states have them
        (MRF, 24000, 563, 36_746_060, True),
        (MRF, 48000, 563, 37_638_988, True),
        (REFINEGAN, 24000, 588, 35_096_850, False),
        (REFINEGAN, 40000, 588, 35_195_154, False),
    ],
)
def test_a_state_of_applio_becomes_a_voice_with_what_its_training_noted(
    tmp_path: Path, vocoder: str, rate: int, count: int, values: int, is_told: bool
) -> None:
    bins, steps, kernels = APPLIO_RATES[rate]
    sizes = [bins, 32, 192, 192, 768, 2, 6, 3, 0, "1", [3, 7, 11], [[1, 3, 5]] * 3]
    params = applio_params(vocoder, [*sizes, steps, 512, kernels, 109, 256, rate])
    path = tmp_path / "G_2333333.pth"
    weights = write_state(path, params, "v2")
    assert (len(weights), sum(value.numel() for value in weights.values())) == (count, values)
    assert read_header(path).vocoder == vocoder
    if not is_told:  # two rates of RefineGAN look alike
        with pytest.raises(CheckpointError, match="config.json"):
            extract_voice(path)
    config = {"data": {"sample_rate": rate}, "model": {}, "train": {}}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    info = {"total_dataset_duration": "00:10:03", "total_seconds": 603, "embedder_model": "spin-v2",
            "speakers_id": 2, "author": "Mi", "model_hash": "ba14"}  # fmt: skip
    (tmp_path / "model_info.json").write_text(json.dumps(info), encoding="utf-8")
    model = extract_voice(path)
    save_voice_model(tmp_path / "voice.pth", model)
    header, again = read_header(tmp_path / "voice.pth"), load_voice_model(tmp_path / "voice.pth")
    assert (header.problem, header.vocoder, header.sample_rate) == (None, vocoder, rate)
    assert header.content_encoder == "spin-v2-768"
    assert header.noted == {
        "embedder_model": "spin-v2", "speakers_id": "2", "dataset_length": "00:10:03",
        "author": "Mi", "model_hash": "ba14", "model_name": tmp_path.name, "epoch": "7",
        "vocoder": vocoder,
    }  # fmt: skip
    assert again.params == model.params and again.params["upsample_rates"] == steps
    assert again.weights.keys() == {name for name in weights if not name.startswith("enc_q.")}
    network = FAMILIES["v2"].build_voice(params)
    load_weights(network, FAMILIES["v2"].voice_weights(again.weights), path)
