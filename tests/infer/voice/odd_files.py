"""Files that are no voices, or odd ones: a table for every reader, and a source of random ones."""

from __future__ import annotations

import io
import os
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from infer.models.families import family, plain
from infer.voice.hparams import LiteParams, read_config
from tests.infer.standard_voices import narrow_voice

LEGACY_CONFIG = [513, 32, 16, 16, 32, 2, 2, 3, 0, "1", [3, 7, 11], [[1, 3, 5]] * 3,
                 [10, 4, 2, 2, 2], 64, [16, 16, 4, 4, 4], 3, 8, 32000]  # fmt: skip


def lite_content() -> dict[str, Any]:
    """What is in the file of a small lite voice."""
    torch.manual_seed(0)
    params = LiteParams.from_groups(
        read_config("lite", 24000), hidden_dim=8, inner_dim=16, num_blocks=2
    )
    weights = family("lite").build(params).state_dict()
    weight = {name: value.half() for name, value in weights.items()}
    return {"weight": weight, "config": plain(params), "info": "x", "version": "lite"}


def standard_content(version: str = "v2") -> dict[str, Any]:
    """What is in the file of a narrow public voice."""
    weights = {name: value.half() for name, value in narrow_voice(version).weights.items()}
    return {"weight": weights, "config": list(LEGACY_CONFIG), "info": "x", "version": version}


def saved(content: Any, **how: Any) -> bytes:
    """Return the bytes of a torch file."""
    buffer = io.BytesIO()
    torch.save(content, buffer, **how)
    return buffer.getvalue()


def with_config(**changes: Any) -> bytes:
    """Return a lite voice with other hyperparameters; `...` takes one away."""
    content = lite_content()
    values = {**content["config"], **changes}
    content["config"] = {name: value for name, value in values.items() if value is not ...}
    return saved(content)


def with_list(**changes: Any) -> bytes:
    """Return a public voice with other values at positions p0 .. p17."""
    content = standard_content()
    for name, value in changes.items():
        content["config"][int(name[1:])] = value
    return saved(content)


