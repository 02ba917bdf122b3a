"""The proof at the end of a training: a real voice file, a real index, a real conversion."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from train.build_index import build_index
from train.experiment import Experiment
from train.extract_features import extract_features
from train.options import (
    BuildIndexOptions,
    ExtractFeaturesOptions,
    PreprocessOptions,
    VerifyOptions,
)
from train.preprocess import preprocess
from train.verify import verify
from train.worker import WorkerError


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory, english: Path) -> Experiment:
    experiment = Experiment(tmp_path_factory.mktemp("logs") / "someone")
    preprocess(PreprocessOptions(experiment=experiment.root, dataset=english))
    extract_features(
        ExtractFeaturesOptions(experiment=experiment.root, device="cpu", perturbations=1)
    )
    return experiment


def test_a_voice_and_its_index_are_proven_by_a_conversion_and_what_fails_is_named(
    experiment: Experiment, untrained_voice: Path
) -> None:
    options = VerifyOptions(experiment=experiment.root, voice=untrained_voice, device="cpu")
    with pytest.raises(WorkerError, match=r"train\.build_index"):
        verify(options)
    index = build_index(BuildIndexOptions(experiment=experiment.root))
    assert verify(options) == index
    with pytest.raises(WorkerError, match=r"nobody\.pth; run train\.train"):
        verify(replace(options, voice=experiment.root / "nobody.pth"))
    content = index.read_bytes()
    index.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=index.name):
        verify(options)
