"""The support bundle, as the Help tab and its endpoint write it."""

from __future__ import annotations

from pathlib import Path

from tools.jobs.results import RESULTS, unused_name
from tools.machine.doctor import run_checks, write_bundle
from tools.web.i18n import read_texts


def write_support_bundle() -> Path:
    """Write a zip with checks, versions and logs to results/; returns its path."""
    RESULTS.mkdir(exist_ok=True)
    target = unused_name(RESULTS, "support-bundle", "zip")
    return write_bundle(target, run_checks(), read_texts()["en"])
