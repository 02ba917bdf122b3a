"""Old names of modules go on working for one release."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import moved
from tools.jobs.jobs import read_job
from train.experiment import Experiment


@pytest.mark.parametrize("old", moved.MOVED)
def test_an_old_name_leads_to_a_file_and_is_no_file_itself(root: Path, old: str) -> None:
    assert (root / (moved.MOVED[old].replace(".", "/") + ".py")).is_file()
    assert not (root / (old.replace(".", "/") + ".py")).exists()


def test_a_line_with_an_old_name_still_runs(root: Path) -> None:
    for old in ("tools.cmd.sing", "train.export_base"):
        ran = subprocess.run(
            [sys.executable, "-m", old, "--help"],
            cwd=root, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.startswith("usage:"), ran.stdout


def test_a_stored_job_may_name_its_worker_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(moved.MOVED, "train.cut", "train.preprocess")
    experiment = Experiment(tmp_path)
    experiment.job_file.write_text(json.dumps({"commands": [["train.cut", "--experiment", "x"]]}))
    assert read_job(experiment).module == "train.preprocess"
