"""What the tools' own commands take (no third-party import)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from errors import UserError
from infer.options import ConvertOptions
from options import Options, command, option
from tools.machine.assets import GROUPS, hub_address


@dataclass(frozen=True, kw_only=True)
class DatasetReportOptions(Options):
    """Say what a dataset is good for, before anything is trained."""

    MODULE = "tools.cmd.dataset_report"

    dataset: Path = option("folder of recordings (subfolders too), or one recording")
    json: Path | None = option("also write the report to this file", None)


@dataclass(frozen=True, kw_only=True)
class IndexRatesOptions(ConvertOptions):
    """Convert a recording with the index rates 0, 0.25, 0.5, 0.75 and 1, and measure the results.

    Its own index_rate counts for nothing.
    """

    MODULE = "tools.cmd.index_rates"

    output: Path = option("folder for the five results")


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
            raise UserError("mirror", value=self.mirror)


@dataclass(frozen=True, kw_only=True)
class DoctorOptions(Options):
    """Check this machine and this copy of the program."""

    MODULE = "tools.cmd.doctor"

    bundle: Path | None = option("also write a support bundle, a zip without private things", None)


@dataclass(frozen=True, kw_only=True)
class VoiceOptions(Options):
    """What `python -m tools.cmd.voices ACTION` takes; each action is a class of its own."""

    MODULE = "tools.cmd.voices"
    ACTION: ClassVar[str] = ""


@dataclass(frozen=True, kw_only=True)
class ListOptions(VoiceOptions):
    """List the voices of this computer."""

    ACTION = "list"


@dataclass(frozen=True, kw_only=True)
class ShowOptions(VoiceOptions):
    """Say what a .pth is: a voice, or a training state."""

    ACTION = "show"

    file: Path = option("a .pth")


@dataclass(frozen=True, kw_only=True)
class ExtractOptions(VoiceOptions):
    """Make a voice of a training state, ours or another RVC program's."""

    ACTION = "extract"

    state: Path = option("training state, e.g. logs/mi/G_1200.pth")
    voice: Path = option("voice file to write, e.g. weights/mi.pth")
    info: str = option("a line about the voice", "")


@dataclass(frozen=True, kw_only=True)
class MergeOptions(VoiceOptions):
    """Blend two voices of one kind into a new one."""

    ACTION = "merge"

    first: Path = option("voice file")
    second: Path = option("voice file of the same version and sample rate")
    voice: Path = option("voice file to write")
    share: float = option("share of the first voice", 0.5, within=(0, 1))
    info: str = option("a line about the voice", "")


@dataclass(frozen=True, kw_only=True)
class PackOptions(VoiceOptions):
    """Write one zip to share: the voice, its index, presets and picture."""

    ACTION = "pack"

    voice: str = option("name of a voice, or its file")
    output: Path = option("zip to write")


@dataclass(frozen=True, kw_only=True)
class UnpackOptions(VoiceOptions):
    """Take a voice in from a zip, a .pth or an .index."""

    ACTION = "unpack"

    input: Path = option("zip, .pth or .index")
    name: str = option("name of the voice, without it the file's own", "")
    replace: bool = option("overwrite a voice of that name", False)


@dataclass(frozen=True, kw_only=True)
class EditOptions(VoiceOptions):
    """Change the line about a voice, its name or its picture."""

    ACTION = "edit"

    voice: str = option("name of a voice, or its file")
    info: str | None = option("new line about it", None)
    name: str = option("new name", "")
    picture: Path | None = option("new picture: png, jpg or webp", None)


@dataclass(frozen=True, kw_only=True)
class TrashOptions(VoiceOptions):
    """Move a voice to the trash, weights/.trash."""

    ACTION = "trash"

    voice: str = option("name of a voice, or its file")


@dataclass(frozen=True, kw_only=True)
class RestoreOptions(VoiceOptions):
    """Bring a voice back from the trash, the newest of that name."""

    ACTION = "restore"

    voice: str = option("name of the voice, or its folder in the trash")


VOICE_ACTIONS = {
    cls.ACTION: cls
    for cls in (
        ListOptions, ShowOptions, ExtractOptions, MergeOptions, PackOptions, UnpackOptions,
        EditOptions, TrashOptions, RestoreOptions,
    )
}  # fmt: skip


def voice_command(options: VoiceOptions) -> list[str]:
    """Return the argv that does what these options say."""
    python, dash, module, *arguments = command(options)
    return [python, dash, module, options.ACTION, *arguments]
