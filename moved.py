"""Old names of modules that moved, understood for one release: by `python -m` and by stored jobs.

It goes, with its two callers, in the release after 2026-12.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

RESEARCH = (
    "alter_sources", "bench", "build_base_corpus", "cut_encoder", "evaluate", "judges", "jury",
    "learning_curves", "measure_f0", "samples", "sing", "stretch_base_corpus", "vary_base_corpus",
)  # fmt: skip
MOVED = {  # old -> new
    **{f"tools.cmd.{name}": f"tools.research.{name}" for name in RESEARCH},
    "train.export_base": "tools.research.export_base",
    "tools.worker": "tools.convert.server",
    "tools.runner": "tools.jobs.runner",
}


class _Finder:
    """Finds a module by its old name."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in MOVED:
            return None
        file = Path(__file__).parent / (MOVED[name].replace(".", "/") + ".py")
        return spec_from_file_location(name, file)


def install() -> None:
    """Let this process import and run modules by their old names; asked again, nothing changes."""
    if _Finder not in sys.meta_path:
        sys.meta_path.append(_Finder)
