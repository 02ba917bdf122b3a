"""The layout of an experiment folder, logs/<name>: every file and folder name (RVC's names)."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from config import LOGS, UNFINISHED, replacing
from errors import NoFile, UserError
from train.job_folder import Inside, JobFolder

_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")  # device names on Windows

CLIP_SECONDS = 3.7  # of a clip, unless another length is asked for


@dataclass(frozen=True)
class Source:
    """One recording of the dataset and what became of it.

    number: first part of its clips' names. clips: how many were written, None = not finished yet.
    reason: why it (or a part of it) is left out, "" = nothing to say. clip_seconds: that it was cut
    to. denoise: whether its noise was taken out.
    """

    path: str
    number: int
    size: int
    modified: int  # nanoseconds
    speaker: int = 0
    clips: int | None = None
    seconds: float = 0.0
    reason: str = ""
    clip_seconds: float = CLIP_SECONDS  # in older files too, which do not say it
    denoise: bool = False

    def is_whole(self) -> bool:
        """Whether every value is of the kind that this program writes."""
        counts = (self.number, self.size, self.modified, self.speaker, self.clips or 0)
        lengths = (self.seconds, self.clip_seconds)
        return (
            all(type(count) is int for count in counts)
            and all(type(length) in (int, float) for length in lengths)
            and isinstance(self.path, str)
            and isinstance(self.reason, str)
        )


@dataclass(frozen=True)
class Experiment(JobFolder):
    """Files of one experiment; a clip is called `<source number>_<clip number>`."""

    target_wavs = Inside("0_gt_wavs")  # clips at the target sample rate
    wavs_16k = Inside("1_16k_wavs")  # the same clips at 16 kHz
    f0_coarse = Inside("2a_f0")  # pitch of each clip, integers 1..255
    f0_hz = Inside("2b-f0nsf")  # f0 of each clip in Hz, 0 = unvoiced
    spectrogram_params_file = Inside("spectrogram.json")  # what spectrograms were computed with
    config_file = Inside("config.json")  # version, sample rate and hyperparameters
    sources_file = Inside("sources.jsonl")  # what became of each recording, one JSON object a line
    f0_file = Inside("f0.json")  # which method made the f0 files
    filelist = Inside("filelist.txt")  # list of training clips
    settings_file = Inside("settings.json")  # what was chosen in the page for this experiment
    metrics_file = Inside("metrics.jsonl")  # losses during training, one JSON object a line

    @classmethod
    def named(cls, name: str, logs: Path = LOGS) -> Experiment:
        """Return the experiment of this name in logs/; UserError where a name is no plain name."""
        return cls(logs / plain_name(name))

    def content(self, dim: int, version: int = 0) -> Path:
        """Content features, (T, dim) at 50 frames/s a clip; version > 0: of the clip altered."""
        return self.root / (f"3_feature{dim}_{version}" if version else f"3_feature{dim}")

    def content_folders(self) -> list[Path]:
        """The folders of content features, of every size and version."""
        return sorted(self.root.glob("3_feature*"))

    def spectrogram_file(self, clip: str) -> Path:
        """Linear spectrogram of a clip, kept beside its wav."""
        return self.target_wavs / f"{clip}.spec.pt"

    @property
    def silence(self) -> Experiment:
        """A clip of silence and its features, laid out as an experiment of its own."""
        return Experiment(self.root / "mute")

    def statistics_file(self, speaker: int) -> Path:
        """What a speaker's content features are normalised by."""
        return self.root / f"content_statistics_{speaker}.npz"

    def index(self, num_lists: int, nprobe: int, version: str) -> Path:
        """Feature index, with RVC's long name."""
        return self.root / f"added_IVF{num_lists}_Flat_nprobe_{nprobe}_{self.name}_{version}.index"

    def indexes(self) -> list[Path]:
        """Every finished feature index, the newest first."""
        found = self.root.glob("added_*.index")
        return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)

    def generator_state(self, step: int) -> Path:
        """Training state of the synthesizer."""
        return self.root / f"G_{step}.pth"

    def discriminator_state(self, step: int) -> Path:
        """Training state of the discriminators."""
        return self.root / f"D_{step}.pth"

    def saved_steps(self) -> list[int]:
        """Steps at which both training states were saved, ascending."""
        return sorted(
            int(path.stem[2:])
            for path in self.root.glob("G_*.pth")
            if path.stem[2:].isdecimal() and self.discriminator_state(int(path.stem[2:])).exists()
        )

    def sample_file(self, name: str) -> Path:
        """A held-out clip as it sounds at a saved step, or `original`."""
        return self.root / "samples" / f"{name}.wav"

    # one clip

    def target_wav(self, clip: str) -> Path:
        """Clip at the target sample rate, float32 wav."""
        return self.target_wavs / f"{clip}.wav"

    def wav_16k(self, clip: str) -> Path:
        """Clip at 16 kHz, float32 wav."""
        return self.wavs_16k / f"{clip}.wav"

    def f0_coarse_file(self, clip: str) -> Path:
        """Pitch of a clip, (T,) int64 in 1..255."""
        return self.f0_coarse / f"{clip}.wav.npy"

    def f0_hz_file(self, clip: str) -> Path:
        """f0 of a clip, (T,) float64 Hz."""
        return self.f0_hz / f"{clip}.wav.npy"

    def content_file(self, clip: str, dim: int, version: int = 0) -> Path:
        """Content features of a clip, (T, dim) float32."""
        return self.content(dim, version) / f"{clip}.npy"

    def clips(self) -> list[str]:
        """Names of all clips that exist at both rates, by source and clip number."""
        stems = {path.stem for path in self.target_wavs.glob("*.wav")}
        both = stems & {path.stem for path in self.wavs_16k.glob("*.wav")}
        return sorted(both, key=_by_numbers)

    def speakers(self) -> dict[str, int]:
        """Speaker number of every clip; 0 for clips that no recording is known for."""
        by_number = {str(source.number): source.speaker for source in self.read_sources().values()}
        return {clip: by_number.get(clip.split("_")[0], 0) for clip in self.clips()}

    def remove_clips(self, number: int) -> None:
        """Delete everything made from the source of this number."""
        folders = [self.target_wavs, self.wavs_16k, self.f0_coarse, self.f0_hz]
        for folder in (*folders, *self.content_folders()):
            for path in folder.glob(f"{number}_*"):
                path.unlink()

    def remove_unfinished(self) -> None:
        """Delete what killed workers left half-written; only for the one that holds their lock."""
        others = self.job_file.name, self.settings_file.name, self.report_file.name  # take no lock
        for path in self.root.rglob(f"*{UNFINISHED}"):
            if not path.name.startswith(others):
                path.unlink(missing_ok=True)

    # config.json and the other small files

    def read_config(self) -> dict[str, Any]:
        """Read config.json: version, sample_rate, train, data, model."""
        if not self.config_file.is_file():
            raise NoFile("no_experiment", folder=self.root)
        try:
            config = json.loads(self.config_file.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise UserError("config_json", file=self.config_file, reason=str(error)) from error
        kinds = {"version": str, "sample_rate": int, "train": dict, "data": dict, "model": dict}
        known = config if isinstance(config, dict) else {}
        missing = [name for name, kind in kinds.items() if not isinstance(known.get(name), kind)]
        if missing:
            raise UserError("config_lacks", file=self.config_file, names=sorted(missing))
        return config

    def write_config(self, version: str, sample_rate: int, hparams: dict[str, Any]) -> None:
        """Write config.json; hparams: the objects train, data and model of a file in configs/."""
        content = {"version": version, "sample_rate": sample_rate, **hparams}
        write_json(self.config_file, content)

    def read_spectrogram_params(self) -> dict[str, Any]:
        """What the kept spectrograms were computed with; {} where that is not readable."""
        try:
            return json.loads(self.spectrogram_params_file.read_text(encoding="utf-8"))
        except ValueError:
            return {}

    def read_sources(self) -> dict[str, Source]:
        """Return every recording by its path; half a line from a killed process is ignored."""
        sources: dict[str, Source] = {}
        if self.sources_file.is_file():
            for line in self.sources_file.read_text(
                encoding="utf-8", errors="replace"
            ).splitlines():
                try:
                    source = Source(**json.loads(line))
                except (ValueError, TypeError, RecursionError):
                    continue
                if not source.is_whole():
                    continue
                if source.number < 0:
                    sources.pop(source.path, None)
                else:
                    sources[source.path] = source
        return sources

    def append_sources(self, sources: Iterable[Source]) -> None:
        """Note what became of recordings; the last line about a recording counts."""
        text = "".join(json.dumps(asdict(source)) + "\n" for source in sources)
        with self.sources_file.open("a+b") as file:
            if file.tell() and file.seek(-1, os.SEEK_END) and file.read(1) != b"\n":
                file.write(b"\n")  # a killed process left half a line
            file.write(text.encode("ascii"))

    def forget_source(self, source: Source) -> None:
        """Delete a recording's clips and its entry."""
        self.remove_clips(source.number)
        self.append_sources([replace(source, number=-1)])


def plain_name(name: str) -> str:
    """Return a name typed by a user if it is safe as one file or folder name, else UserError."""
    bad = set(name) & set('/\\<>:"|?*') or any(ord(letter) < 32 for letter in name)
    if not name or bad or name != name.strip(" .") or _RESERVED.fullmatch(name) or len(name) > 100:
        raise UserError("name", name=repr(name))
    return name


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON as people read it: indented, in the order given."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=4) + "\n", encoding="utf-8")


def _by_numbers(clip: str) -> tuple[list[int], str]:
    return [int(part) for part in re.findall(r"\d+", clip)], clip
