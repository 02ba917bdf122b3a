"""Weights of Applio's voices, by the names that its files have for them."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from infer.models.standard.synthesizer import Synthesizer
from infer.voice.hparams import MRF, StandardParams
from tests.golden.weights import applio_tensor

BLOCK = re.compile(r"dec\.resblocks\.(\d+)\.convs(\d)\.(\d)\.")


def applio_name(vocoder: str, name: str) -> str:
    """What a file calls a weight of the network; only MRF HiFi-GAN has names of its own."""
    if vocoder != MRF:
        return name
    if match := BLOCK.match(name):
        block, number, layer = map(int, match.groups())
        place = f"dec.mrfs.{block // 3}.{block % 3}.layers.{layer}.conv{number}."
        name = place + name[match.end() :]
    return name.replace("dec.ups.", "dec.upsamples.")


def applio_shapes(params: StandardParams) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a voice file's weights, in its order."""
    with torch.device("meta"):
        trained = Synthesizer(params).named_parameters()
        return {
            applio_name(params.vocoder, name): tuple(value.shape)
            for name, value in trained
            if not name.startswith("enc_q.")
        }


def applio_weights(params: StandardParams) -> dict[str, Tensor]:
    """The golden weights."""
    shapes = applio_shapes(params).items()
    return {name: applio_tensor(name, shape, 0) for name, shape in shapes}
