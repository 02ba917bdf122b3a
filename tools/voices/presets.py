"""Settings that the user keeps for a voice, in a JSON file beside it."""

from __future__ import annotations

import json
import threading
from dataclasses import fields
from pathlib import Path
from typing import Any

import config
from config import replacing
from errors import UserError, as_user_error
from infer.options import ConvertOptions

SUFFIX = ".presets.json"
LONGEST_NAME = 60

SETTINGS = {item.name for item in fields(ConvertOptions)} - {
    "voice", "input", "output", "report"
}  # fmt: skip

WRITING = threading.Lock()  # held from reading to writing, so that no other change is lost

Settings = dict[str, Any]  # option name of ConvertOptions -> value


def read_presets(voice: Path) -> dict[str, Settings]:
    """Return name -> settings; UserError if the file is damaged."""
    path = _path(voice)
    if not path.exists():
        return {}
    try:
        return parse_presets(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise UserError("preset_damaged", path=path, reason=as_user_error(error)) from error


def parse_presets(text: str) -> dict[str, Settings]:
    """Return name -> settings of JSON; ValueError, RecursionError where it holds anything else."""
    presets = json.loads(text)
    json.dumps(presets, ensure_ascii=False).encode("utf-8")  # an escape may stand for no character
    if not isinstance(presets, dict) or not all(isinstance(v, dict) for v in presets.values()):
        raise UserError("no_settings")
    if not all(
        isinstance(x, str | int | float) for each in presets.values() for x in each.values()
    ):
        raise UserError("no_settings")
    return presets


def save_preset(voice: Path, name: str, settings: Settings) -> None:
    """Keep settings under a name, in place of those it had. UserError: not a name or setting."""
    name = " ".join(name.split())
    if not name or len(name) > LONGEST_NAME:
        raise UserError("preset_name", most=LONGEST_NAME)
    if unknown := settings.keys() - SETTINGS:
        raise UserError("no_setting", names=sorted(unknown))
    if not all(isinstance(value, str | int | float) for value in settings.values()):
        raise UserError("setting_kind")
    with WRITING:
        _write(voice, {**read_presets(voice), name: settings})


def delete_preset(voice: Path, name: str) -> None:
    """Forget a preset. UserError: there is none of that name."""
    with WRITING:
        presets = read_presets(voice)
        if name not in presets:
            raise UserError("no_preset", voice=voice.stem, name=name)
        del presets[name]
        _write(voice, presets)


def _path(voice: Path) -> Path:
    """Beside the voice; of one that comes with the program, in the same place of the data root."""
    path = config.ROOT / voice.with_name(voice.stem + SUFFIX)
    if path.is_relative_to(config.ASSETS):
        return config.DATA / path.relative_to(config.ROOT)
    return path


def _write(voice: Path, presets: dict[str, Settings]) -> None:
    path = _path(voice)
    if not presets:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(presets, ensure_ascii=False, indent=1), encoding="utf-8")
