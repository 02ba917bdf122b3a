"""Spectrograms beside the reference's numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from infer.voice.hparams import read_config
from tests.golden.arrays import read_golden
from train.standard.spectrogram import SpectrogramParams, linear_spectrogram, log_mel


@pytest.mark.parametrize("rate", [32000, 40000, 48000])
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_spectrograms_are_the_references(rate: int, version: str) -> None:
    golden = read_golden(f"mel_{rate // 1000}k")
    ours = SpectrogramParams.from_data(read_config(version, rate)["data"])
    theirs = replace(ours, epsilon=2e-7, mel_floor=2e-6)
    for params, tree in ((ours, "2024"), (theirs, "head")):
        spec = linear_spectrogram(torch.from_numpy(golden["wav"])[None], params)
        assert np.abs(spec[0].numpy() - golden[f"spec_{tree}"]).max() < 2e-4
        mel = log_mel(spec, params)[0].numpy()
        assert np.abs(mel - golden[f"mel_{tree}"]).max() < 1e-3
