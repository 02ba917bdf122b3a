import numpy as np
import pytest

from infer.audio.resampling import Resampler, resample


@pytest.mark.parametrize(
    ("source_rate", "target_rate"), [(192000, 16000), (44100, 16000), (16000, 40000)]
)
def test_resampling_a_stream_equals_resampling_the_whole(
    source_rate: int, target_rate: int
) -> None:
    wav = np.random.default_rng(0).normal(0, 0.1, source_rate - 17).astype(np.float32)
    resampler = Resampler(source_rate, target_rate)
    parts = [resampler.push(wav[start : start + 1001]) for start in range(0, len(wav), 1001)]
    stream = np.concatenate([*parts, resampler.flush()])
    whole = resample(wav, source_rate, target_rate)
    assert len(stream) == len(whole) == round(len(wav) * target_rate / source_rate)
    assert np.abs(stream - whole).max() < 1e-5
