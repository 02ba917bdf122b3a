"""The golden arrays in few bytes: outputs in steps far below their tolerance, in byte planes."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def read_golden(name: str) -> dict[str, np.ndarray]:
    """The arrays of NAME.npz; an entry is called `key`, `key dtype` or `key dtype bits`.

    With a dtype it holds byte planes, (bytes, ...) uint8; with bits those of counts of 2**-bits.
    """
    with np.load(Path(__file__).with_name(f"{name}.npz")) as file:
        return {entry.split()[0]: _unpacked(file[entry], *entry.split()[1:]) for entry in file}


def write_golden(name: str, arrays: dict[str, np.ndarray], bits: dict[str, int]) -> None:
    """Write arrays to NAME.npz; bits: of those that are rounded to counts of 2**-bits."""
    entries = {}
    for key, array in arrays.items():
        if array.dtype.kind != "f" or array.ndim == 0:
            entries[key] = array
            continue
        dtype, stored, entry = array.dtype.str, array, f"{key} {array.dtype.str}"
        if key in bits:
            stored = np.round(array.astype(np.float64) * 2.0 ** bits[key]).astype("<i8")
            stored = stored.astype("<i4") if np.abs(stored).max() < 2**31 else stored
            entry = f"{key} {dtype} {bits[key]}"
        planes = np.ascontiguousarray(stored)[..., None].view(np.uint8)
        entries[entry] = np.ascontiguousarray(np.moveaxis(planes, -1, 0))
    np.savez_compressed(Path(__file__).with_name(f"{name}.npz"), **entries)


def _unpacked(planes: np.ndarray, dtype: str = "", bits: str = "") -> np.ndarray:
    if not dtype:
        return planes
    values = np.moveaxis(planes, 0, -1).copy()
    values = values.view(f"<i{len(planes)}" if bits else dtype)[..., 0]
    return (values * 2.0 ** -int(bits)).astype(dtype) if bits else values
