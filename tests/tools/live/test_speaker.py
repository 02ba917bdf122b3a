from pathlib import Path

import numpy as np
import pytest

from infer.content.statistics import RunningStatistics, Statistics
from tools.live.speaker import recall, remember

AVERAGE = Statistics(np.zeros(4, np.float32), np.ones(4, np.float32))


@pytest.fixture
def speech() -> np.ndarray:
    """A speaker who is unlike the average: content (T, dim)."""
    return np.random.default_rng(0).normal([3, -2, 1, -1], [2, 0.5, 1, 1], (2000, 4))


def test_a_session_begins_with_the_speaker_of_the_last(tmp_path: Path, speech: np.ndarray) -> None:
    file, before = tmp_path / "speaker.npz", RunningStatistics(AVERAGE)
    before.update(speech)
    remember(before, "whisper", file)
    after = RunningStatistics(AVERAGE)
    recall(after, "whisper", file)
    assert np.allclose(after.result().mean, before.result().mean, atol=1e-4)
    assert np.allclose(after.result().std, before.result().std, atol=1e-4)
    other = np.random.default_rng(1).normal(-3, 1, (2000, 4))  # somebody else, for 40 s
    after.update(other)
    assert np.abs(after.result().mean[:3] + 3).max() < 1


def test_a_softer_microphone_is_heard_all_the_same(tmp_path: Path, speech: np.ndarray) -> None:
    file, before = tmp_path / "speaker.npz", RunningStatistics(AVERAGE)
    before.update(speech)
    remember(before, "whisper", file)
    after = RunningStatistics(AVERAGE)
    recall(after, "whisper", file)
    after.update(speech - [0, 0, 0, 5])  # 50 dB
    assert after.result().mean[-1] < before.result().mean[-1] - 3


@pytest.mark.parametrize("damage", ["no file", "another encoder", "no archive", "no number"])
def test_without_a_memory_a_session_begins_with_the_average(
    tmp_path: Path, speech: np.ndarray, damage: str
) -> None:
    file, before = tmp_path / "speaker.npz", RunningStatistics(AVERAGE)
    before.update(speech)
    remember(before, "hubert" if damage == "another encoder" else "whisper", file)
    if damage == "no file":
        file.unlink()
    if damage == "no archive":
        file.write_bytes(b"PK\x03\x04 cut off")
    if damage == "no number":
        np.savez(file, encoder="whisper", mean=[np.nan] * 4, std=np.ones(4))
    fresh = RunningStatistics(AVERAGE)
    recall(fresh, "whisper", file)
    assert np.array_equal(fresh.result().mean, AVERAGE.mean)


def test_silence_is_not_remembered(tmp_path: Path) -> None:
    remember(RunningStatistics(AVERAGE), "whisper", tmp_path / "speaker.npz")
    assert not list(tmp_path.iterdir())
