"""HuBERT's weights from the two layouts they are shared in: fairseq and Transformers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from errors import CheckpointError, UserError
from infer.voice.tensors import read_tensors

HEAD_DIM = 64  # of every published HuBERT; for files without their number of heads
# what fairseq's checkpoints carry beside the weights; read as empty shells, never imported
FAIRSEQ_OBJECTS = ("fairseq.", "omegaconf.", "argparse.Namespace", "typing.", "pathlib.")
# of no use here: mask embedding, targets of the pre-training, a classifier trained on top
UNUSED = re.compile(
    r"mask_emb|masked_spec_embed|label_embs_concat|(lm_head|classifier|projector)\."
)
# name in Transformers -> name in fairseq
TRANSFORMERS_NAMES = (
    (r"^hubert\.", ""),
    (r"conv_layers\.(\d)\.conv\.", r"conv_layers.\1.0."),
    (r"conv_layers\.0\.layer_norm\.", "conv_layers.0.2."),
    (r"^feature_projection\.layer_norm\.", "layer_norm."),
    (r"^feature_projection\.projection\.", "post_extract_proj."),
    (r"pos_conv_embed\.conv\.", "pos_conv.0."),
    (r"parametrizations\.weight\.original0$", "weight_g"),
    (r"parametrizations\.weight\.original1$", "weight_v"),
    (r"^(encoder\.layers\.\d+)\.attention\.", r"\1.self_attn."),
    (r"^(encoder\.layers\.\d+)\.layer_norm\.", r"\1.self_attn_layer_norm."),
    (r"feed_forward\.intermediate_dense\.", "fc1."),
    (r"feed_forward\.output_dense\.", "fc2."),
)
# what makes a Transformers model HuBERT base; a config.json that is silent means these
BASE_CONFIG = {
    "model_type": "hubert",
    "feat_extract_norm": "group",
    "feat_extract_activation": "gelu",
    "feat_proj_layer_norm": True,
    "hidden_act": "gelu",
    "do_stable_layer_norm": False,
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "conv_bias": False,
    "conv_pos_batch_norm": False,
    "layer_norm_eps": 1e-5,
}


LAYER = re.compile(r"encoder\.layers\.(\d+)\.")


@dataclass(frozen=True)
class HubertFile:
    """What a file holds: its weights by fairseq's names, weight norm folded.

    projection: of the hidden states after RVC v1's layer, None if the file has none.
    """

    weights: dict[str, Tensor]
    num_heads: int
    projection: nn.Linear | None

    @property
    def hidden_dim(self) -> int:
        """Values per frame of the hidden states."""
        return len(self.weights["encoder.layer_norm.weight"])

    @property
    def num_layers(self) -> int:
        """Transformer layers in the file."""
        return 1 + max(map(_layer, self.weights))

    def up_to_layer(self, num_layers: int) -> dict[str, Tensor]:
        """The weights of the first transformer layers and of all that comes before them."""
        return {name: value for name, value in self.weights.items() if _layer(name) < num_layers}


def read_hubert(path: Path) -> HubertFile:
    """Read a fairseq checkpoint, or the weights beside a config.json as Transformers writes them.

    Raises CheckpointError for everything that is not a HuBERT base model; runs nothing.
    """
    is_fairseq = not path.with_name("config.json").is_file()
    tensors, num_heads = _read_fairseq(path) if is_fairseq else _read_transformers(path)
    if not all(isinstance(value, Tensor) for value in tensors.values()):
        raise CheckpointError("damaged", file=path, reason=UserError("weight_tensors"))
    weights = {name: value for name, value in tensors.items() if not UNUSED.match(name)}
    try:
        _fold_weight_norm(weights)
        file = HubertFile(weights, num_heads, _take_projection(weights))
        heads = num_heads or file.hidden_dim // HEAD_DIM
        if heads < 1 or file.hidden_dim % heads:
            raise CheckpointError("encoder_heads", file=path, heads=heads, dim=file.hidden_dim)
    except (KeyError, RuntimeError, TypeError) as error:
        raise CheckpointError("encoder_model", file=path, reason=str(error)) from error
    return replace(file, num_heads=heads)


def _layer(name: str) -> int:
    """Number of the transformer layer a weight belongs to, -1 for what comes before them."""
    match = LAYER.match(name)
    return int(match[1]) if match else -1


def _read_fairseq(path: Path) -> tuple[Mapping[str, Any], int]:
    """Weights and number of heads (0 = not in the file) of a fairseq checkpoint."""
    content = read_tensors(path, FAIRSEQ_OBJECTS, mmap=True)
    if not isinstance(content, Mapping) or not isinstance(content.get("model"), Mapping):
        raise CheckpointError("fairseq", file=path)
    settings = content.get("cfg")
    settings = settings.get("model") if isinstance(settings, Mapping) else content.get("args")
    settings = settings if isinstance(settings, Mapping) else getattr(settings, "__dict__", {})
    heads = settings.get("encoder_attention_heads", 0)
    return content["model"], heads if isinstance(heads, int) else 0


def _read_transformers(path: Path) -> tuple[Mapping[str, Any], int]:
    """Weights, by fairseq's names, and number of heads of a Transformers folder."""
    config_path = path.with_name("config.json")
    try:
        settings = json.loads(config_path.read_text(encoding="utf-8"))
        other = [
            UserError("setting_is", name=name, found=repr(settings[name]), wanted=repr(value))
            for name, value in BASE_CONFIG.items()
            if settings.get(name, value) != value
        ]
    except (ValueError, AttributeError) as error:
        raise CheckpointError("encoder_not_config", file=config_path, reason=str(error)) from error
    if other:
        raise CheckpointError("encoder_config", file=config_path, reason=other[0])
    if path.suffix == ".safetensors":
        try:
            tensors: Mapping[str, Any] = load_file(path)
        except SafetensorError as error:
            raise CheckpointError("damaged", file=path, reason=str(error)) from error
    else:
        tensors = read_tensors(path, mmap=True)
    if not isinstance(tensors, Mapping):
        raise CheckpointError("weights_table", file=path)
    renamed = {}
    for name, value in tensors.items():
        for old, new in TRANSFORMERS_NAMES:
            name = re.sub(old, new, name)
        renamed[name] = value
    heads = settings.get("num_attention_heads", 0)
    return renamed, heads if isinstance(heads, int) else 0


def _fold_weight_norm(weights: dict[str, Tensor]) -> None:
    """Replace direction and length of the positional convolution, kept per tap, by its weight."""
    name = "encoder.pos_conv.0.weight"
    if name not in weights:
        direction, length = weights.pop(f"{name}_v").float(), weights.pop(f"{name}_g").float()
        weights[name] = length * direction / direction.norm(dim=(0, 1), keepdim=True)


def _take_projection(weights: dict[str, Tensor]) -> nn.Linear | None:
    """Take the final projection out of the weights, if they have one."""
    weight, bias = (weights.pop(f"final_proj.{kind}", None) for kind in ("weight", "bias"))
    if weight is None or bias is None:
        return None
    projection = nn.utils.skip_init(nn.Linear, weight.shape[1], weight.shape[0])
    projection.load_state_dict({"weight": weight, "bias": bias})
    return projection
