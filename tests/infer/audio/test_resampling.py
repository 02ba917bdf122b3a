import numpy as np
import pytest

from infer.audio.resampling import QuickResampler, Resampler, resample


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


@pytest.mark.parametrize(
    ("source_rate", "target_rate"), [(48000, 16000), (24000, 44100), (16000, 16000), (8000, 48000)]
)
def test_quick_resampling_keeps_a_tone_and_tells_what_it_holds(
    source_rate: int, target_rate: int
) -> None:
    times = np.arange(source_rate) / source_rate
    wav = np.sin(2 * np.pi * 440 * times).astype(np.float32)
    resampler = QuickResampler(source_rate, target_rate)
    parts = [resampler.push(wav[start : start + 97]) for start in range(0, len(wav), 97)]
    stream = np.concatenate(parts)
    wanted = np.sin(2 * np.pi * 440 * np.arange(len(stream)) / target_rate)
    assert np.abs(stream - wanted)[500:].max() < 1e-4
    assert len(stream) / target_rate + resampler.held_seconds == pytest.approx(1.0, abs=1e-6)
    assert resampler.held_seconds < 0.003


def test_quick_resampling_lets_nothing_through_that_the_lower_rate_cannot_hold() -> None:
    wav = np.sin(2 * np.pi * 9500 * np.arange(48000) / 48000).astype(np.float32)
    assert np.abs(QuickResampler(48000, 16000).push(wav)[100:]).max() < 1e-3
