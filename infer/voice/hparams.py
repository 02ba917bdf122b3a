"""Typed view of configs/*/*.json and of the hyperparameters inside voice models."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

import config
from errors import UserError
from infer.voice.traits import TRAITS, traits


@dataclass(frozen=True, kw_only=True)
class LiteParams:
    """Hyperparameters of the lite synthesizer (models/lite); it always follows f0."""

    use_f0: ClassVar[bool] = True

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
    f0_known: float = 360.0  # Hz; a higher note is filtered like one of that pitch

    def __post_init__(self) -> None:
        _check_ranges(self)
        if self.kernel_size % 2 == 0:
            raise UserError("config_layers")
        if self.hop_length * 100 != self.sample_rate:
            raise UserError(
                "config_hop",
                found=self.hop_length,
                rate=self.sample_rate,
                wanted=self.sample_rate // 100,
            )

    @classmethod
    def from_groups(cls, groups: dict[str, Any], **changes: Any) -> LiteParams:
        """From the groups "data" and "model" of a configuration, with some fields changed."""
        values = {**groups["data"], **groups["model"], **changes}
        names = [field.name for field in fields(cls)]
        return cls(**{name: values[name] for name in names if name in values})


def from_lite_table(values: Mapping[str, Any]) -> dict[str, Any]:
    """The params of a lite voice from the table in its file; what an older file lacks is filled in.

    UserError names a value that only a newer program can have written.
    """
    known = {field.name: field.default for field in fields(LiteParams)}
    if newer := [name for name in values if name not in known]:
        raise UserError("config_newer", name=newer[0])
    defaults = {name: value for name, value in known.items() if value is not MISSING}
    return {**defaults, **values}


# Names of vocoders as Applio writes them into voices. The standard synthesizer ends in one of them.
HIFIGAN, MRF, REFINEGAN = "HiFi-GAN", "MRF HiFi-GAN", "RefineGAN"
REFINEGAN_STAGES = 4


@dataclass(frozen=True, kw_only=True)
class StandardParams:
    """Hyperparameters of the standard synthesizer (models/standard), RVC v1 and v2."""

    sample_rate: int  # Hz
    hop_length: int  # samples of one frame; sample_rate / 100
    content_encoder: str  # <embedder>-<dim>, see infer.content
    content_dim: int  # 256 (v1) or 768 (v2)
    use_f0: bool
    spec_bins: int  # n_fft / 2 + 1
    inter_dim: int
    hidden_dim: int
    filter_dim: int
    num_heads: int
    num_layers: int
    kernel_size: int
    dropout: float
    resblock_kernel_sizes: Sequence[int]
    resblock_dilation_sizes: Sequence[Sequence[int]]
    upsample_rates: Sequence[int]
    upsample_initial_dim: int
    upsample_kernel_sizes: Sequence[int]
    speaker_dim: int
    num_speakers: int
    vocoder: str = HIFIGAN

    def __post_init__(self) -> None:
        _check_ranges(self)
        if self.hop_length * 100 != self.sample_rate:
            raise UserError(
                "config_hop",
                found=self.hop_length,
                rate=self.sample_rate,
                wanted=self.sample_rate // 100,
            )
        if math.prod(self.upsample_rates) != self.hop_length:
            rates = str(list(self.upsample_rates))
            raise UserError("config_upsample", rates=rates, hop=self.hop_length)
        if not self._fits_together():
            raise UserError("config_layers")

    def _fits_together(self) -> bool:
        """Whether heads, halves and paddings come out even, as the layers need them."""
        stages = list(zip(self.upsample_rates, self.upsample_kernel_sizes, strict=False))
        return (
            len(self.upsample_rates) == len(self.upsample_kernel_sizes)
            and len(self.resblock_kernel_sizes) == len(self.resblock_dilation_sizes)
            and all(size >= rate and (size - rate) % 2 == 0 for rate, size in stages)
            and all(size % 2 == 1 for size in self.resblock_kernel_sizes)
            and self.hidden_dim % self.num_heads == 0
            and self.inter_dim % 2 == 0
            and self.upsample_initial_dim % 2 ** len(stages) == 0
            and (self.vocoder != REFINEGAN or len(stages) == REFINEGAN_STAGES)
            and (self.vocoder == HIFIGAN or self.use_f0)
        )

    @property
    def num_harmonics(self) -> int:
        """Sines in the source."""
        return 9 if self.vocoder == MRF else 1

    @property
    def prior_stands_last(self) -> bool:
        """RVC v2 checkpoints have enc_p behind all other parts, others have it first."""
        version = VERSION_BY_CONTENT_DIM.get(self.content_dim)
        if version is None or self.vocoder != HIFIGAN:
            return False
        return traits(version).prior_stands_last

    @classmethod
    def from_groups(cls, groups: dict[str, Any], **changes: Any) -> StandardParams:
        """From the groups "data" and "model" of a configuration, with some fields changed."""
        values = {**groups["data"], **groups["model"], **changes}
        names = [field.name for field in fields(cls) if field.default is MISSING]
        return cls(**{name: values[name] for name in [*names, *(values.keys() & {"vocoder"})]})


# of a voice file; what else stands there is another program's and is kept
OWN_KEYS = {"weight", "config", "info", "sr", "f0", "version", "f0_median", "f0_range"}

# the two spellings of a weight norm's magnitude and direction; public voices have the first
NORM_KEYS = ("weight_g", "weight_v")
NORM_KEYS_PARAMETRIZED = (
    "parametrizations.weight.original0",
    "parametrizations.weight.original1",
)
VERSION_BY_CONTENT_DIM = {256: "v1", 768: "v2"}  # of voices whose config is RVC's list
LONGEST_NAME = 100  # characters
LEGACY_SEGMENT = 32  # position 1: every public voice has it, whatever it was trained with
LEGACY_RESBLOCK = "1"  # position 9: the type of the residual blocks
RANGES = {  # of what is no size of a layer
    "sample_rate": (8000, 192_000),
    "hop_length": (80, 1920),
    "num_speakers": (1, 100_000),
    "dropout": (0, 1),
    "f0_known": (1, 24_000),
}
LARGEST_SIZE = 4096  # of a layer, or a number of layers; a file may not make us build more

# what the positions of a public voice's `config` mean, in order; "" = no hyperparameter of ours
LEGACY_POSITIONS = (
    "spec_bins", "", "inter_dim", "hidden_dim", "filter_dim", "num_heads", "num_layers",
    "kernel_size", "dropout", "", "resblock_kernel_sizes", "resblock_dilation_sizes",
    "upsample_rates", "upsample_initial_dim", "upsample_kernel_sizes", "num_speakers",
    "speaker_dim", "sample_rate",
)  # fmt: skip
LEGACY_NESTING = {
    "resblock_kernel_sizes": 1,
    "resblock_dilation_sizes": 2,
    "upsample_rates": 1,
    "upsample_kernel_sizes": 1,
}


def from_legacy_list(values: Any, **others: Any) -> dict[str, Any]:
    """The params of a public voice from its list of 18; others: the fields that it does not hold.

    ddPn08's rvc-webui has one more, the width of the content, before the last. UserError names the
    value that cannot be built.
    """
    if isinstance(values, list | tuple) and len(values) == len(LEGACY_POSITIONS) + 1:
        values = [*values[:-2], values[-1]]
    if not isinstance(values, list | tuple) or len(values) != len(LEGACY_POSITIONS):
        raise UserError("config_list", count=len(LEGACY_POSITIONS))
    if values[9] not in (LEGACY_RESBLOCK, int(LEGACY_RESBLOCK)):
        raise UserError("config_blocks", found=shorten_value(values[9]), known=LEGACY_RESBLOCK)
    params = {name: value for name, value in zip(LEGACY_POSITIONS, values, strict=True) if name}
    for name, value in params.items():
        if name not in ("dropout", "sample_rate", *others) and not _is_size(
            value, LEGACY_NESTING.get(name, 0)
        ):
            raise UserError("config_value", value=shorten_value(value), name=name)
    if not isinstance(params["sample_rate"], int) or not isinstance(params["dropout"], int | float):
        raise UserError("config_rate", value=shorten_value(params["sample_rate"]))
    return {**params, "hop_length": params["sample_rate"] // 100, **others}


def to_legacy_list(params: StandardParams) -> list[Any]:
    """The list of 18 that public voices carry."""
    values = [getattr(params, name) if name else None for name in LEGACY_POSITIONS]
    values[1], values[9] = LEGACY_SEGMENT, LEGACY_RESBLOCK
    return [_as_lists(value) for value in values]


def _as_lists(value: Any) -> Any:
    return [_as_lists(item) for item in value] if isinstance(value, list | tuple) else value


def _check_ranges(params: LiteParams | StandardParams) -> None:
    """UserError names the first field that no network can have: its kind is wrong, or its range."""
    for item in fields(params):
        value, kind = getattr(params, item.name), str(item.type)
        low, high = RANGES.get(item.name, (1, LARGEST_SIZE))
        if kind == "int":
            is_good = type(value) is int and low <= value <= high
        elif kind == "float":
            is_good = type(value) in (int, float) and low <= value <= high
        elif kind.startswith("Sequence"):
            is_good = _is_size(value, kind.count("Sequence"))
        else:
            is_good = type(value).__name__ == kind and 0 < len(str(value)) <= LONGEST_NAME
        if not is_good:
            raise UserError("config_value", value=shorten_value(value), name=item.name)


def shorten_value(value: Any) -> str:
    """Return a value of a file for a message: numbers and texts, and of the rest its kind."""
    if isinstance(value, int) and abs(value) > 10**30:
        return "a number of many digits"
    plain = isinstance(value, str | int | float | None)
    is_short = plain or (isinstance(value, list | tuple) and len(value) < 8)
    text = repr(value) if is_short else type(value).__name__
    return text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}..."


def _is_size(value: Any, nesting: int) -> bool:
    """Whether value is a size, or with nesting a list of such."""
    if nesting:
        is_list = isinstance(value, list | tuple) and 0 < len(value) <= LARGEST_SIZE
        return is_list and all(_is_size(item, nesting - 1) for item in value)
    return type(value) is int and 0 < value <= LARGEST_SIZE


def config_file(version: str, sample_rate: int) -> Path:
    """The hyperparameter file of a voice family at a rate in Hz; UserError lists what there is."""
    shared = TRAITS[version].shared_configs if version in TRAITS else {}
    folder = shared.get(sample_rate, version)
    path = config.CONFIGS / folder / f"{sample_rate // 1000}k.json"
    if sample_rate % 1000 or not re.fullmatch(r"\w+", version) or not path.is_file():
        known = sorted(
            f"{file.parent.name} {file.stem}" for file in config.CONFIGS.glob("*/*k.json")
        )
        raise UserError("no_family", version=version, rate=sample_rate, known=known)
    return path


def read_config(version: str, sample_rate: int) -> dict[str, Any]:
    """The groups train, data and model of a voice family at a rate in Hz."""
    path = config_file(version, sample_rate)
    groups = json.loads(path.read_text(encoding="utf-8"))
    if path.parent.name != version:  # shared: all is equal but the content of v2
        own = read_config(version, 32000)["model"]
        groups["model"].update({name: own[name] for name in ("content_encoder", "content_dim")})
    return groups
