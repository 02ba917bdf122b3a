import numpy as np
import pytest

from infer.audio.filters import high_pass, high_pass_causal
from tests.golden.arrays import read_golden


def test_the_zero_phase_high_pass_equals_the_reference() -> None:
    golden = read_golden("highpass")
    filtered = high_pass(golden["x_16k"], 16000)
    assert filtered.dtype == np.float32
    assert np.abs(filtered - golden["filtfilt_16k"]).max() < 1e-7
    shortest = high_pass(golden["x_16k"][:19], 16000)
    assert np.abs(shortest - golden["filtfilt_16k_first19"]).max() < 1e-7
    with pytest.raises(ValueError, match="19 samples"):
        high_pass(golden["x_16k"][:18], 16000)


def test_a_chunk_with_context_is_filtered_as_in_the_whole() -> None:
    wav = np.random.default_rng(0).normal(0, 0.1, 80000) + 0.3
    whole = high_pass(wav, 16000)
    chunk = high_pass(wav[16000:64000], 16000)
    assert np.abs(chunk[8000:-8000] - whole[24000:56000]).max() < 1e-9


@pytest.mark.parametrize("sample_rate", [32000, 40000, 48000])
def test_the_causal_high_pass_equals_the_reference(sample_rate: int) -> None:
    golden = read_golden("highpass")
    wav = golden[f"x_{sample_rate // 1000}k"]
    expected = golden[f"lfilter_{sample_rate // 1000}k"]
    assert np.abs(high_pass_causal(wav.astype(np.float64), sample_rate) - expected).max() < 1e-9
    assert np.abs(high_pass_causal(wav, sample_rate) - expected).max() < 1e-7
