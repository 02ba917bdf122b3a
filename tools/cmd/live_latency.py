"""Measure how late the other voice is heard: in the page by headless Chromium, and without it."""

from __future__ import annotations

import sys

import numpy as np

from infer.f0 import QUICK_METHOD, load_f0_method
from options import parse_options
from tools.cmd.terminal import exit_code
from tools.options import LiveLatencyOptions


def main() -> int:
    """Run the command line; returns the exit code."""
    return exit_code(lambda: live_latency(parse_options(LiveLatencyOptions)), stopped="")


def live_latency(options: LiveLatencyOptions) -> int:
    """Measure one mode and print a line; returns the exit code."""
    from tools.live.browse import listen_to_page
    from tools.live.delay import find_delays
    from tools.live.play import play

    if options.native:
        found = play(options.speech, None, options.stream, options.speed, options.seconds)
        first, last = found.megabytes
        print(
            f"native {found.mode}: {1000 * found.latency:.0f} ms median, "
            f"{1000 * found.latency_p95:.0f} ms p95, {1000 * found.latency_most:.0f} ms at most; "
            f"skipped {found.skipped:.1f} s; "
            f"load {100 * found.load:.0f} % of one core; "
            f"memory {first:.0f} MB after a tenth, {last:.0f} MB at the end"
        )
        return 0
    heard = listen_to_page(options.speech, options.voice, options.mode, options.seconds)
    delays = find_delays(heard.spoken, heard.played, heard.rate, load_f0_method(QUICK_METHOD))
    median, p95, most = 1000 * np.percentile(delays or [float("nan")], [50, 95, 100])
    print(
        f"page {heard.mode}: {median:.0f} ms median, {p95:.0f} ms p95, {most:.0f} ms at most "
        f"over {len(delays)} windows (the page told {heard.told}); dropouts {heard.gaps}, "
        f"bridged {heard.bridged}; "
        f"load {100 * heard.load:.0f} % of one core"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
