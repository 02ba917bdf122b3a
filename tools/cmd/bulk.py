"""Convert or extract from very many recordings, on one machine or a cluster."""

from __future__ import annotations

import os
import sys

from options import parse_options
from tools.bulk.options import BULK_ACTIONS, BulkOptions
from tools.cmd.terminal import exit_code, say


def main(argv: list[str] | None = None) -> int:
    """Do what the first word says; returns the exit code, 1 where a recording failed."""
    words = sys.argv[1:] if argv is None else argv
    action, rest = (words[0], words[1:]) if words else ("", [])
    if action not in BULK_ACTIONS:
        usage = f"python -m tools.cmd.bulk {'|'.join(BULK_ACTIONS)} ..."
        print(f"usage: {usage}\n  --help after an action tells what it takes", file=sys.stderr)
        return 0 if action in ("-h", "--help") else 2
    options = parse_options(BULK_ACTIONS[action], rest)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would tell its makers
    return exit_code(lambda: _bulk(options), "stopped; the same command goes on from here")


def _bulk(options: BulkOptions) -> int:
    from tools.bulk.engine import run_bulk

    tasks = run_bulk(options)
    before = f", {tasks.found_done} of them before" if tasks.found_done else ""
    say(f"{tasks.done} of {tasks.all} done{before}, {tasks.failed} failed: {options.manifest}")
    return 1 if tasks.failed else 0


if __name__ == "__main__":
    from train.worker import stop_on_signals

    stop_on_signals()
    sys.exit(main())
