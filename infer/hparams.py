"""Typed view of configs/*/*.json and of the hyperparameters inside voice models."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import config


@dataclass(frozen=True, kw_only=True)
class LiteParams:
    """Hyperparameters of the lite synthesizer (infer/models/istft.py)."""

    sample_rate: int  # Hz
    hop_length: int  # samples of one frame; sample_rate / 100
    content_encoder: str  # a name in infer.content.CONTENT_ENCODERS
    content_dim: int
    hidden_dim: int
    inner_dim: int
    num_blocks: int
    kernel_size: int
    speaker_dim: int
    num_speakers: int

    def __post_init__(self) -> None:
        if self.hop_length * 100 != self.sample_rate:
            raise ValueError(
                f"hop_length {self.hop_length} is not 10 ms at {self.sample_rate} Hz; "
                f"use {self.sample_rate // 100}"
            )

    @classmethod
    def from_groups(cls, groups: dict[str, Any], **changes: Any) -> LiteParams:
        """From the groups "data" and "model" of a configuration, with some fields changed."""
        values = {**groups["data"], **groups["model"], **changes}
        return cls(**{field.name: values[field.name] for field in fields(cls)})


def config_file(version: str, sample_rate: int) -> Path:
    """The hyperparameter file of a voice family at a rate in Hz; ValueError lists what there is."""
    folder = "v1" if (version, sample_rate) == ("v2", 40000) else version  # RVC shares this one
    path = config.CONFIGS / folder / f"{sample_rate // 1000}k.json"
    if sample_rate % 1000 or not re.fullmatch(r"\w+", version) or not path.is_file():
        known = sorted(
            f"{file.parent.name} {file.stem}" for file in config.CONFIGS.glob("*/*k.json")
        )
        raise ValueError(
            f"no voice family {version!r} at {sample_rate} Hz; there are: {', '.join(known)}"
        )
    return path


def read_config(version: str, sample_rate: int) -> dict[str, Any]:
    """The groups train, data and model of a voice family at a rate in Hz."""
    return json.loads(config_file(version, sample_rate).read_text(encoding="utf-8"))
