"""The endpoints of this machine: its checks, and what others need to help."""

from __future__ import annotations

from typing import Any

from tools.machine.doctor import run_checks
from tools.web.api.endpoint import add_plain, add_with_files, file
from tools.web.i18n import read_texts
from tools.web.support import write_support_bundle


class MachineEndpoints:
    """Each public method is an endpoint of its own name."""

    def __init__(self) -> None:
        add_plain(self.doctor)
        add_with_files(self.support_bundle, [], file("zip"))

    def doctor(self) -> list[dict[str, Any]]:
        """Check this machine and this copy of the program; level: ok, warning or problem."""
        texts = read_texts()["en"]
        return [
            {"level": check.level, "check": check.text, "text": check.say(texts)}
            for check in run_checks()
        ]

    def support_bundle(self) -> str:
        """Write a zip with checks, versions and logs, without anything private."""
        return str(write_support_bundle())
