"""What a GPU computes in float16 differs from float32 by little: shown with the processor's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import config
from infer.content.hubert import HubertContent
from infer.models.families import family
from infer.models.standard import vocoders
from tests.infer.standard_voices import TINY_HUBERT, narrow_params

CPU = torch.device("cpu")


def half(device: torch.device) -> torch.autocast:
    """As config.half on a GPU."""
    return torch.autocast(device.type, torch.float16, cache_enabled=False)


def decibels(exact: np.ndarray, rounded: np.ndarray) -> float:
    """Power of a signal to that of the difference."""
    return 10 * np.log10(np.square(exact).sum() / np.square(exact - rounded).sum())


def test_a_waveform_in_half_precision_is_the_same_but_for_noise_far_below_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    params = narrow_params("v2")
    torch.manual_seed(0)
    trained = family("v2").build(params)
    voice = family("v2").build_voice(params).to_empty(device="cpu")
    voice.load_state_dict(family("v2").voice_weights(trained.state_dict()), strict=False)
    voice.eval().requires_grad_(False)
    frames = 200
    content = torch.randn(1, frames, params.content_dim)
    pitch, f0 = torch.full((1, frames), 60), torch.full((1, frames), 180.0)

    def render() -> np.ndarray:
        generator = torch.Generator().manual_seed(0)
        speaker = torch.zeros(1, dtype=torch.long)
        return voice.infer(content, pitch, f0, speaker, generator=generator).wav.numpy()

    exact = render()
    monkeypatch.setattr(vocoders, "render_rows", vocoders.render_half)
    assert decibels(exact, render()) > 80  # the same network, otherwise written
    monkeypatch.setattr(config, "half", half)
    seen: list[torch.dtype] = []
    voice.dec.conv_post.register_forward_pre_hook(lambda _, given: seen.append(given[0].dtype))
    voice.dec.conv_pre.register_forward_hook(lambda *all: seen.append(all[2].dtype))
    rounded = render()
    assert seen == [torch.float16, torch.float32]
    assert rounded.dtype == np.float32
    assert decibels(exact, rounded) > 35


def test_content_in_half_precision_is_nearly_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = HubertContent(TINY_HUBERT, 24, CPU)
    audio = 0.1 * np.random.default_rng(0).standard_normal(32000).astype(np.float32)
    exact = encoder(audio)
    monkeypatch.setattr(config, "half", half)
    rounded = encoder(audio)
    assert rounded.dtype == np.float32
    assert not np.array_equal(exact, rounded)
    assert decibels(exact, rounded) > 35
