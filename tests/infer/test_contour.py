from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from infer.f0.contour import is_voiced, median_f0, quantize, resample_contour, transpose
from tests.golden.arrays import read_golden


def test_pitch_bins_are_exactly_those_of_rvc(root: Path) -> None:
    golden = np.load(root / "tests/golden/f0_coarse.npz")
    np.testing.assert_array_equal(quantize(golden["hz"]), golden["coarse_head"])
    np.testing.assert_array_equal(
        quantize(golden["hz"].astype(np.float32)), golden["coarse_from_float32"]
    )


@pytest.mark.parametrize("method", ["pm", "harvest", "dio"])
def test_pitch_bins_of_whole_contours_are_exactly_those_of_rvc(root: Path, method: str) -> None:
    golden = read_golden("f0_contours")
    np.testing.assert_array_equal(
        quantize(golden[f"train2023_{method}"]), golden[f"train2023_{method}_coarse"]
    )


def test_transposing_keeps_unvoiced_frames_unvoiced() -> None:
    f0 = np.array([0, 100, 220.5, 0], np.float32)
    up = transpose(f0, 12)
    np.testing.assert_allclose(up, [0, 200, 441, 0])
    assert up.dtype == np.float32
    np.testing.assert_allclose(transpose(up, -12), f0)
    np.testing.assert_array_equal(is_voiced(up), [False, True, True, False])


def test_the_median_is_taken_over_voiced_frames_only() -> None:
    assert median_f0(np.array([0, 0, 0, 100, 200, 300])) == 200
    assert median_f0(np.zeros(5)) == 0
    assert median_f0(np.zeros(0)) == 0


def test_a_contour_is_read_between_its_frames_on_the_log_scale_but_not_across_an_octave() -> None:
    f0, confidence = np.array([100, 110, 220.0]), np.array([0, 1, 0.5])
    read, sure = resample_contour(f0, confidence, np.array([0, 0.5, 1.4, 1.6, 2, 2.9]))
    np.testing.assert_allclose(read, [100, 110**0.5 * 10, 110, 220, 220, 220])
    np.testing.assert_allclose(sure, [0, 0.5, 0.8, 0.7, 0.5, 0.5])
