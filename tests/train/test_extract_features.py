"""Content features of a standard voice: what HuBERT gives, of every clip once, unaltered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from infer.audio.reader import load
from infer.content import load_encoder
from infer.content.hubert import HubertContent
from tests.infer.standard_voices import install_contentvec
from train import extract_features as module
from train.clip_batches import clip_batches
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


def test_clips_together_have_the_features_that_they_have_alone_and_a_stop_loses_nothing(
    tmp_path: Path, english: Path, downloads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, by length; altered versions, which differ in length, too."""
    install_contentvec(downloads, 256)
    experiment = Experiment(tmp_path / "logs/mi")
    settings = {"version": "v1", "sample_rate": 40000, "clip_seconds": 1.0}
    preprocess(PreprocessOptions(experiment=experiment.root, dataset=english, **settings))
    clips = experiment.clips()
    assert len(clips) > 5
    options = ExtractFeaturesOptions(experiment=experiment.root, device="cpu", perturbations=2)

    def features() -> list[np.ndarray]:
        versions = [(clip, version) for clip in clips for version in (0, 1)]
        return [np.load(experiment.content_file(clip, 256, version)) for clip, version in versions]

    extract_features(options)
    alone, batches = features(), []
    able = HubertContent.many

    def many(encoder: HubertContent, audios: list[np.ndarray]) -> list[np.ndarray]:
        batches.append(len(audios))
        if len(batches) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return able(encoder, audios)

    gpu = torch.device("cuda")
    monkeypatch.setattr(
        module, "clip_batches", lambda folder, clips, _: clip_batches(folder, clips, gpu)
    )
    monkeypatch.setattr("train.clip_batches.CLIPS", 4)
    monkeypatch.setattr(HubertContent, "many", many)
    for folder in (experiment.content(256), experiment.content_file(clips[0], 256, 1).parent):
        for path in folder.iterdir():
            path.unlink()
    extract_features(options)
    assert batches[:2] == [4, min(4, len(clips) - 4)]  # the second one did not fit
    assert 1 not in batches  # but goes as on a processor
    for expected, found in zip(alone, features(), strict=True):
        assert (found.shape, found.dtype) == (expected.shape, np.float32)
        assert np.abs(found - expected).max() < 1e-4
    experiment.content_file(clips[1], 256, 1).unlink()
    assert extract_features(options) == 1


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
