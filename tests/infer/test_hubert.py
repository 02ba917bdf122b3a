"""HuBERT against fairseq's own output, its file layouts, hostile files, long and short audio."""

from __future__ import annotations

import builtins
import collections
import json
import os
import pickle
import re
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from infer.content import FRAME, load_encoder
from infer.content.hubert import HubertContent
from infer.content.hubert_files import read_hubert
from infer.voice.tensors import CheckpointError, read_tensors
from tests.golden.arrays import read_golden

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
TINY = GOLDEN / "hubert_tiny.pt"  # written by fairseq; 24 values, projected to 8
TOLERANCE = 3e-4
CPU = torch.device("cpu")
LENGTHS = (16000, 15999, 8003)


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    return read_golden("hubert_tiny")


@pytest.fixture(scope="module")
def encoder() -> HubertContent:
    return HubertContent(TINY, 24, CPU)


def speech_like(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise whose loudness changes, (N,) float32."""
    rng = np.random.default_rng(seed)
    samples = round(seconds * 16000)
    loudness = np.interp(np.arange(samples) / 1600, np.arange(0, samples / 1600 + 2), np.abs(
        rng.normal(size=len(np.arange(0, samples / 1600 + 2)))))  # fmt: skip
    return (0.05 * loudness * rng.normal(size=samples)).astype(np.float32)


@pytest.mark.parametrize("samples", LENGTHS)
@pytest.mark.parametrize(("dim", "name"), [(24, "layer12"), (8, "layer9_final_proj")])
def test_it_gives_what_fairseq_gives(
    golden: dict[str, np.ndarray], samples: int, dim: int, name: str
) -> None:
    wanted = golden[f"{name}_{samples}"]
    content = HubertContent(TINY, dim, CPU)(golden[f"wav_{samples}"])
    assert content.dtype == np.float32
    assert content.shape == (samples // FRAME, dim)
    assert np.abs(content[: len(wanted)] - wanted).max() < TOLERANCE
    assert (content[len(wanted) :] == content[len(wanted) - 1]).all()  # at most one, repeated


@pytest.mark.parametrize("samples", LENGTHS)
def test_its_convolutions_give_what_fairseqs_give(
    encoder: HubertContent, golden: dict[str, np.ndarray], samples: int
) -> None:
    features = encoder.network.features(torch.from_numpy(golden[f"wav_{samples}"]))
    wanted = golden[f"conv_{samples}"].T
    assert np.abs(features[: len(wanted)].numpy() - wanted).max() < TOLERANCE


@pytest.mark.parametrize("samples", [0, 1, 319, 320, 399, 400, 401, 719, 720, 16001])
def test_a_frame_for_every_20_ms(encoder: HubertContent, samples: int) -> None:
    content = encoder(speech_like(2)[:samples])
    assert content.shape == (samples // FRAME, 24)
    assert np.isfinite(content).all()


def test_silence_gives_finite_features(encoder: HubertContent) -> None:
    assert np.isfinite(encoder(np.zeros(48000, np.float32))).all()
    offset = encoder(np.full(48000, 0.5, np.float32))
    assert np.isfinite(offset).all()


def test_the_pieces_of_the_convolutions_do_not_show(
    encoder: HubertContent, monkeypatch: pytest.MonkeyPatch
) -> None:
    wav = torch.from_numpy(speech_like(7.013))
    whole = encoder.network.features(wav)
    monkeypatch.setattr("infer.content.hubert.CONV_FRAMES", 37)
    assert (encoder.network.features(wav) - whole).abs().max() < 2e-5


@pytest.mark.parametrize("dim", [24, 8])
def test_clips_together_have_the_content_that_they_have_alone(
    dim: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = HubertContent(TINY, dim, CPU)
    clips = [speech_like(2, seed)[:samples] for seed, samples in enumerate(
        [16000, 15999, 320, 399, 8003, 24031, 16000])]  # fmt: skip
    alone = [encoder(clip) for clip in clips]
    batches = []
    encoder.network.register_forward_pre_hook(lambda _, given: batches.append(len(given[0])))
    for expected, found in zip(alone, encoder.many(clips), strict=True):
        assert (found.shape, found.dtype) == (expected.shape, np.float32)
        assert np.abs(found - expected).max() < 2e-5
    assert batches == [7]
    monkeypatch.setattr("infer.content.hubert.WINDOW", 60)  # the longest of these does not fit
    monkeypatch.setattr("infer.content.hubert.CONTEXT", 15)
    assert [len(each) for each in encoder.many([*clips, clips[0][:300]])] == [
        len(clip) // FRAME for clip in [*clips, clips[0][:300]]
    ]
    assert 7 not in batches[1:]


def test_long_audio_is_read_in_windows_that_agree(
    encoder: HubertContent, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the attention of these random weights sees all of a window evenly, so windows agree only
    # roughly, and only if their contents are alike; a shift by one frame would be seen
    audio = np.tile(speech_like(2), 15)
    whole = encoder(audio)
    monkeypatch.setattr("infer.content.hubert.WINDOW", 700)
    windowed = encoder(audio)
    assert windowed.shape == whole.shape
    shifted = np.abs(whole[1:] - whole[:-1]).mean()
    assert 0 < np.abs(windowed - whole)[50:-50].mean() < 0.5 * shifted


def test_features_hardly_depend_on_where_a_chunk_starts(encoder: HubertContent) -> None:
    audio = np.tile(speech_like(2), 12)
    whole, later = encoder(audio), encoder(audio[430 * FRAME :])
    shifted = np.abs(whole[1:] - whole[:-1]).mean()
    assert np.abs(later - whole[430:])[50:-50].mean() < 0.5 * shifted


def transformers_names(weights: dict[str, torch.Tensor], is_new: bool) -> dict[str, torch.Tensor]:
    """The same weights as Transformers names them; new = torch's parametrizations."""
    renamed = {"masked_spec_embed": torch.zeros(24)}
    for name, value in weights.items():
        name = re.sub(r"conv_layers\.(\d)\.0\.", r"conv_layers.\1.conv.", name)
        name = name.replace("conv_layers.0.2.", "conv_layers.0.layer_norm.")
        name = re.sub(r"^layer_norm\.", "feature_projection.layer_norm.", name)
        name = name.replace("post_extract_proj.", "feature_projection.projection.")
        name = name.replace("pos_conv.0.", "pos_conv_embed.conv.")
        if is_new:
            name = name.replace("conv.weight_g", "conv.parametrizations.weight.original0")
            name = name.replace("conv.weight_v", "conv.parametrizations.weight.original1")
        name = name.replace(".self_attn_layer_norm.", ".layer_norm.")
        name = name.replace(".self_attn.", ".attention.")
        name = name.replace(".fc1.", ".feed_forward.intermediate_dense.")
        name = name.replace(".fc2.", ".feed_forward.output_dense.")
        if name not in ("mask_emb", "label_embs_concat"):
            renamed[name] = value.clone()
    return renamed


def write_folder(folder: Path, is_new: bool = True, **settings: Any) -> Path:
    """A Transformers folder of the tiny model; returns its weights file."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = transformers_names(read_tensors(TINY, ("fairseq.",))["model"], is_new)
    settings = {"model_type": "hubert", "num_attention_heads": 4, **settings}
    (folder / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    torch.save(weights, folder / "pytorch_model.bin")
    return folder / "pytorch_model.bin"


@pytest.mark.parametrize("is_new", [False, True])
@pytest.mark.parametrize("dim", [8, 24])
def test_a_transformers_folder_gives_the_same(
    tmp_path: Path, golden: dict[str, np.ndarray], is_new: bool, dim: int
) -> None:
    path = write_folder(tmp_path, is_new)
    wav = golden["wav_8003"]
    wanted = HubertContent(TINY, dim, CPU)(wav)
    assert (HubertContent(path, dim, CPU)(wav) == wanted).all()
    prefixed = {f"hubert.{name}": value for name, value in torch.load(path).items()}
    save_file(prefixed, tmp_path / "model.safetensors")
    alone = HubertContent(tmp_path / "model.safetensors", 24, CPU)
    assert (alone(wav) == HubertContent(TINY, 24, CPU)(wav)).all()


def test_heads_are_read_from_the_file() -> None:
    assert read_hubert(TINY).num_heads == 4


def test_it_is_found_by_name_and_offers_only_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, golden: dict[str, np.ndarray]
) -> None:
    monkeypatch.setattr("config.DOWNLOADS", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"download_assets.*hubert_base\.pt"):
        load_encoder("contentvec-24", CPU)
    (tmp_path / "hubert").mkdir()
    (tmp_path / "hubert/hubert_base.pt").write_bytes(TINY.read_bytes())
    write_folder(tmp_path / "spin-v2")
    wav = golden["wav_8003"]
    for name in ("contentvec-24", "spin-v2-24", "spin-v2-8"):
        assert load_encoder(name, CPU)(wav).shape == (25, int(name.rsplit("-", 1)[1]))
    with pytest.raises(CheckpointError, match="gives 8, 24 values per frame, not 768"):
        load_encoder("contentvec-768", CPU)
    with pytest.raises(FileNotFoundError, match=r"'chinese-hubert-base'.*config\.json"):
        load_encoder("chinese-hubert-base-768", CPU)


@pytest.mark.parametrize("name", ["../hubert-24", "a/b-24", "", "-24", "contentvec", "x\n-768"])
def test_a_name_never_leaves_its_folder(name: str) -> None:
    with pytest.raises(ValueError, match="unknown content encoder"):
        load_encoder(name, CPU)


def test_other_models_are_refused_by_what_differs(tmp_path: Path) -> None:
    for settings, reason in [
        ({"model_type": "wavlm"}, "model_type is 'wavlm'"),
        ({"do_stable_layer_norm": True}, "do_stable_layer_norm"),
        ({"conv_stride": [5, 2, 2, 2, 2, 2, 1]}, "conv_stride"),
        ({"num_attention_heads": 5}, "5 attention heads"),
    ]:
        path = write_folder(tmp_path, **settings)
        with pytest.raises(CheckpointError, match=reason):
            HubertContent(path, 24, CPU)
    path = write_folder(tmp_path)
    weights = torch.load(path)
    del weights["encoder.layers.3.attention.q_proj.bias"]
    torch.save(weights, path)
    with pytest.raises(CheckpointError, match=r"layers\.3\.self_attn\.q_proj\.bias is missing"):
        HubertContent(path, 24, CPU)
    (tmp_path / "config.json").write_text("[]", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"config\.json"):
        HubertContent(path, 24, CPU)


@pytest.mark.parametrize("content", [b"", b"not a model", TINY.read_bytes()[:100_000]])
def test_damaged_files_are_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "hubert_base.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=re.escape(str(path))):
        HubertContent(path, 24, CPU)


class Trap:
    """Pickled, it calls a function with arguments when it is read."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple:
        return self.call


def write_raw(path: Path, pickled: bytes) -> None:
    """A torch file with any pickle in it."""
    torch.save({}, path)
    with zipfile.ZipFile(path) as source:
        members = {name: source.read(name) for name in source.namelist()}
    with zipfile.ZipFile(path, "w") as target:
        for name, value in members.items():
            target.writestr(name, pickled if name.endswith("data.pkl") else value)


def traps(marker: Path) -> dict[str, Any]:
    """Things that would write a file named marker if reading them ran anything."""
    shell = f"touch {marker}"
    code = f"open({str(marker)!r}, 'w')"
    nested = collections.OrderedDict(a=[{"b": (Trap(os.system, shell),)}])
    return {
        "system": Trap(os.system, shell),
        "eval": Trap(builtins.eval, code),
        "exec": Trap(builtins.exec, code),
        "popen": Trap(subprocess.Popen, ["touch", str(marker)]),
        "import": Trap(__import__, "antigravity"),
        "nested": {"model": nested, "cfg": None},
        "in args": {"model": {}, "args": Trap(os.system, shell)},
        "touch": Trap(Path(marker).touch),
        "load": Trap(torch.load, str(marker)),
    }


@pytest.mark.parametrize("kind", list(traps(Path("x"))))
def test_no_file_runs_anything(tmp_path: Path, kind: str) -> None:
    marker, path = tmp_path / "ran", tmp_path / "hubert_base.pt"
    write_raw(path, pickle.dumps(traps(marker)[kind], protocol=2))
    with pytest.raises(CheckpointError, match="cannot be read safely: it asks for"):
        HubertContent(path, 24, CPU)
    assert not marker.exists()


def test_an_object_of_fairseq_comes_back_as_an_empty_shell(tmp_path: Path) -> None:
    path = tmp_path / "hubert_base.pt"
    # Dictionary("evil") called like a function, then given the state {"a": 1}
    write_raw(
        path,
        b"\x80\x02cfairseq.data\nDictionary\nX\x04\x00\x00\x00evil\x85R}X\x01\x00\x00\x00aK\x01sb.",
    )
    shell = read_tensors(path, ("fairseq.",))
    assert (type(shell).__name__, vars(shell)) == ("Dictionary", {"a": 1})
    with pytest.raises(CheckpointError, match=r"asks for fairseq\.data\.Dictionary"):
        read_tensors(path)
    with pytest.raises(CheckpointError, match="no fairseq checkpoint"):
        HubertContent(path, 24, CPU)


def test_its_statistics_change_nothing(encoder: HubertContent) -> None:
    statistics = encoder.new_statistics()
    content = 100 * np.random.default_rng(0).normal(size=(50, 24)).astype(np.float32)
    statistics.update(content)
    assert (statistics.result().normalize(content) == content).all()
