"""A small experiment of the standard family: tones with features that tell nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile

from infer.voice.hparams import read_config
from train.experiment import Experiment
from train.options import TrainOptions

DIM = 768


def write_clip(experiment: Experiment, name: str, seconds: float, dim: int = DIM) -> None:
    """One clip with every feature that training reads."""
    rate = experiment.read_config()["sample_rate"]
    random = np.random.default_rng(len(name) + sum(map(ord, name)))
    frames = int(seconds * 100)
    f0 = np.where(np.arange(frames) // 30 % 3 == 2, 0.0, random.uniform(100, 200))
    hz = np.repeat(f0, rate // 100)
    wav = 0.2 * np.sin(2 * np.pi * np.cumsum(hz) / rate) * (hz > 0)
    wav += 0.01 * random.standard_normal(len(hz))
    soundfile.write(experiment.target_wav(name), wav, rate, subtype="FLOAT")
    soundfile.write(experiment.wav_16k(name), wav[: frames * 160], 16000, subtype="FLOAT")
    np.save(experiment.f0_hz_file(name), f0)
    np.save(experiment.f0_coarse_file(name), np.where(f0 > 0, 100, 1))
    content = random.standard_normal((frames // 2, dim)).astype(np.float32)
    np.save(experiment.content_file(name, dim), content)


def make_experiment(
    root: Path,
    seconds: tuple[float, ...] = (1.0, 1.2, 0.6, 0.9),
    sample_rate: int = 40000,
    version: str = "v2",
) -> Experiment:
    """An experiment with very few channels, ready to be trained."""
    experiment = Experiment(root)
    groups = read_config(version, sample_rate)
    dim = groups["model"]["content_dim"]
    groups["model"].update(
        inter_dim=8,
        hidden_dim=8,
        filter_dim=16,
        num_layers=1,
        upsample_initial_dim=32,
        speaker_dim=8,
        num_speakers=2,
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1, 3, 5]],
    )
    groups["train"].update(discriminator_width=1 / 64)
    for folder in (experiment.target_wavs, experiment.wavs_16k, experiment.f0_hz):
        folder.mkdir(parents=True)
    experiment.f0_coarse.mkdir()
    experiment.content(dim).mkdir()
    experiment.write_config(version, sample_rate, groups)
    for number, length in enumerate(seconds):
        write_clip(experiment, f"{number}_0", length, dim)
    return experiment


def tiny_options(experiment: Experiment, **changes: object) -> TrainOptions:
    """Options that train it from nothing, on one thread."""
    made = TrainOptions(
        experiment=experiment.root,
        voice=experiment.root / "voice.pth",
        use_base=False,
        steps=6,
        minutes=0.0,
        batch_size=2,
        device="cpu",
        threads=1,
    )
    return replace(made, **changes)
