"""Voices of Applio and of ddPn08's rvc-webui: header and loader say the same of every one."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from errors import CheckpointError
from infer.voice.checkpoint import load_voice_model, save_voice_model
from infer.voice.header import VoiceHeader, read_header
from infer.voice.hparams import HIFIGAN, MRF, REFINEGAN
from infer.voice.public import find_encoder, note_encoder
from tests.infer.applio_voices import applio_shapes
from tests.infer.models.standard.test_vocoders import applio_params
from tests.infer.standard_voices import narrow_voice
from tools.cmd.voices import main as voices

RATES = {24000: [10, 6, 2, 2], 32000: [10, 8, 2, 2], 40000: [10, 10, 2, 2], 48000: [12, 10, 2, 2]}
NOTED = {
    "epoch": 12, "step": 3456, "creation_date": "2026-07-27T10:00:00.123456",
    "model_hash": "ba14" * 16, "dataset_length": "00:10:03", "model_name": "demo", "author": "Mi",
    "embedder_model": "contentvec", "speakers_id": 1,
}  # fmt: skip


def applio_file(vocoder: str, rate: int, /, **changes: Any) -> OrderedDict[str, Any]:
    """The content of a file as Applio writes it, narrow where the vocoder allows it."""
    config = [1025, 32, 16, 16, 32, 2, 1, 3, 0, "1", [3, 7, 11], [[1, 3, 5]] * 3]
    config += [RATES[rate], 64, [2 * step for step in RATES[rate]], 1, 8, rate]
    shapes = applio_shapes(applio_params(vocoder, config))
    return OrderedDict({
        "weight": {name: torch.zeros(shape, dtype=torch.half) for name, shape in shapes.items()},
        "config": config, **NOTED, "sr": rate, "f0": True, "version": "v2", "vocoder": vocoder,
        **changes,
    })  # fmt: skip


def both(path: Path, content: dict[str, Any]) -> tuple[VoiceHeader, dict[str, Any]]:
    """What the header says, and the params that loading gives."""
    torch.save(content, path)
    return read_header(path), load_voice_model(path).params


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("vocoder", [MRF, REFINEGAN])
def test_the_vocoder_is_told_by_the_weights_and_the_rate_by_the_list(
    tmp_path: Path, vocoder: str, rate: int
) -> None:
    wrong = {} if rate == 24000 else {"vocoder": HIFIGAN, "sr": "a whole sentence", "f0": 0}
    header, params = both(tmp_path / "v.pth", applio_file(vocoder, rate, **wrong))
    assert (header.problem, header.vocoder, header.sample_rate) == (None, vocoder, rate)
    assert (params["vocoder"], params["sample_rate"], params["use_f0"]) == (vocoder, rate, True)
    assert params["upsample_rates"] == RATES[rate]


def test_what_applio_noted_is_shown_and_written_back(tmp_path: Path) -> None:
    path = tmp_path / "v.pth"
    torch.save(applio_file(REFINEGAN, 24000), path)
    model = load_voice_model(path)
    assert read_header(path).noted == {
        **{name: str(value) for name, value in NOTED.items()}, "vocoder": REFINEGAN
    }  # fmt: skip
    save_voice_model(tmp_path / "again.pth", model)
    again = torch.load(tmp_path / "again.pth", weights_only=True)
    assert {name: again[name] for name in NOTED} == NOTED
    assert again["vocoder"] == REFINEGAN
    assert load_voice_model(tmp_path / "again.pth").params == model.params


OLD_FIRST = {"dec.pre_conv.weight_v": torch.zeros(256, 1, 7)}


@pytest.mark.parametrize(
    ("vocoder", "change", "told"),
    [
        (REFINEGAN, {"vocoder": "RingFormer"}, "vocoder 'RingFormer'.*program that made it"),
        (REFINEGAN, {"weight": OLD_FIRST}, "RefineGAN of Applio 3.2.9"),
        (REFINEGAN, {"weight": {"enc_p.emb_pitch.weight": None}}, "without pitch"),
        (MRF, {"config": {17: 44100}}, "do not multiply"),
        (MRF, {"version": "voras_beta"}, "'voras_beta', another network"),
        (MRF, {"embedder_model": "..."}, r"content encoder '\.\.\.'"),
    ],
)
def test_a_voice_that_cannot_be_used_is_refused_by_name_by_both_readers(
    tmp_path: Path, vocoder: str, change: dict[str, Any], told: str
) -> None:
    content = applio_file(vocoder, 40000)
    for name, value in change.items():
        if name == "weight":
            content["weight"] |= value
            content["weight"] = {k: v for k, v in content["weight"].items() if v is not None}
        elif name == "config":
            for place, number in value.items():
                content["config"][place] = number
        else:
            content[name] = value
    torch.save(content, tmp_path / "v.pth")
    with pytest.raises(CheckpointError, match=told):
        load_voice_model(tmp_path / "v.pth")
    problem = read_header(tmp_path / "v.pth").problem
    with pytest.raises(ValueError, match=told):
        raise problem or ValueError("the header found nothing")


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_list_of_19_is_read_and_its_encoder_and_layer_are_kept(
    tmp_path: Path, version: str
) -> None:
    dim, layer = (256, 12) if version == "v1" else (768, 9)
    weights = {name: value.half() for name, value in narrow_voice(version).weights.items()}
    rates = [10, 4, 2, 2, 2] if version == "v1" else [10, 8, 2, 2]
    kernels = [16, 16, 4, 4, 4] if version == "v1" else [20, 16, 4, 4]
    config = [513, 32, 16, 16, 32, 2, 2, 3, 0, "1", [3, 7, 11], [[1, 3, 5]] * 3, rates, 64, kernels,
              109, 8, dim, 32000]  # fmt: skip
    noted = {"embedder_name": "hubert-base-japanese", "embedder_output_layer": layer,
             "speaker_info": {"0": "Mi"}, "params": {"sr": 32000}}  # fmt: skip
    file = OrderedDict(weight=weights, config=config, version=version, sr="32k", f0=1, **noted)
    header, params = both(tmp_path / "v.pth", file)
    name = f"japanese-hubert-base-{dim}-layer{layer}"
    assert (header.problem, header.content_encoder, params["content_encoder"]) == (None, name, name)
    assert header.noted["speaker_info"] == "{'0': 'Mi'}"
    assert params == narrow_voice(version).params | {"content_encoder": name}
    save_voice_model(tmp_path / "again.pth", load_voice_model(tmp_path / "v.pth"))
    again = torch.load(tmp_path / "again.pth", weights_only=True)
    assert (len(again["config"]), again["speaker_info"]) == (18, {"0": "Mi"})
    assert load_voice_model(tmp_path / "again.pth").params == params


@pytest.mark.parametrize(
    ("labels", "dim", "name"),
    [
        ({}, 768, "contentvec-768"),
        ({"embedder_model": None}, 256, "contentvec-256"),
        ({"embedder_model": "spin-v2"}, 768, "spin-v2-768"),
        ({"embedder_model": r"C:\embedders\My Own"}, 768, "My-Own-768"),
        ({"embedder_model": "rvc/models/embedders/custom/korean"}, 768, "korean-768"),
        ({"embedder_name": "hubert_base"}, 256, "contentvec-256"),
        ({"embedder_name": "contentvec768"}, 768, "contentvec-768"),
        ({"embedder_name": "hubert-base-japanese768"}, 768, "japanese-hubert-base-768"),
        ({"embedder_name": "contentvec", "embedder_output_layer": 12}, 768, "contentvec-768"),
        ({"embedder_name": "contentvec", "embedder_output_layer": "9"}, 768,
         "contentvec-768-layer9"),
        # a v1 voice of Applio hears the last layer, one of RVC the ninth
        ({"embedder_model": "contentvec", "model_hash": "ba"}, 256, "contentvec-256-layer12"),
        ({"embedder_model": "contentvec", "model_hash": "ba"}, 768, "contentvec-768"),
    ],
)  # fmt: skip
def test_the_encoder_is_found_by_what_programs_call_it(
    labels: dict[str, Any], dim: int, name: str
) -> None:
    assert find_encoder(labels, dim) == name
    assert note_encoder(labels, name) == {}
    assert find_encoder(note_encoder({}, name), dim) == name


DOC = Path(__file__).resolve().parents[3] / "docs/standard.md"


def test_the_table_of_the_docs_names_every_vocoder_that_converts() -> None:
    rows = [line.split("|")[1:-1] for line in DOC.read_text(encoding="utf-8").splitlines()
            if line.startswith("| ") and "converts" in line]  # fmt: skip
    told = " ".join(row[1] for row in rows)
    assert all(vocoder in told for vocoder in (HIFIGAN, MRF, REFINEGAN))
    of_applio = {row[1].strip(): row[2] for row in rows if "Applio" in row[0]}
    for vocoder in (MRF, REFINEGAN):
        assert [int(rate) * 1000 for rate in of_applio[vocoder].split(",")] == list(RATES)


def test_the_command_shows_what_applio_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(applio_file(MRF, 40000), tmp_path / "v.pth")
    assert voices(["show", "--file", str(tmp_path / "v.pth")]) == 0
    shown = capsys.readouterr().out
    wanted = ("vocoder: MRF HiFi-GAN", "content_encoder: contentvec-768", "author: Mi",
              "model_name: demo", f"model_hash: {'ba14' * 16}", "speakers_id: 1")  # fmt: skip
    assert [line for line in wanted if f"  {line}\n" not in shown] == []
