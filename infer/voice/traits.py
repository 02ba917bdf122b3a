"""What differs between the voice families and is asked outside their networks and recipes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from errors import UserError


@dataclass(frozen=True)
class Traits:
    """What a voice family is like.

    counts_epochs: a training ends after epochs, else after minutes. shares_gpus: several GPUs may
    train one voice. needs_gpu: a training is slow without one; its batch is sized by the GPU's
    memory. takes_embedders: other content encoders than its own may be chosen. own_table: its voice
    files hold this program's table of hyperparameters, which older versions wrote differently.
    prior_stands_last: public states hold the prior encoder behind all other parts.
    shared_configs: rate in Hz -> family whose file in configs/ it uses.
    """

    counts_epochs: bool = False
    shares_gpus: bool = False
    needs_gpu: bool = False
    takes_embedders: bool = False
    own_table: bool = False
    prior_stands_last: bool = False
    shared_configs: Mapping[int, str] = field(default_factory=dict)


DEFAULT_VERSION = "lite"
TRAITS = {  # in the order in which they are offered
    "lite": Traits(own_table=True),
    "v2": Traits(
        counts_epochs=True,
        shares_gpus=True,
        needs_gpu=True,
        takes_embedders=True,
        prior_stands_last=True,
        shared_configs={40000: "v1"},  # RVC has one file for both
    ),
    "v1": Traits(counts_epochs=True, shares_gpus=True, needs_gpu=True, takes_embedders=True),
}


def traits(version: str) -> Traits:
    """Return the traits of a voice family; UserError lists the known ones."""
    if version not in TRAITS:
        raise UserError("unknown_version", name=version, known=list(TRAITS))
    return TRAITS[version]
