"""Options as frozen dataclasses: defaults of the page, argv of a command, argument of a call."""

from __future__ import annotations

import argparse
import math
import os
import shlex
import subprocess
import sys
import types
import typing
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from infer.f0 import F0_METHODS, default_f0_method

PLANNED = "without it from free memory, see config.py"
OUTPUT_RATES = (8000, 192_000)  # Hz
AUDIO_FORMATS = ("", "wav", "flac", "mp3", "m4a", "ogg")  # "" = the input's own, else wav


def option(
    help: str,
    default: Any = MISSING,
    choices: Iterable[str] | None = None,
    within: tuple[float, float] | None = None,
) -> Any:
    """Declare one option: required without default, None as default = may be left out.

    A function as default is asked each time options are made; its answer is always printed, so
    that a command means the same elsewhere. within: lowest and highest number allowed.
    """
    metadata = {
        "help": help,
        "choices": None if choices is None else tuple(choices),
        "within": within,
    }
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def default_of(item: Field) -> Any:
    """The default of an option, MISSING if it is required."""
    return item.default if item.default_factory is MISSING else item.default_factory()


class Options:
    """Base of all options: checks choices and ranges; ValueError names the option and the value."""

    MODULE: ClassVar[str] = ""  # what `python -m` runs with these options

    def __post_init__(self) -> None:
        for item in fields(self):  # type: ignore[arg-type]
            value, choices = getattr(self, item.name), item.metadata.get("choices")
            within = item.metadata.get("within")
            if value is None and item.default is None:
                continue
            if choices is not None and value not in choices:
                known = ", ".join(choice or "''" for choice in choices)
                raise ValueError(f"{_flag(item.name)} is {value!r}; choose one of: {known}")
            if within is not None and not isinstance(value, int | float):
                raise ValueError(f"{_flag(item.name)} is {value!r}; it must be a number")
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{_flag(item.name)} is {value}; it must be a finite number")
            if within is not None and not within[0] <= value <= within[1]:
                raise ValueError(
                    f"{_flag(item.name)} is {value}; it must be from {within[0]:g} to {within[1]:g}"
                )


OptionsType = TypeVar("OptionsType", bound=Options)


def parse_options(cls: type[OptionsType], argv: Sequence[str] | None = None) -> OptionsType:
    """Read options from argv (None = the process's own); a bad one prints the usage and exits 2."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {cls.MODULE}",
        description=cls.__doc__,
        allow_abbrev=False,
    )
    hints = typing.get_type_hints(cls)
    for item in fields(cls):  # type: ignore[arg-type]
        kind = _value_type(hints[item.name])
        default = default_of(item)
        required = default is MISSING
        help_text = item.metadata["help"].replace("%", "%%")
        if not required and default not in (None, ""):
            shown = ("yes" if default else "no") if kind is bool else default
            help_text += f" (default: {shown})".replace("%", "%%")
        settings: dict[str, Any] = {"dest": item.name, "required": required, "help": help_text}
        if not required:
            settings["default"] = default
        if kind is bool:
            settings["action"] = argparse.BooleanOptionalAction
        else:
            settings["type"] = kind
            settings["metavar"] = kind.__name__.upper()
            if item.metadata["choices"] is not None:
                settings["metavar"] = "{" + ",".join(filter(None, item.metadata["choices"])) + "}"
        parser.add_argument(_flag(item.name), **settings)
    values = vars(parser.parse_args(argv))
    try:
        return cls(**values)
    except ValueError as error:
        parser.error(str(error))


def command(options: Options) -> list[str]:
    """Return the argv that gives these options back; what equals a fixed default is left out."""
    argv = [sys.executable, "-m", options.MODULE]
    for item in fields(options):  # type: ignore[arg-type]
        value, flag = getattr(options, item.name), _flag(item.name)
        if item.default is not MISSING and value == item.default:
            continue
        if value is None:
            raise ValueError(f"{flag} is None, which a command line cannot say")
        if isinstance(value, bool):
            argv.append(flag if value else f"--no-{flag[2:]}")
        elif str(value).startswith("-"):  # argparse would take it for another option
            argv.append(f"{flag}={value}")
        else:
            argv += [flag, str(value)]
    return argv


def printable(argv: Sequence[str]) -> str:
    """Join argv to one line that the reader's shell (cmd.exe on Windows) takes apart again."""
    if os.name != "nt":
        return shlex.join(argv)
    words = [subprocess.list2cmdline([word]) for word in argv]
    return " ".join(
        f'"{word}"' if not word.startswith('"') and set(word) & set("&|<>^();,") else word
        for word in words
    )


def _flag(name: str) -> str:
    """The flag of a field; a field ends in _ where its name would be a word of Python."""
    return "--" + name.rstrip("_").replace("_", "-")


def _value_type(hint: Any) -> type:
    """Return X for X and for `X | None`."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return next(part for part in typing.get_args(hint) if part is not type(None))
    return hint


@dataclass(frozen=True, kw_only=True)
class ConvertOptions(Options):
    """Convert a recording, or a folder of recordings, to another voice."""

    MODULE = "tools.cmd.infer_cli"

    voice: Path = option("voice model, e.g. assets/lite/demo.pth")
    input: Path = option("audio or video file, or a folder of them")
    output: Path = option("file to write, or a folder when the input is one")
    semitones: float = option("shift of the melody, 12 = one octave up", 0.0, within=(-48, 48))
    f0_method: str = option("how the melody is found", default_f0_method, choices=F0_METHODS)
    index: Path | None = option("feature index; without it the voice's own is looked for", None)
    index_rate: float = option("share of features taken from the index", 0.5, within=(0, 1))
    protect: float = option(
        "keep unvoiced sounds: 0 = most, 0.5 = not at all", 0.33, within=(0, 0.5)
    )
    rms_mix_rate: float = option(
        "loudness: 0 = follow the source, 1 = as the voice speaks", 0.25, within=(0, 1)
    )
    resample_rate: int = option("sample rate of the output in Hz, 0 = the voice's own", 0)
    speaker: int = option("speaker number inside the voice model", 0, within=(0, math.inf))
    device: str = option("torch device: auto, cpu, cuda:0, mps", "auto")
    seed: int = option("same seed, same output", 0, within=(0, 2**63 - 1))
    format: str = option("output format of a folder: wav flac mp3 m4a ogg", "", AUDIO_FORMATS)
    report: Path | None = option(
        "note in this file what became of each recording; what it tells as done is left out", None
    )
    x_pad: float | None = option(f"seconds of context of a chunk; {PLANNED}", None, within=(0, 60))
    x_query: float | None = option(
        f"seconds around a cut that are searched for silence; {PLANNED}", None, within=(0.1, 60)
    )
    x_center: float | None = option(f"seconds between two cuts; {PLANNED}", None, within=(2, 3600))
    x_max: float | None = option(
        f"seconds up to which a recording is left whole; {PLANNED}", None, within=(2, 3600)
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        low, high = OUTPUT_RATES
        if self.resample_rate and not low <= self.resample_rate <= high:
            raise ValueError(
                f"--resample-rate is {self.resample_rate}; it must be 0 or from {low} to {high}"
            )

    @property
    def chunk_sizes(self) -> dict[str, float]:
        """Those of the four numbers that were given."""
        names = ("x_pad", "x_query", "x_center", "x_max")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}
