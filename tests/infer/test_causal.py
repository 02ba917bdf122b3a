"""The causal encoder hears a stream as it hears the whole recording, and never the future."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from infer.content import FRAME
from infer.content.causal import AFTER, DIM, LOOKAHEAD, CausalContent, CausalEncoder, CausalStream


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> CausalContent:
    """An encoder that has learnt nothing."""
    torch.manual_seed(3)
    path: Path = tmp_path_factory.mktemp("causal") / "causal.safetensors"
    prior = {"prior_mean": torch.zeros(DIM + 1), "prior_std": torch.ones(DIM + 1)}
    save_file({**CausalEncoder().state_dict(), **prior}, path)
    return CausalContent(path, torch.device("cpu"))


@pytest.fixture(scope="module")
def audio() -> np.ndarray:
    """6 s of noise that comes and goes, not a whole number of frames."""
    seconds = np.arange(16000 * 6 + 123) / 16000
    noise = np.random.default_rng(1).standard_normal(len(seconds))
    return (0.1 * noise * np.sin(3 * seconds) ** 2).astype(np.float32)


def test_a_stream_in_ragged_pieces_gives_what_the_whole_recording_has(
    content: CausalContent, audio: np.ndarray
) -> None:
    whole = content(audio)
    assert whole.shape == (len(audio) // FRAME, content.dim)
    stream, sizes, start, parts = CausalStream(content), np.random.default_rng(2), 0, []
    sound = np.concatenate([audio, np.zeros(LOOKAHEAD * FRAME + AFTER, np.float32)])
    while start < len(sound):
        size = int(sizes.integers(1, 2000))
        parts.append(stream.push(sound[start : start + size]))
        start += size
    assert np.abs(np.concatenate(parts)[: len(whole)] - whole).max() < 1e-4


def test_content_comes_80_ms_after_the_sound_at_most(
    content: CausalContent, audio: np.ndarray
) -> None:
    stream = CausalStream(content)
    heard = len(stream.push(audio[:32000]))
    assert (heard - 1) * FRAME >= 32000 - 0.080 * 16000 - FRAME
    other = audio.copy()
    other[32000:] = 0
    assert np.array_equal(content(other)[:heard], content(audio)[:heard])
    assert np.abs(content(other)[heard] - content(audio)[heard]).max() > 0


def test_the_energy_is_of_the_middle_of_each_frame_and_noise_only_takes_from_it(
    content: CausalContent,
) -> None:
    audio = np.zeros(32000, np.float32)
    audio[50 * FRAME - 160 : 50 * FRAME + 160] = 0.5  # the 50th frame alone
    energy = content(audio)[:, -1]
    assert np.argmax(energy) == 50
    assert energy.min() >= -7 and energy.max() <= np.log10(0.25 + 1e-7)


def test_what_is_too_short_for_a_frame_has_no_content(content: CausalContent) -> None:
    assert content(np.zeros(FRAME - 1, np.float32)).shape == (0, content.dim)
    assert CausalStream(content).push(np.zeros(10, np.float32)).shape == (0, content.dim)
