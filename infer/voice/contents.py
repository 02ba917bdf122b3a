"""What the tables of a voice file mean, for all who read one: with torch and without."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from errors import UserError, shown
from infer.voice.hparams import LiteParams, StandardParams, from_lite_table
from infer.voice.public import read_public
from infer.voice.traits import DEFAULT_VERSION, traits

LAYER_COUNTS = ("num_blocks", "num_layers")
LONGEST_INFO = 500  # characters

Shapes = Mapping[str, tuple[int, ...]]


def read_params(content: Mapping[str, Any], shapes: Shapes) -> tuple[str, dict[str, Any]]:
    """Return version and params of a voice, checked. UserError.

    shapes: of its weights by classic names; public files may lack the labels, so these decide.
    """
    values = content["config"]
    if isinstance(values, Mapping):
        version = content.get("version", DEFAULT_VERSION)
        own_table = traits(version if isinstance(version, str) else str(type(version))).own_table
        if not all(isinstance(name, str) for name in values):
            raise UserError("config_value", value="a name", name="config")
        if "sample_rate" not in values:
            raise UserError("no_rate")
        params = from_lite_table(values) if own_table else dict(values)
    else:
        version, params = read_public(content, shapes)
        own_table = False
    for name in LAYER_COUNTS:  # each has tensors of its own
        if type(count := params.get(name, 0)) is int and count > len(shapes):
            raise UserError("config_value", value=repr(count), name=name)
    try:
        (LiteParams if own_table else StandardParams)(**params)
    except TypeError as error:  # a name too many or too few
        raise UserError("config_names", reason=str(error).partition("() ")[2]) from error
    return version, params


def read_info(content: Mapping[str, Any]) -> str:
    """Return the line about the voice, "" where there is none."""
    info = content.get("info", "")
    return shown(str(info)[:LONGEST_INFO]) if isinstance(info, str | int | float) else ""


def read_medians(content: Mapping[str, Any]) -> dict[int, float]:
    """Return Hz of the training voice by speaker number; what is no such thing is left out."""
    stored = content.get("f0_median")
    if not isinstance(stored, Mapping):
        return {}
    return {
        key: float(value)
        for key, value in stored.items()
        if type(key) is int and type(value) in (int, float) and math.isfinite(value)
    }


def read_ranges(content: Mapping[str, Any]) -> dict[int, tuple[float, float]]:
    """Return low and high Hz by speaker number; what is no such thing is left out."""
    stored, ranges = content.get("f0_range"), {}
    for key, pair in stored.items() if isinstance(stored, Mapping) else ():
        if type(key) is int and isinstance(pair, list | tuple) and len(pair) == 2:
            low, high = (each if type(each) in (int, float) else 0.0 for each in pair)
            if 0 < low <= high < math.inf:
                ranges[key] = (float(low), float(high))
    return ranges
