"""What the tools' own commands take (no third-party import)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from infer.options import Options, option
from tools.assets import GROUPS, hub_address


@dataclass(frozen=True, kw_only=True)
class DatasetReportOptions(Options):
    """Say what a dataset is good for, before anything is trained."""

    MODULE = "tools.cmd.dataset_report"

    dataset: Path = option("folder of recordings (subfolders too), or one recording")
    json: Path | None = option("also write the report to this file", None)


@dataclass(frozen=True, kw_only=True)
class DownloadAssetsOptions(Options):
    """Fetch the weights for v1 and v2 voices into assets/downloads; runs again where it stopped."""

    MODULE = "tools.cmd.download_assets"

    what: str = option(
        "; ".join(f"{name} = {meaning}" for name, meaning in GROUPS.items()), "v2", choices=GROUPS
    )
    mirror: str = option("address of the hub or of a mirror of it, HF_ENDPOINT", hub_address)
    from_: Path | None = option("take the files from this folder or .zip instead", None)
    list_: bool = option("only tell what is there and what is missing", False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.mirror.startswith(("https://", "http://")):
            raise ValueError(f"--mirror is {self.mirror!r}; it must begin with https://")
