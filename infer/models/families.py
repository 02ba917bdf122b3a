"""Voice families by version: how a synthesizer is made, and fitted to a base model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from infer.hparams import LiteParams
from infer.models.istft import LiteSynthesizer


@dataclass(frozen=True)
class Family:
    """params: hyperparameters; build: params -> synthesizer; adapt: fit base weights."""

    params: type[LiteParams]
    build: Callable[[Any], nn.Module]
    adapt: Callable[[dict[str, Tensor], nn.Module], dict[str, Tensor]]
    base: str  # folder in assets/ with base_G.pth and base_D.pth


def fit_lite_weights(weights: dict[str, Tensor], synthesizer: nn.Module) -> dict[str, Tensor]:
    """A base model's weights for another sample rate or another number of speakers.

    A bin is 25 Hz wide at every rate, so rows are cut off, or the highest row is repeated, each
    bin a little quieter; every speaker starts from the base's average voice.
    """
    fitted = {}
    for name, wanted in synthesizer.state_dict().items():
        value = weights[name]
        if value.shape[1:] == wanted.shape[1:] and len(value) != len(wanted):
            if name == "emb_g.weight":
                value = value.mean(0, keepdim=True).expand(len(wanted), -1)
            else:
                missing = max(0, len(wanted) - len(value))
                fall = torch.arange(1, missing + 1) / 200 if name.endswith("gain.bias") else 0
                top = value[-20:].mean(0, keepdim=True).expand(missing, *value.shape[1:]) - fall
                value = torch.cat([value, top])[: len(wanted)]
        fitted[name] = value.clone()
    return fitted


FAMILIES = {
    "lite": Family(LiteParams, LiteSynthesizer, fit_lite_weights, "lite"),
}


def family(version: str) -> Family:
    """The family of that version; ValueError lists the known ones."""
    if version not in FAMILIES:
        raise ValueError(f"unknown voice version {version!r}; there are: {', '.join(FAMILIES)}")
    return FAMILIES[version]


def plain(params: Any) -> dict[str, Any]:
    """Params as plain values, for a voice file."""
    return asdict(params)
