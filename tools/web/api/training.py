"""The endpoints of training and of recordings' checks."""

from __future__ import annotations

import time
from dataclasses import asdict, fields
from typing import Any

from errors import UserError
from tools.datasets.report import DatasetReport
from tools.jobs.jobs import Jobs
from tools.jobs.training import Settings, kinds
from tools.web.api.endpoint import add_plain
from tools.web.i18n import read_texts
from tools.web.train_work import start_check, start_training, training_status, try_state
from tools.web.views.dataset_check import Checks
from train.experiment import Experiment

POLL_SECONDS = 0.5
DEFAULTS = Settings()


class TrainEndpoints:
    """Each public method is an endpoint of its own name."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._checks = Checks()
        add_plain(
            self.train, self.training_status, self.stop_training, self.resume_training,
            self.try_saved_state, self.check_dataset, self.dataset_report,
        )  # fmt: skip

    def train(
        self,
        name: str,
        dataset: str,
        kind: str = DEFAULTS.kind,
        minutes: float = DEFAULTS.minutes,
        epochs: int = DEFAULTS.epochs,
        device: str = DEFAULTS.device,
        batch_size: int = DEFAULTS.batch_size,
        processes: int = DEFAULTS.processes,
        f0_method: str = DEFAULTS.f0_method,
        save_minutes: float = DEFAULTS.save_minutes,
        parent: str = DEFAULTS.parent,
        parent_step: int = DEFAULTS.parent_step,
        embedder: str = DEFAULTS.embedder,
        denoise: bool = DEFAULTS.denoise,
    ) -> dict[str, Any]:
        """Train a voice from recordings, index and test included; gives how far it is.

        It goes on when the caller leaves.

        Args:
            name: of the voice
            dataset: folder of recordings on the page's computer
            kind: version and rate, such as lite 24k, v2 40k
            minutes: to train a lite voice
            epochs: to train a v1 or v2 voice
            device: auto, cpu, cuda:0, several with commas
            batch_size: clips of a step
            processes: that prepare recordings
            f0_method: how the melody is found
            save_minutes: between two saves
            parent: experiment that this one branches from
            parent_step: which of its saved states, 0 = the newest
            embedder: content encoder of v1 and v2, empty = the usual one
            denoise: take noise out of the recordings first
        """
        settings = Settings(
            kind=kind, dataset=dataset, minutes=float(minutes), epochs=int(epochs), device=device,
            batch_size=int(batch_size), processes=int(processes), f0_method=f0_method,
            save_minutes=float(save_minutes), parent=parent, parent_step=int(parent_step),
            embedder=embedder, denoise=bool(denoise),
        )  # fmt: skip
        if kind not in kinds():
            raise UserError("choice", flag="kind", value=repr(kind), known=kinds())
        start_training(self._jobs, name, settings)
        return training_status(self._jobs, name)

    def training_status(self, name: str) -> dict[str, Any]:
        """Tell how far a training is.

        Args:
            name: of the voice
        """
        return training_status(self._jobs, name)

    def stop_training(self, name: str) -> dict[str, Any]:
        """Ask a training to save and stop; asked twice, it ends at once.

        Args:
            name: of the voice
        """
        self._jobs.stop(Experiment.named(name))
        return training_status(self._jobs, name)

    def resume_training(self, name: str) -> dict[str, Any]:
        """Go on with a training where it stopped.

        Args:
            name: of the voice
        """
        self._jobs.resume(Experiment.named(name))
        return training_status(self._jobs, name)

    def try_saved_state(self, name: str, step: int) -> str:
        """Make a voice of a saved state; gives its file.

        Args:
            name: of the voice in training
            step: of a state that it keeps
        """
        return try_state(name, int(step))

    def check_dataset(self, name: str, dataset: str) -> dict[str, Any]:
        """Start checking recordings for a voice, as Train does; gives how far it is.

        Args:
            name: of the voice
            dataset: folder of recordings on the page's computer
        """
        start_check(self._jobs, name, Settings(dataset=dataset))
        return training_status(self._jobs, name)

    def dataset_report(self, dataset: str) -> dict[str, Any]:
        """Say what recordings are good for: findings in words, and every recording in numbers.

        Args:
            dataset: folder of recordings on the page's computer
        """
        name = self._checks.start(dataset)
        while (check := self._checks.find(name)) and check.is_running:
            time.sleep(POLL_SECONDS)
        if check is None or check.report is None:
            raise (
                check.error if check and check.error else UserError("check_stopped", folder=dataset)
            )
        return _plain(check.report)


def _plain(report: DatasetReport) -> dict[str, Any]:
    """A report as plain values, its sentences in English."""
    texts = read_texts()["en"]
    findings = [
        {
            "level": each.level,
            "text": texts[each.text].format(**each.values),
            "files": list(each.files),
        }
        for each in report.findings
    ]
    recordings = []
    for each in report.recordings:
        numbers = asdict(each)
        numbers["file"] = numbers.pop("path")
        numbers["problems"] = [texts[name] for name in each.problems]
        recordings.append(
            {name: value if _is_plain(value) else str(value) for name, value in numbers.items()}
        )
    whole = {item.name: getattr(report, item.name) for item in fields(report)}
    whole |= {"findings": findings, "recordings": recordings, "epochs": list(report.epochs)}
    return whole


def _is_plain(value: Any) -> bool:
    """Whether JSON knows a value; infinity it does not."""
    return isinstance(value, str | int | list | None) or (
        isinstance(value, float) and abs(value) < 1e300
    )
