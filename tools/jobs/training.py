"""What the Train tab works with: an experiment's settings, and the commands they mean."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import config
from errors import NoFile, UserError
from infer.f0 import QUICK_METHOD
from infer.voice.header import read_header
from infer.voice.traits import TRAITS, traits
from options import Options
from tools.jobs.run_command import run_command
from tools.options import DatasetReportOptions, ExtractOptions, voice_command
from tools.voices.library import from_root, is_plain
from train.experiment import Experiment, plain_name, write_json
from train.job_folder import JobFolder
from train.metrics import PATIENCE
from train.options import (
    BuildIndexOptions,
    ExtractF0Options,
    ExtractFeaturesOptions,
    PreprocessOptions,
    TrainOptions,
    VerifyOptions,
)

FIRST_SAVES = 3  # before anything can be said of the next
STEPS = ("preprocess", "extract_f0", "extract_features", "train", "build_index", "verify")


@dataclass(frozen=True)
class Settings:
    """What the user chose; the fields in the order of the page. kind: family and rate, `lite 24k`.

    lite is trained for minutes, v1 and v2 for epochs. device: as torch names it, several with
    commas. parent: experiment that this one branches from, "" = a base model; parent_step: which of
    its saved states, 0 = the newest. embedder: content encoder of v1 and v2, "" = the usual one.
    denoise: take noise out of the recordings first.
    """

    kind: str = "lite 24k"
    dataset: str = ""
    minutes: float = 30.0
    epochs: int = 200
    device: str = "auto"
    batch_size: int = 8
    processes: int = 1
    f0_method: str = QUICK_METHOD
    save_minutes: float = 1.0
    parent: str = ""
    parent_step: int = 0
    embedder: str = ""
    denoise: bool = False

    @property
    def version(self) -> str:
        """The voice family."""
        return self.kind.split()[0]

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return 1000 * int(self.kind.split()[1].removesuffix("k"))

    @property
    def counts_epochs(self) -> bool:
        """Whether epochs, not minutes, end the training."""
        return traits(self.version).counts_epochs


def kinds() -> list[str]:
    """Every family and rate that configs/ holds, ours first."""
    found = {(path.parent.name, path.stem) for path in config.CONFIGS.glob("*/*k.json")}
    found |= {
        (version, f"{rate // 1000}k")
        for version, family in TRAITS.items()
        for rate, other in family.shared_configs.items()
        if (other, f"{rate // 1000}k") in found
    }
    order = list(TRAITS)
    ranked = sorted(found, key=lambda item: (order.index(item[0]), item[1]))
    return [f"{version} {rate}" for version, rate in ranked]


def experiments(logs: Path = config.LOGS) -> list[str]:
    """Names of all experiments, the last one worked on first."""
    times = {}
    for folder in filter(is_plain, logs.glob("*/")):
        experiment = Experiment(folder)
        marks = (experiment.settings_file, experiment.config_file, experiment.job_file)
        with suppress(OSError):  # a folder of someone else's
            if written := [path.stat().st_mtime for path in marks if path.is_file()]:
                times[folder.name] = max(written)
    return sorted(times, key=lambda name: -times[name])


def read_settings(experiment: Experiment) -> Settings | None:
    """The settings of an experiment; None where the page never had it."""
    try:
        saved = json.loads(experiment.settings_file.read_text(encoding="utf-8"))
        values = {name: type(getattr(Settings, name))(value) for name, value in saved.items()}
        values["epochs"] = values.get("epochs") or Settings.epochs  # 0 in older files
        settings = Settings(**values)
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    return settings if settings.kind in kinds() else None


def write_settings(experiment: Experiment, settings: Settings) -> None:
    """Remember the settings of an experiment; makes its folder."""
    experiment.root.mkdir(parents=True, exist_ok=True)
    write_json(experiment.settings_file, asdict(settings))


def dataset_of(settings: Settings) -> Path:
    """The recordings, seen from the program's folder; UserError where none are named."""
    dataset = (settings.dataset or "").strip().strip("\"'")
    if not dataset:
        raise UserError("no_recordings")
    return Path(dataset).expanduser()


def existing_dataset(settings: Settings) -> Path:
    """The recordings as an absolute path; NoFile where there are none of that name."""
    dataset = config.ROOT / dataset_of(settings)
    if not dataset.exists():
        raise NoFile("no_folder", folder=dataset)
    return dataset


def report_command(folder: JobFolder, settings: Settings) -> DatasetReportOptions:
    """The command that says what the recordings are good for."""
    return DatasetReportOptions(
        dataset=dataset_of(settings), json=Path(from_root(folder.report_file))
    )


def commands(experiment: Experiment, settings: Settings) -> list[Options]:
    """All steps from recordings to a voice and its index, proven; UserError for a bad value."""
    folder, dataset = Path(from_root(experiment.root)), dataset_of(settings)
    device, *more_devices = settings.device.replace(" ", "").split(",")
    if more_devices and not traits(settings.version).shares_gpus:
        raise UserError("one_device", version=settings.version)
    limit = "epochs" if settings.counts_epochs else "minutes"
    return [
        PreprocessOptions(
            experiment=folder,
            dataset=dataset,
            version=settings.version,
            sample_rate=settings.sample_rate,
            processes=settings.processes,
            denoise=settings.denoise,
            embedder=(traits(settings.version).takes_embedders and settings.embedder) or None,
        ),
        ExtractF0Options(experiment=folder, method=settings.f0_method, device=device),
        ExtractFeaturesOptions(experiment=folder, device=device),
        TrainOptions(
            experiment=folder,
            **{limit: getattr(settings, limit)},
            **_branch(settings),
            batch_size=settings.batch_size,
            save_minutes=settings.save_minutes,
            device=",".join([device, *more_devices]),
        ),
        BuildIndexOptions(experiment=folder, device=device),
        VerifyOptions(experiment=folder, device=device),
    ]


def _branch(settings: Settings) -> dict[str, Any]:
    if not settings.parent:
        return {}
    parent = config.LOGS / plain_name(settings.parent)
    return {"from_experiment": Path(from_root(parent)), "from_step": settings.parent_step}


def saved_states(logs: Path = config.LOGS) -> list[Path]:
    """Every saved state of every experiment, the newest of the last one first."""
    return [
        experiment.generator_state(step)
        for experiment in (Experiment(logs / name) for name in experiments(logs))
        for step in reversed(experiment.saved_steps())
    ]


def voice_of_state(experiment: Experiment, step: int, folder: Path | None = None) -> Path:
    """Make the voice of a saved state, NAME_e<epoch>_s<step>.pth in weights/, unless it is there.

    Voices that training keeps on the way have that name too. UserError.
    """
    state = experiment.generator_state(step)
    name = f"{experiment.name}_e{read_header(state).epoch}_s{step}"
    voice = (folder or config.WEIGHTS) / f"{name}.pth"
    if not voice.exists():
        info = f"{experiment.name}, step {step}"
        run_command(voice_command(ExtractOptions(state=state, voice=voice, info=info)))
    return voice


def advice(costs: Sequence[float]) -> tuple[str, dict[str, object]]:
    """Whether to train on, by what each save costs: name of a text, and its values."""
    if not costs:
        return "advice_none", {}
    best = min(range(len(costs)), key=lambda i: costs[i])
    since = len(costs) - 1 - best
    if len(costs) < FIRST_SAVES:
        return "advice_first", {}
    if since == 0:
        return "advice_better", {}
    return ("advice_wait" if since < PATIENCE else "advice_stop"), {"saves": since}
