"""The rule by which the golden networks got their weights: key, shape and seed decide."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import torch
from torch import Tensor

GAINS = {
    "dec.conv_post.weight": 0.1,
    "enc_q.pre.weight": 0.1,
    "enc_p.proj.weight": 0.5,
    "enc_q.proj.weight": 0.5,
    "cnn.weight": 2.0,
    "fc.1.weight": 3.0,
}


def golden_tensor(key: str, shape: Iterable[int], seed: int) -> Tensor:
    """The tensor of that key; classic weight-norm names."""
    shape, name = tuple(shape), key.rsplit(".", 1)[-1]
    if name == "num_batches_tracked":
        return torch.zeros((), dtype=torch.long)
    seeded = torch.Generator().manual_seed(zlib.crc32(key.encode()) + seed)
    normal = torch.randn(shape, generator=seeded)
    is_input_norm = key.startswith("unet.encoder.bn.")
    if name == "running_mean":
        return 0.1 * normal - (5.0 if is_input_norm else 0.0)
    if name == "running_var":
        return 1.0 + 0.1 * normal.abs() + (8.0 if is_input_norm else 0.0)
    if name == "weight_v" or key == "emb_g.weight":
        return normal
    if name == "weight_g":
        level = 1.4 if key.startswith("discriminators.") else 1.0
        level = 2.0 if ".ups." in key else 0.7 if ".resblocks." in key else level
        return level * (1.0 + 0.1 * normal)
    if name == "gamma" or (name == "weight" and len(shape) == 1):
        return 1.0 + 0.1 * normal
    if name in ("beta", "bias") or name.startswith("bias_"):
        return 0.1 * normal
    if name.startswith("emb_rel_"):
        return 0.3 * normal
    if key.endswith("l_linear.weight"):
        return 5.0 * (1.0 + 0.1 * normal)
    gain = 0.7 if key.startswith("unet.") else GAINS.get(key, 1.0)
    gain = 2.0 if ".noise_convs." in key else gain
    return gain * normal / normal[0].numel() ** 0.5


def applio_tensor(key: str, shape: Iterable[int], seed: int) -> Tensor:
    """The same for Applio's vocoders, some of whose keys the classic networks do not have."""
    x = golden_tensor(key, shape, seed)
    if key == "dec.m_source.merge.0.weight":
        return 5.0 + 0.5 * x
    if key == "dec.m_source.l_linear.weight":
        return x / x.shape[1] ** 0.5
    if key.startswith(("dec.pre_conv.", "dec.downsample_blocks.")) and key.endswith("weight_g"):
        return 1.8 * x
    if key.endswith(".input_conv.weight"):
        return 1.6 * x
    if key == "dec.conv_post.weight_v":
        return x - 0.9 * x.mean(-1, keepdim=True)
    return x


def applio_draw(number: int, shape: Iterable[int], seed: int) -> Tensor:
    """What the golden file with noise had for the layers of RefineGAN, by their order."""
    seeded = torch.Generator().manual_seed(zlib.crc32(f"noise.adain.{number}".encode()) + seed)
    return 0.1 * torch.randn(tuple(shape), generator=seeded)
