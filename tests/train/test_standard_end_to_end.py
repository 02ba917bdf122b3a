"""Real speech through the whole standard chain: a voice of reduced width, stopped on its way."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import config
from infer.converter import VoiceConverter
from infer.options import ConvertOptions
from train.build_index import build_index
from train.experiment import Experiment
from train.extract_f0 import extract_f0
from train.extract_features import extract_features
from train.options import (
    BuildIndexOptions,
    ExtractF0Options,
    ExtractFeaturesOptions,
    PreprocessOptions,
    TrainOptions,
    command,
)
from train.preprocess import preprocess
from train.train import train

STEPS = 30


def write_small_hubert(path: Path) -> None:
    """A HuBERT checkpoint in fairseq's layout: 768 values per frame, two layers, random weights."""
    torch.manual_seed(0)
    channels, dim, inner = 32, 768, 64
    kernels = (10, 3, 3, 3, 3, 2, 2)
    shapes = {"layer_norm": (channels,), "post_extract_proj": (dim, channels)}
    for number in range(2):
        stem = f"encoder.layers.{number}"
        shapes |= {f"{stem}.self_attn.{part}_proj": (dim, dim) for part in ("q", "k", "v", "out")}
        shapes |= {f"{stem}.fc1": (inner, dim), f"{stem}.fc2": (dim, inner)}
        shapes |= {f"{stem}.self_attn_layer_norm": (dim,), f"{stem}.final_layer_norm": (dim,)}
    shapes |= {"encoder.layer_norm": (dim,), "feature_extractor.conv_layers.0.2": (channels,)}
    weights = {}
    for name, shape in shapes.items():
        is_norm = len(shape) == 1
        weights[f"{name}.weight"] = torch.ones(shape) if is_norm else torch.randn(shape) / 16
        weights[f"{name}.bias"] = torch.zeros(shape[0])
    for number, kernel in enumerate(kernels):
        shape = (channels, channels if number else 1, kernel)
        weights[f"feature_extractor.conv_layers.{number}.0.weight"] = torch.randn(shape) / 8
    weights["encoder.pos_conv.0.weight"] = torch.randn(dim, 48, 16) / 30
    weights["encoder.pos_conv.0.bias"] = torch.zeros(dim)
    path.parent.mkdir(parents=True)
    torch.save({"model": weights}, path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_speech_becomes_a_v2_voice_with_its_index_that_converts(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(config, "DOWNLOADS", tmp_path / "downloads")
    write_small_hubert(config.DOWNLOADS / "hubert" / "hubert_base.pt")
    folder = tmp_path / "logs" / "speech"
    experiment = Experiment(folder)
    preprocess(
        PreprocessOptions(
            experiment=folder, dataset=root / "assets/examples", version="v2", sample_rate=40000
        )
    )
    groups = json.loads(experiment.config_file.read_text(encoding="utf-8"))
    groups["model"].update(
        inter_dim=32, hidden_dim=32, filter_dim=64, num_layers=2, upsample_initial_dim=64,
        speaker_dim=16,
    )  # fmt: skip
    groups["train"].update(discriminator_width=1 / 32, learning_rate=5e-4)
    experiment.config_file.write_text(json.dumps(groups), encoding="utf-8")
    extract_f0(ExtractF0Options(experiment=folder, method="pm"))
    extract_features(ExtractFeaturesOptions(experiment=folder, device="cpu"))
    rows = len(experiment.clips())
    options = TrainOptions(
        experiment=folder, voice=tmp_path / "voices" / "speech.pth", use_base=False, steps=STEPS,
        minutes=0.0, batch_size=4, device="cpu", threads=1,
    )  # fmt: skip

    process = subprocess.Popen(command(options), cwd=root, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    losses = []
    for line in process.stdout:
        if found := re.search(r"step (\d+), .* mel loss ([\d.]+)", line):
            losses.append(float(found[2]))
            if int(found[1]) >= 10:
                process.send_signal(signal.SIGTERM)
                break
    process.communicate(timeout=300)
    assert process.returncode == 143
    (stopped,) = experiment.saved_steps()
    assert 10 <= stopped < STEPS
    assert len(experiment.filelist.read_text(encoding="utf-8").split("\n")) == rows + 2

    capsys.readouterr()
    voice = train(options)
    told = capsys.readouterr().out
    assert f"train {stopped}/{STEPS}" in told
    losses += [float(found) for found in re.findall(r"mel loss ([\d.]+)", told)]
    assert losses[-1] < 0.9 * losses[0]
    index = build_index(BuildIndexOptions(experiment=folder))
    output = tmp_path / "out.wav"
    converter = VoiceConverter(voice, "cpu")
    low, high = converter.model.f0_range[0]
    assert low < converter.model.f0_median[0] < high
    converter.convert_file(
        ConvertOptions(
            voice=voice, input=root / "assets/examples/english.flac", output=output, index=index,
            f0_method="pm", device="cpu",
        )
    )  # fmt: skip
    made, rate = soundfile.read(output)
    seconds = soundfile.info(root / "assets/examples/english.flac").duration
    assert rate == 40000 and abs(len(made) / rate - seconds) < 0.05
    assert np.isfinite(made).all() and np.sqrt(np.mean(made**2)) > 1e-4
