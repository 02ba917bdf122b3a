"""Mel filterbanks against librosa's, and what each norm promises."""

from __future__ import annotations

import numpy as np
import pytest

from infer.audio.mel import Scale, mel_filters


@pytest.mark.parametrize(("scale", "is_htk"), [("slaney", False), ("htk", True)])
@pytest.mark.parametrize(("norm", "theirs"), [("area", "slaney"), ("peak", None)])
@pytest.mark.parametrize(
    ("rate", "n_fft", "num_mels", "low", "high"),
    [
        (16000, 400, 80, 0.0, None),
        (40000, 2048, 125, 0.0, 7600.0),
        (16000, 1024, 128, 30.0, 8000.0),
    ],
)
def test_filters_are_those_of_librosa(
    scale: Scale, is_htk: bool, norm: str, theirs: str | None,
    rate: int, n_fft: int, num_mels: int, low: float, high: float | None,
) -> None:  # fmt: skip
    librosa = pytest.importorskip("librosa")
    wanted = librosa.filters.mel(
        sr=rate, n_fft=n_fft, n_mels=num_mels, fmin=low, fmax=high, htk=is_htk, norm=theirs
    )
    made = mel_filters(num_mels, n_fft, rate, scale, norm, low, high)
    assert made.dtype == np.float32
    assert np.abs(made - wanted).max() < 1e-6


def test_filters_of_unit_sum_are_weighted_means_that_rise() -> None:
    filters = mel_filters(80, 1024, 24000, "htk", "sum")
    np.testing.assert_allclose(filters.sum(axis=1), 1.0, rtol=1e-6)
    centres = filters @ np.fft.rfftfreq(1024, 1 / 24000)
    assert (np.diff(centres) > 0).all()
