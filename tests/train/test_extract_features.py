"""Content features of a standard voice: what HuBERT gives, of every clip once, unaltered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from infer.audio.reader import load
from infer.content import load_encoder
from tests.infer.standard_voices import install_contentvec
from train.experiment import Experiment
from train.extract_features import extract_features
from train.options import ExtractFeaturesOptions, PreprocessOptions
from train.preprocess import preprocess


@pytest.fixture
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("config.DOWNLOADS", tmp_path / "downloads")
    return tmp_path / "downloads"


def test_standard_voices_get_each_clip_unaltered_and_not_normalised(
    tmp_path: Path, english: Path, downloads: Path
) -> None:
    install_contentvec(downloads, 768)
    experiment = Experiment(tmp_path / "logs/mi")
    preprocess(
        PreprocessOptions(
            experiment=experiment.root, dataset=english, version="v2", sample_rate=48000
        )
    )
    options = ExtractFeaturesOptions(experiment=experiment.root, device="cpu")
    assert extract_features(options) == len(experiment.clips()) > 0
    encoder = load_encoder("contentvec-768", torch.device("cpu"))
    for clip in experiment.clips():
        audio, _ = load(experiment.wav_16k(clip), 16000)
        assert np.array_equal(np.load(experiment.content_file(clip, 768)), encoder(audio))
        assert not experiment.content_file(clip, 768, 1).exists()
    assert extract_features(options) == 0


def test_the_embedder_is_chosen_once_and_must_be_there(
    tmp_path: Path, english: Path, downloads: Path
) -> None:
    options = PreprocessOptions(
        experiment=tmp_path / "logs/mi",
        dataset=english,
        version="v2",
        sample_rate=48000,
        embedder="spin-v2",
    )
    with pytest.raises(FileNotFoundError, match=r"'spin-v2' is not installed.*spin-v2"):
        preprocess(options)
    assert not options.experiment.exists()
    (downloads / "spin-v2").mkdir(parents=True)
    (downloads / "spin-v2/pytorch_model.bin").touch()
    preprocess(options)
    model = Experiment(options.experiment).read_config()["model"]
    assert (model["content_encoder"], model["content_dim"]) == ("spin-v2-768", 768)
    with pytest.raises(ValueError, match="v2 at 48000 Hz with spin-v2-768, not v2 at 48000 Hz;"):
        preprocess(replace(options, embedder=None))
    with pytest.raises(ValueError, match="it is the name of a folder"):
        preprocess(replace(options, embedder="../spin"))
    with pytest.raises(ValueError, match="voices of this kind have their own content encoder"):
        preprocess(replace(options, version="lite", sample_rate=24000))
