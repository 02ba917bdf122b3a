"""How a command of tools/cmd ends: an error is one line, Ctrl-C no trace."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress

from errors import report_error


def exit_code(work: Callable[[], int | None], stopped: str = "stopped") -> int:
    """Do the work of a command and return its exit code: what work gives (None = 0).

    Bad input, a fault of the disk and too little memory are said in one line and give 1; Ctrl-C
    says stopped and gives 130.
    """
    try:
        return work() or 0
    except (ValueError, OSError, MemoryError) as error:
        report_error(error)
        return 1
    except KeyboardInterrupt:
        print(stopped, file=sys.stderr)
        return 130


def say(line: str) -> None:
    """Print a line of what is going on; a console that is gone, as in `| head`, fails no work."""
    with suppress(OSError):
        print(line, flush=True)
