"""Loudness: the test signals of EBU Tech 3341 and ITU-R BS.1770 read as they must."""

import numpy as np
import pytest

from infer.audio.meter import ABSOLUTE_GATE, Meter

# (dB re full scale, seconds) of a stereo sine of 1 kHz, one after the other; LUFS wanted
SIGNALS = {
    "3341-1": ([(-23, 20)], -23.0),
    "3341-2": ([(-33, 20)], -33.0),
    "3341-3": ([(-36, 10), (-23, 60), (-36, 10)], -23.0),
    "3341-4": ([(-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)], -23.0),
    "3341-5": ([(-26, 20), (-20, 20.1), (-26, 20)], -23.0),
}


def sine(hz: float, seconds: float, rate: int) -> np.ndarray:
    """Return a sine of full scale."""
    return np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)


@pytest.mark.parametrize("rate", [44100, 48000])
@pytest.mark.parametrize("name", SIGNALS)
def test_the_ebu_signals_read_within_a_tenth(name: str, rate: int) -> None:
    parts, wanted = SIGNALS[name]
    meter = Meter(rate)
    for level, seconds in parts:
        wave = 10 ** (level / 20) * sine(1000, seconds, rate)
        for start in range(0, len(wave), 100_003):
            meter.push(np.stack([wave[start : start + 100_003]] * 2, axis=1))
    assert abs(meter.loudness() - wanted) < 0.1


@pytest.mark.parametrize("rate", [16000, 22050, 32000, 44100, 48000, 96000])
def test_a_sine_of_full_scale_in_one_channel_reads_minus_three(rate: int) -> None:
    meter = Meter(rate)
    meter.push(sine(997, 5, rate))
    assert abs(meter.loudness() + 3.01) < 0.05


def test_silence_and_nothing_have_the_gate_and_a_short_sound_its_level() -> None:
    meter = Meter(44100)
    assert meter.loudness() == ABSOLUTE_GATE
    meter.push(np.zeros((44100, 2)))
    assert meter.loudness() == ABSOLUTE_GATE
    meter = Meter(44100)
    meter.push(sine(997, 0.2, 44100))
    assert abs(meter.loudness() + 3.01) < 1
