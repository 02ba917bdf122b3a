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
from collections.abc import Callable, Iterable, Sequence
from dataclasses import MISSING, Field, field, fields
from typing import Any, ClassVar, TypeVar

from errors import UserError


def option(
    help: str,
    default: Any = MISSING,
    choices: Iterable[str] | None = None,
    within: tuple[float, float] | None = None,
    none: str | None = None,
) -> Any:
    """Declare one option: required without default, None as default = may be left out.

    A function as default is asked each time options are made; its answer is always printed, so
    that a command means the same elsewhere. within: lowest and highest number allowed. none: the
    word on a command line for None, which is the default.
    """
    metadata = {
        "help": help,
        "choices": None if choices is None else tuple(choices),
        "within": within,
        "none": none,
    }
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def default_of(item: Field) -> Any:
    """The default of an option, MISSING if it is required."""
    return item.default if item.default_factory is MISSING else item.default_factory()


class Options:
    """Base of all options: checks choices and ranges; UserError names the option and the value."""

    MODULE: ClassVar[str] = ""  # what `python -m` runs with these options

    def __post_init__(self) -> None:
        for item in fields(self):  # type: ignore[arg-type]
            value, choices = getattr(self, item.name), item.metadata.get("choices")
            within, flag = item.metadata.get("within"), _flag(item.name)
            if value is None and item.default is None:
                continue
            if choices is not None and value not in choices:
                known = [choice or "''" for choice in choices]
                raise UserError("choice", flag=flag, value=repr(value), known=known)
            is_number = within is not None or item.type in ("int", "float")
            if is_number and not isinstance(value, int | float):
                raise UserError("number", flag=flag, value=repr(value))
            if isinstance(value, float) and not math.isfinite(value):
                raise UserError("finite", flag=flag, value=value)
            if within is not None and not within[0] <= value <= within[1]:
                raise UserError("range", flag=flag, value=value, low=within[0], high=within[1])


OptionsType = TypeVar("OptionsType", bound=Options)


def escape_consoles() -> None:
    """Show letters that a console does not know, as \\u58f0 on code page 1252, rather than fail."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # None without a console
            stream.reconfigure(errors="backslashreplace")


def parse_options(cls: type[OptionsType], argv: Sequence[str] | None = None) -> OptionsType:
    """Read options from argv (None = the process's own); a bad one prints the usage and exits 2."""
    escape_consoles()
    parser = argparse.ArgumentParser(
        prog=f"python -m {cls.MODULE}",
        description=cls.__doc__,
        allow_abbrev=False,
    )
    hints = typing.get_type_hints(cls)
    for item in fields(cls):  # type: ignore[arg-type]
        kind = value_type(hints[item.name])
        default = default_of(item)
        required = default is MISSING
        help_text = item.metadata["help"].replace("%", "%%")
        none = item.metadata.get("none")
        if not required and (none or default not in (None, "")):
            shown = ("yes" if default else "no") if kind is bool else none or default
            help_text += f" (default: {shown})".replace("%", "%%")
        settings: dict[str, Any] = {"dest": item.name, "required": required, "help": help_text}
        if not required:
            settings["default"] = default
        if kind is bool:
            settings["action"] = argparse.BooleanOptionalAction
        else:
            settings["type"] = _or_none(kind, none) if none else kind
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
    """Return the argv that gives these options back, what is required first.

    What equals a fixed default is left out.
    """
    argv = [sys.executable, "-m", options.MODULE]
    every = fields(options)  # type: ignore[arg-type]
    for item in sorted(every, key=lambda item: default_of(item) is not MISSING):
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


def _or_none(kind: type, none: str) -> Callable[[str], Any]:
    """A type that reads one word as None."""

    def read(text: str) -> Any:
        return None if text == none else kind(text)

    read.__name__ = kind.__name__  # argparse names it
    return read


def _flag(name: str) -> str:
    """The flag of a field; a field ends in _ where its name would be a word of Python."""
    return "--" + name.rstrip("_").replace("_", "-")


def value_type(hint: Any) -> type:
    """Return X for X and for `X | None`."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return next(part for part in typing.get_args(hint) if part is not type(None))
    return hint
