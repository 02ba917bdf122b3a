"""Narrow voices and content encoders of the public kinds, with random weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from infer.models.families import family, plain
from infer.voice.checkpoint import VoiceModel, save_voice_model
from infer.voice.hparams import StandardParams, read_config
from infer.voice.tensors import read_tensors

TINY_HUBERT = Path(__file__).resolve().parents[1] / "golden/hubert_tiny.pt"


def narrow_params(version: str, use_f0: bool = True, **changes: object) -> StandardParams:
    """Params of 32 kHz voices, a tenth as wide."""
    return StandardParams.from_groups(
        read_config(version, 32000), use_f0=use_f0, hidden_dim=16, inter_dim=16, filter_dim=32,
        num_layers=2, upsample_initial_dim=64, speaker_dim=8, num_speakers=3, **changes,
    )  # fmt: skip


def narrow_voice(version: str, use_f0: bool = True, **changes: object) -> VoiceModel:
    """A voice of those params."""
    params = narrow_params(version, use_f0, **changes)
    torch.manual_seed(0)
    weights = family(version).build(params).state_dict()
    weights = {name: value for name, value in weights.items() if not name.startswith("enc_q")}
    return VoiceModel(weights, plain(params), params.sample_rate, version, use_f0, info="1epoch")


def install_contentvec(downloads: Path, dim: int) -> None:
    """Write an encoder that gives `dim` values to where RVC's programs have hubert_base.pt."""
    weights = dict(read_tensors(TINY_HUBERT, ("fairseq.",))["model"])
    random = torch.Generator().manual_seed(0)
    if dim == 256:
        weights["final_proj.weight"] = torch.randn(dim, 24, generator=random)
        weights["final_proj.bias"] = torch.zeros(dim)
    else:
        weights = {
            name: 0.05 * torch.randn([dim if n == 24 else n for n in value.shape], generator=random)
            for name, value in weights.items()
            if "encoder.layers." not in name or "encoder.layers.0." in name
        }
    path = downloads / "hubert/hubert_base.pt"
    path.parent.mkdir(parents=True)
    settings = {"model": {"encoder_attention_heads": 4}}
    torch.save({"model": weights, "cfg": settings}, path)


def write_voice(path: Path, version: str, use_f0: bool = True, embedder: str = "") -> Path:
    """Write a narrow voice, of another encoder where one is named."""
    voice = narrow_voice(version, use_f0)
    if embedder:
        name = f"{embedder}-{voice.params['content_dim']}"
        voice = replace(voice, params={**voice.params, "content_encoder": name})
    save_voice_model(path, voice)
    return path