def with_table(content: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Return a torch file whose pickle was changed."""
    source, target = zipfile.ZipFile(io.BytesIO(content)), io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            data = source.read(name)
            archive.writestr(name, change(data) if name.endswith("data.pkl") else data)
    return target.getvalue()


def claiming(count: int) -> bytes:
    """Return a voice with a tensor of far more values than its file holds."""
    content = lite_content()
    content["weight"]["norm.weight"] = torch.zeros(77, dtype=torch.float16)
    number, claimed = b"K\x4d", b"\x8a\x08" + struct.pack("<q", count)
    return with_table(saved(content), lambda table: table.replace(number, claimed))


class Calling:
    """Asks for a callable when it is unpickled."""

    def __init__(self, target: str) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.target,)


def calls(target: str) -> dict[str, bytes]:
    """Return pickles that would make a folder, in every style of opcode."""
    text = target.encode()
    short = b"\x8c" + bytes([len(text)]) + text
    return {
        "global": b"cposix\nmkdir\n(V" + text + b"\ntR.",
        "inst": b"(V" + text + b"\niposix\nmkdir\n.",
        "obj": b"(cposix\nmkdir\nV" + text + b"\no.",
        "stack_global": b"\x80\x04\x8c\x05posix\x8c\x05mkdir\x93" + short + b"\x85R.",
        "newobj": b"\x80\x04\x8c\x05posix\x8c\x05mkdir\x93" + short + b"\x85\x81.",
        "newobj_ex": b"\x80\x04\x8c\x05posix\x8c\x05mkdir\x93" + short + b"\x85}\x92.",
        "ext": b"\x80\x02\x82\x01V" + text + b"\n\x85R.",
        "build": b"ccollections\nOrderedDict\n)R}V__class__\ncposix\nmkdir\nsb.",
        "getattr": b"c__builtin__\ngetattr\n(cos\nmkdir\nV__call__\ntRV" + text + b"\n\x85R.",
        "reduce": pickle.dumps(Calling(target)),
    }


def zipped(table: bytes) -> bytes:
    """Return a torch file with that pickle and no tensors."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("v/data.pkl", table)
    return target.getvalue()


def odd_voices(target: str) -> dict[str, tuple[bytes, str]]:
    """Return name -> (file, what its error must hold; "" where it is a good voice)."""
    lite, standard = lite_content(), standard_content()
    with warnings.catch_warnings():  # torch is giving them up
        warnings.simplefilter("ignore")
        quantised = torch.quantize_per_tensor(torch.zeros(8), 0.1, 0, torch.qint8)
    imaginary = torch.zeros(2, dtype=torch.cfloat)
    parameters = {name: torch.nn.Parameter(value) for name, value in lite["weight"].items()}
    good = saved(lite)
    table: dict[str, tuple[bytes, str]] = {
        "lite": (good, ""),
        "legacy_lite": (saved(lite, _use_new_zipfile_serialization=False), ""),
        "v1": (saved(standard_content("v1")), ""),
        "v2": (saved(standard), ""),
        "legacy_v2": (saved(standard, _use_new_zipfile_serialization=False), ""),
        "parameters": (saved({**lite, "weight": parameters}), ""),
        "nothing": (b"", "holds no voice"),
        "text": (b"a letter" * 99, "holds no voice"),
        "page": (b"\n<!DOCTYPE html><html>" + b"x" * 99, "web page"),
        "page_with_a_comment": (b"<!-- saved from -->\n<html>", "web page"),
        "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git-LFS"),
        "seven_zip": (b"7z\xbc\xaf\x27\x1c" + bytes(99), "packed archive"),
        "xz": (b"\xfd7zXZ\0" + bytes(99), "packed archive"),
        "half_a_number": (b"GGUF\3\0\0\0", "holds no voice"),
        "recording": (b"RIFF" + bytes(99), "a recording"),
        "index": (b"IxF2" + bytes(99), "feature index"),
        "safetensors": (struct.pack("<Q", 20) + b'{"a":1}' + bytes(99), "voice.pth"),
        "half": (good[: len(good) // 2], "voice.pth"),
        "half_legacy": (saved(lite, _use_new_zipfile_serialization=False)[:-999], "claim"),
        "plain_zip": (zipped(b"N.").replace(b"data.pkl", b"data.txt"), "archive (zip)"),
        "list": (saved([1, 2]), "no table"),
        "number": (saved(7), "no table"),
        "sparse": (saved({**lite, "weight": {"a": torch.eye(3).to_sparse()}}), "unusual kind"),
        "quantised": (saved({**lite, "weight": {"a": quantised}}), "unusual kind"),
        "complex": (saved({**lite, "weight": {"a": imaginary}}), "unusual kind"),
        "expanded": (saved({**lite, "weight": {"a": torch.zeros(1).expand(9**9)}}), "claim"),
        "claims_gigabytes": (claiming(2**33), "claim"),
        "claims_all": (claiming(2**62), "claim"),
        "weights_of_text": (saved({**lite, "weight": {"a": "b"}}), "no table of tensors"),
        "weights_of_numbers": (saved({**lite, "weight": 3}), "no table of tensors"),
        "names_of_numbers": (saved({**lite, "weight": {3: torch.zeros(2)}}), "no table of tensors"),
        "bomb_of_text": (saved({**lite, "info": ["x" * 9] * 9}), ""),
        "newer": (with_config(warmth=3), "newer"),
        "lacking": (with_config(hidden_dim=...), "hidden_dim"),
        "no_rate": (with_config(sample_rate=...), "sample_rate"),
        "family": (saved({**lite, "version": "v9"}), "'v9'"),
        "family_of_number": (saved({**lite, "version": 2}), "unknown voice version"),
        "vocoder": (saved({**standard, "vocoder": "Strange"}), "Strange"),
        "medians": (saved({**lite, "f0_median": [1, "x", float("nan")]}), ""),
        "ranges": (saved({**lite, "f0_range": {0: [5, "x"], 1: [9, 3], "2": [1, 2], 3: 4}}), ""),
        "config_of_text": (saved({**standard, "config": "text"}), "no list of 18"),
        "config_of_nineteen": (saved({**standard, "config": [*LEGACY_CONFIG, 1]}), "sample_rate"),
    }
    sizes = """hidden_dim inner_dim num_blocks content_dim kernel_size speaker_dim num_speakers
    sample_rate hop_length f0_known content_encoder""".split()
    for name in sizes:
        for value in (-1, 0, 10**9, "x" * 200, None, float("nan"), [1], True):
            table[f"{name}={str(value)[:5]}"] = (with_config(**{name: value}), name)
    positions = {0: -1, 2: 10**9, 4: "x", 6: 4000, 10: [10**9], 11: [[]], 12: [10, 4, 2]}
    for place, value in {**positions, 14: [1] * 5, 16: None, 17: 1.5}.items():
        table[f"p{place}"] = (with_list(**{f"p{place}": value}), "voice.pth")
    for style, code in calls(target).items():
        table[f"call_{style}"] = (zipped(code), "voice.pth")
        legacy = b"".join(pickle.dumps(each, 2) for each in (0x1950A86A20F9469CFC6C, 1001, {}))
        table[f"legacy_call_{style}"] = (legacy + code, "voice.pth")
    return table


def spoiled(good: bytes, seed: int) -> bytes:
    """Return a file with random damage."""
    random = np.random.default_rng(seed)
    data = bytearray(good)
    place = int(random.integers(len(data)))
    length = int(random.integers(1, 64))
    match seed % 6:
        case 0:
            return bytes(data[:place])
        case 1:
            for spot in random.integers(len(data), size=8):
                data[spot] ^= int(random.integers(1, 256))
        case 2:
            data[place : place + length] = bytes(length)
        case 3:
            data[place : place + 8] = b"\xff" * 8
        case 4:
            data[place:place] = data[: min(len(data), 4096)]
        case 5:  # the first bytes, where the claims stand
            data[int(random.integers(min(len(data), 200)))] = int(random.integers(256))
    return bytes(data)


def write(folder: Path, content: bytes, name: str = "voice.pth") -> Path:
    """Write a file, return its path."""
    path = folder / name
    path.write_bytes(content)
    return path
