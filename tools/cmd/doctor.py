"""Check this machine and this copy of the program, from the terminal."""

from __future__ import annotations

import json
import sys

import config
from options import parse_options
from tools.machine.doctor import run_checks, write_bundle
from tools.options import DoctorOptions

MARKS = {"ok": "ok      ", "warning": "warning ", "problem": "PROBLEM "}
TEXTS = config.ROOT / "tools/web/i18n/en/doctor.json"


def main(argv: list[str] | None = None) -> int:
    """Print the checks; returns 1 where one of them is a problem."""
    options = parse_options(DoctorOptions, argv)
    texts = json.loads(TEXTS.read_text(encoding="utf-8"))
    checks = run_checks()
    for check in checks:
        print(MARKS[check.level], check.say(texts))
    if options.bundle is not None:
        try:
            print(f"written: {write_bundle(options.bundle, checks, texts)}")
        except OSError as error:
            print(f"error: {options.bundle} cannot be written: {error.strerror}", file=sys.stderr)
            return 1
    return 1 if any(check.level == "problem" for check in checks) else 0


if __name__ == "__main__":
    sys.exit(main())
