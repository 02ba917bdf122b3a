"""Dataclasses from JSON of strangers: every value is of the kind that its field says."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any, TypeVar

from errors import UserError, from_json

Record = TypeVar("Record")


def record(cls: type[Record], values: object) -> Record:
    """Make a dataclass of what JSON holds; ValueError names what does not fit."""
    kinds = typing.get_type_hints(cls)
    if not isinstance(values, Mapping) or not values.keys() <= kinds.keys():
        raise ValueError(f"no {cls.__name__}: {values!r:.80}")
    try:
        return cls(**{name: _as(kinds[name], value) for name, value in values.items()})
    except TypeError as error:  # something is missing
        raise ValueError(str(error)) from error


def _as(kind: Any, value: Any) -> Any:
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in parts:
            return None
        return _as(next(part for part in parts if part is not type(None)), value)
    if origin is tuple and isinstance(value, list | tuple):
        if parts[-1] is Ellipsis:
            return tuple(_as(parts[0], each) for each in value)
        if len(parts) == len(value):
            return tuple(_as(part, each) for part, each in zip(parts, value, strict=True))
    elif kind is float and type(value) in (int, float) and abs(value) < 1e300:
        return float(value)
    elif (
        kind in (int, str, bool)
        and type(value) is kind
        or (origin or kind) is dict
        and isinstance(value, dict)
    ):
        return value
    elif kind is UserError and isinstance(value, dict):
        return from_json(value)
    elif is_dataclass(kind):
        return record(typing.cast(type, kind), value)
    raise ValueError(f"{value!r:.80} is no {kind}")
