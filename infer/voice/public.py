"""Voices of other RVC programs: what labels, lists and shapes say of them. Imports no torch.

Their labels may be missing or wrong, so what the tensors tell goes before what a label says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TypeVar

from errors import UserError
from infer.content import DEFAULT_EMBEDDER, EMBEDDER_NAME, default_layer
from infer.voice.hparams import (
    HIFIGAN,
    MRF,
    NORM_KEYS,
    NORM_KEYS_PARAMETRIZED,
    REFINEGAN,
    VERSION_BY_CONTENT_DIM,
    StandardParams,
    from_legacy_list,
)

# what only this vocoder's weights are called
VOCODER_SIGNS = {
    HIFIGAN: "dec.resblocks.",
    MRF: "dec.mrfs.",
    REFINEGAN: "dec.upsample_conv_blocks.",
}
REFINEGAN_FIRST = (16, 1, 7)  # shape of its first layer; that of Applio 3.2.9 was another network
# other names of encoders; hubert_base.pt as RVC programs share it is ContentVec
SAME_EMBEDDERS = {
    "hubert_base": DEFAULT_EMBEDDER,
    "checkpoint_best_legacy_500": DEFAULT_EMBEDDER,
    "hubert-base-japanese": "japanese-hubert-base",
    "rinna_hubert_base_jp": "japanese-hubert-base",
}
WEIGHTS_FILE = re.compile(r"\.(pt|pth|bin|safetensors)$", re.IGNORECASE)
HUBERT_LAYERS = 12
T = TypeVar("T")


def read_public(
    content: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
) -> tuple[str, dict[str, Any]]:
    """Version and params of a voice whose `config` is a list. UserError: it cannot be built.

    content: what stands beside the weights; shapes: of the weights, by classic names.
    """
    version = str(content.get("version", ""))
    if version.startswith("voras"):  # a network of ddPn08's own, with the same keys around it
        raise UserError("other_network", name=version)
    phone, speakers = (shapes.get(name, ()) for name in ("enc_p.emb_phone.weight", "emb_g.weight"))
    if len(phone) != 2 or len(speakers) != 2:
        raise UserError("lacks_weights")
    dim = phone[1]
    if dim not in VERSION_BY_CONTENT_DIM:
        known = [f"{size} ({name})" for size, name in VERSION_BY_CONTENT_DIM.items()]
        raise UserError("content_dim", dim=dim, known=known)
    vocoder = find_vocoder(content.get("vocoder"), shapes)
    use_f0 = "enc_p.emb_pitch.weight" in shapes
    if vocoder != HIFIGAN and not use_f0:
        raise UserError("vocoder_pitch", vocoder=vocoder)
    params = from_legacy_list(
        content["config"],
        content_encoder=find_encoder(content, dim),
        content_dim=dim,
        use_f0=use_f0,
        num_speakers=speakers[0],
        vocoder=vocoder,
    )
    return VERSION_BY_CONTENT_DIM[dim], asdict(StandardParams(**params))


def find_vocoder(label: Any, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """The vocoder by the names of its weights. UserError for another program's own."""
    found = [
        name for name, sign in VOCODER_SIGNS.items() if any(key.startswith(sign) for key in shapes)
    ]
    if len(found) != 1 or (label and label not in VOCODER_SIGNS):
        raise UserError("stored_vocoder", vocoder=str(label), known=list(VOCODER_SIGNS))
    if found == [REFINEGAN] and shapes.get("dec.pre_conv.weight_v") != REFINEGAN_FIRST:
        raise UserError("old_refinegan")
    return found[0]


def find_encoder(content: Mapping[str, Any], dim: int) -> str:
    """The name, see infer.content, of the encoder that a voice's labels mean."""
    label = content.get("embedder_model") or content.get("embedder_name") or DEFAULT_EMBEDDER
    # where it is a path on its trainer's disk, the last part names a folder here
    stem = WEIGHTS_FILE.sub("", re.split(r"[\\/]", str(label).rstrip("\\/"))[-1])
    # ddPn08's names of encoders end in the width that is used
    stem = stem.removesuffix("768")
    embedder = SAME_EMBEDDERS.get(stem, re.sub(r"[^\w-]+", "-", stem, flags=re.ASCII).strip("-_"))
    layer = content.get("embedder_output_layer")
    if layer is None and dim == 256 and "model_hash" in content and content.get("embedder_model"):
        layer = HUBERT_LAYERS  # Applio projects the last layer, where RVC projects the ninth
    name = f"{embedder}-{dim}"
    if layer not in (None, "") and str(layer) != str(default_layer(dim)):
        name += f"-layer{layer}"
    if not EMBEDDER_NAME.fullmatch(name):
        raise UserError("stored_encoder", name=str(label), layer=str(layer))
    return name


def note_encoder(extra: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What has to stand in a file beside `extra`, for its reader to find this encoder."""
    match = EMBEDDER_NAME.fullmatch(name)
    if match is None or find_encoder(extra, int(match["dim"])) == name:
        return {}
    layer = int(match["layer"]) if match["layer"] else None
    return {"embedder_model": match["embedder"], "embedder_output_layer": layer}


def classic_names(weights: Mapping[str, T]) -> dict[str, T]:
    """Weights by the names of public voices: torch's newer weight norm has names of its own."""
    renamed = {}
    for name, value in weights.items():
        for classic, newer in zip(NORM_KEYS, NORM_KEYS_PARAMETRIZED, strict=True):
            name = name.removesuffix(newer) + classic if name.endswith(newer) else name
        renamed[name] = value
    return renamed
