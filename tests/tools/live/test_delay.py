from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from infer.audio.reader import AudioReader
from infer.f0 import SAMPLE_RATE, load_f0_method
from tools.live.delay import find_delays


def test_the_delay_of_quieter_speech_with_a_hole_is_found(english: Path) -> None:
    audio = np.concatenate(list(AudioReader(english, SAMPLE_RATE, 0.1).blocks()))
    late = round(0.273 * SAMPLE_RATE)
    heard = 0.4 * np.concatenate([np.zeros(late, np.float32), audio])[: len(audio)]
    heard[3 * SAMPLE_RATE : 3 * SAMPLE_RATE + 2000] = 0
    found = find_delays(audio, heard, SAMPLE_RATE, load_f0_method("swift"))
    assert found and np.array(found) == pytest.approx(0.273, abs=0.006)
