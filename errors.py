"""Errors by name: what went wrong is the name of a text and its values.

The texts stand in assets/texts/LANGUAGE/errors.json. A terminal and a log say an error in English,
the page says the same error in the language of its reader.
"""

from __future__ import annotations

import errno
import json
import os
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

TEXTS = Path(__file__).resolve().parent / "assets" / "texts"  # not from config, which raises these
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
LANGUAGE = "en"  # of terminals, logs and str(error)
ERROR_FILE = "RVC_ERROR_FILE"  # environment variable: where a process also notes its error as JSON
OS_ERRORS = {
    errno.ENOSPC: "os_space",
    errno.EACCES: "os_rights",
    errno.ENOENT: "os_missing",
    errno.EISDIR: "os_folder",
    errno.EROFS: "os_read_only",
    errno.ENAMETOOLONG: "os_long_name",
}


class UserError(ValueError):
    """Something that the user can mend: a file, a value or the machine is not as it must be.

    name: of a text; values: what stands in its places: numbers, texts, paths, another UserError (a
    reason), or a list of these. A library's own words are a value.
    """

    def __init__(self, name: str, /, **values: Any) -> None:
        super().__init__(name, values)
        self.name, self.values = name, values

    def __str__(self) -> str:
        return self.translate(LANGUAGE)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.name, self.values)

    def translate(self, language: str) -> str:
        """Return the error in one line of a language."""
        values = {key: translate_value(value, language) for key, value in self.values.items()}
        return shown(read_error_texts()[language][self.name].format(**values))

    def rename(self, path: Path, name: str) -> UserError:
        """Return the same error of a file by another name than its path."""

        def renamed(value: Any) -> Any:
            if isinstance(value, UserError):
                return value.rename(path, name)
            if isinstance(value, list | tuple):
                return [renamed(each) for each in value]
            return value if isinstance(value, int | float) else str(value).replace(str(path), name)

        return type(self)(self.name, **{key: renamed(each) for key, each in self.values.items()})

    def to_json(self) -> dict[str, Any]:
        """Return what JSON can hold; `from_json` gives an equal error back."""
        return {"name": self.name, "values": _to_json(self.values)}


class NoFile(UserError, FileNotFoundError):
    """A file or folder that was named is not there."""

    def __str__(self) -> str:  # FileNotFoundError has words of its own
        return self.translate(LANGUAGE)


class AudioError(UserError):
    """An audio file cannot be read or written."""


class CheckpointError(UserError):
    """A file of weights is not what it should be."""


def from_json(plain: Mapping[str, Any]) -> UserError:
    """Return the error that `UserError.to_json` gave. UserError "other" for one not known here."""
    name, values = str(plain["name"]), _from_json(plain["values"])
    try:
        error = UserError(name, **values)
        for language in read_error_texts():
            error.translate(language)
    except (LookupError, ValueError, TypeError, AttributeError):  # another version's, or damaged
        return UserError("other", message=f"{name} {values}")
    return error


def as_user_error(error: BaseException) -> UserError:
    """Return any error as one that can be said in every language; a library's own as "other"."""
    if isinstance(error, UserError):
        return error
    if isinstance(error, OSError) and error.errno in OS_ERRORS:
        reason = os_reason(error)
        return reason if error.filename is None else UserError(
            "opened", file=error.filename, reason=reason
        )  # fmt: skip
    message = " ".join(str(error).split())
    return UserError("other", message=message or type(error).__name__)


def os_reason(error: OSError) -> UserError:
    """Return what the system said, without the file."""
    if error.errno in OS_ERRORS:
        return UserError(OS_ERRORS[error.errno])
    return UserError("other", message=error.strerror or str(error) or type(error).__name__)


def report_error(error: BaseException) -> None:
    """Say an error on stderr, and note it for the process that started this one."""
    with suppress(OSError):  # a console that is gone fails no work
        print(f"error: {' '.join(str(as_user_error(error)).split())}", file=sys.stderr, flush=True)
    note_error(error)


def note_error(error: BaseException) -> None:
    """Note an error for the process that started this one, if that asks for it."""
    if path := os.environ.get(ERROR_FILE):
        Path(path).write_text(json.dumps(as_user_error(error).to_json()), encoding="ascii")


def read_noted_error(path: Path) -> UserError | None:
    """Return the error that a process noted in a file, None where it noted none."""
    try:
        return from_json(json.loads(path.read_text(encoding="ascii")))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


@cache
def read_error_texts() -> dict[str, dict[str, str]]:
    """Return the texts by language and name."""
    files = sorted(TEXTS.glob("*/errors.json"))
    return {file.parent.name: json.loads(file.read_text(encoding="utf-8")) for file in files}


def shown(text: str) -> str:
    """Return a text as it can be written anywhere: what is no character, as in names that are no
    UTF-8, is escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def one_line(text: str) -> str:
    """Return a text as `shown`, with what would end its line or command a terminal escaped."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), shown(text))


def translate_value(value: Any, language: str) -> Any:
    """Return what stands in a text's place: an error in words of the language, a list joined."""
    if isinstance(value, UserError):
        return value.translate(language)
    if isinstance(value, list | tuple):
        return ", ".join(str(translate_value(each, language)) for each in value)
    return value


def _to_json(value: Any) -> Any:
    if isinstance(value, UserError):
        return {"error": value.to_json()}
    if isinstance(value, Mapping):
        return {key: _to_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json(each) for each in value]
    return value if isinstance(value, int | float | str) else str(value)


def _from_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_from_json(each) for each in value]
    if isinstance(value, dict):
        if set(value) == {"error"}:
            return from_json(value["error"])
        return {key: _from_json(each) for key, each in value.items()}
    return value


def _rebuild(kind: type[UserError], name: str, values: dict[str, Any]) -> UserError:
    return kind(name, **values)
