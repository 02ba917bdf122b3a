"""Speak into a microphone, hear another voice; or the same with a recording, to measure it."""

from __future__ import annotations

import sys

from options import parse_options
from tools.cmd.terminal import exit_code
from tools.options import LiveOptions


def main() -> int:
    """Run the command line; returns the exit code."""
    return exit_code(lambda: live(parse_options(LiveOptions)), stopped="")


def live(options: LiveOptions) -> int:
    """Stream from and to what the options name; returns the exit code."""
    if options.list_devices:
        from tools.live.devices import list_devices

        print(list_devices())
        return 0
    if options.file is None:
        from tools.live.devices import run_devices

        run_devices(options, print)
        return 0
    from tools.live.play import play

    found = play(options.file, options.output, options.stream, options.speed)
    print(
        f"latency {1000 * found.latency:.0f} ms median, {1000 * found.latency_p95:.0f} ms p95; "
        f"load {100 * found.load:.0f} % of one core; skipped {found.skipped:.1f} s; "
        f"mode {found.mode}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
