"""What the tools' own commands take (no third-party import)."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar

from errors import UserError
from infer.options import STREAM_MODES, ConvertOptions, StreamOptions
from options import Options, command, option

INDEX_RATES = (0.0, 0.25, 0.5, 0.75, 1.0)  # that are compared
HUB = "https://huggingface.co"
ASSET_GROUPS = {
    "base": "content encoder and RMVPE: what converting with v1 and v2 voices needs",
    "v2": "base, and the base models for training v2 voices",
    "v1": "base, and the base models for training v1 voices",
    "nof0": "base, and the base models for training v1 and v2 voices without pitch",
    "f0": "RMVPE alone, for torch and for onnxruntime",
    "all": "everything for v1 and v2 voices",
    "songs": "Demucs, which takes songs apart into vocals and accompaniment",
}


def hub_address() -> str:
    """The hub, or the mirror that the environment names."""
    return os.environ.get("HF_ENDPOINT") or HUB


@dataclass(frozen=True, kw_only=True)
class WebOptions(Options):
    """Open the web page of the voice converter."""

    MODULE = "infer-web"

    host: str = option("address to listen at; 0.0.0.0 opens it to your network", "127.0.0.1")
    port: int = option("first port to try", 7865, within=(1, 65535))
    browser: bool = option("open the page in your browser", True)
    share: bool = option("also make a public link through gradio's server", False)
    names: str = option(
        "other names that the page is reached under, with commas, e.g. behind a proxy; * for any",
        "",
    )
    auth: str = option("name:password that the page asks for", "")
    mcp: bool = option("also serve the API as MCP tools; needs requirements-mcp.txt", False)
    root_path: str = option("path at which a reverse proxy shows the page, e.g. /rvc", "")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.auth and not all(self.auth.partition(":")):
            raise UserError("auth")

    @property
    def login(self) -> tuple[str, str] | None:
        """Name and password that the page asks for, if it does."""
        name, _, password = self.auth.partition(":")
        return (name, password) if self.auth else None


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
        "; ".join(f"{name} = {meaning}" for name, meaning in ASSET_GROUPS.items()),
        "v2",
        choices=ASSET_GROUPS,
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
    """Say what a file is, a voice or a training state, and what programs noted in it."""

    ACTION = "show"

    file: Path = option("a .pth or .safetensors")


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
class ExportOptions(VoiceOptions):
    """Write a voice for other programs: as .safetensors, .pth, or its network as .onnx."""

    ACTION = "export"

    voice: str = option("name of a voice, or its file")
    output: Path = option("file to write; its ending, .safetensors, .pth or .onnx, is the format")


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
        ListOptions, ShowOptions, ExtractOptions, MergeOptions, PackOptions, ExportOptions,
        UnpackOptions, EditOptions, TrashOptions, RestoreOptions,
    )
}  # fmt: skip


def voice_command(options: VoiceOptions) -> list[str]:
    """Return the argv that does what these options say."""
    python, dash, module, *arguments = command(options)
    return [python, dash, module, options.ACTION, *arguments]


@dataclass(frozen=True, kw_only=True)
class LiveOptions(StreamOptions):
    """Hear another voice while you speak; or play a recording through the same path."""

    MODULE = "tools.cmd.live"

    input_device: str = option('microphone: its number or a part of its name; "" = usual', "")
    output_device: str = option("loudspeaker or virtual cable, in the same way", "")
    list_devices: bool = option("only tell which devices there are", False)
    file: Path | None = option("a recording in place of the microphone", None)
    output: Path | None = option("file for what comes out of it", None)
    speed: float = option("how fast the recording is played", 1.0, within=(0.1, 100))

    @property
    def stream(self) -> StreamOptions:
        """What the stream's own process is given."""
        return StreamOptions(
            **{item.name: getattr(self, item.name) for item in fields(StreamOptions)}
        )


@dataclass(frozen=True, kw_only=True)
class LiveLatencyOptions(Options):
    """Measure how late live speech is heard in the other voice."""

    MODULE = "tools.cmd.live_latency"

    voice: Path = option("voice model, e.g. assets/lite/demo.pth")
    speech: Path = option("a recording that stands for the microphone")
    mode: str = option("of the stream", "balanced", choices=STREAM_MODES)
    seconds: float = option("how long is measured", 60.0, within=(8, 3600))
    native: bool = option("without a browser: the recording through the same process", False)
    speed: float = option("how fast it is spoken without a browser", 1.0, within=(0.1, 100))

    @property
    def stream(self) -> StreamOptions:
        """What the process is given without a browser."""
        return StreamOptions(voice=self.voice, mode=self.mode)


@dataclass(frozen=True, kw_only=True)
class LiteTwinOptions(Options):
    """Train a lite voice to sound like another voice, which then runs live on a CPU."""

    MODULE = "tools.cmd.lite_twin"

    voice: Path = option("the voice to be like, of any family")
    speech: Path = option("folder of clean speech, of anybody: some ten minutes")
    name: str = option("of the new voice; without it the other's and lite", "")
    semitones: float = option("usual shift of that speech to the voice", 0.0, within=(-48, 48))
    minutes: float = option("minutes of training", 20.0, within=(0.1, 1e6))
    sample_rate: int = option("sample rate of the new voice in Hz", 24000)
    threads: int = option("CPU threads, 0 = torch's own choice", 0, within=(0, 1024))
    device: str = option("torch device of the conversion: auto, cpu, cuda:0, mps", "auto")
