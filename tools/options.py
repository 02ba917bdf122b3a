"""What the tools' own commands take (no third-party import)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from infer.options import Options, option


@dataclass(frozen=True, kw_only=True)
class DatasetReportOptions(Options):
    """Say what a dataset is good for, before anything is trained."""

    MODULE = "tools.cmd.dataset_report"

    dataset: Path = option("folder of recordings (subfolders too), or one recording")
    json: Path | None = option("also write the report to this file", None)
