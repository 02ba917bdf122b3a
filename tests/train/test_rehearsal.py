"""Rehearsal: what is said is drawn by step and seed, and what a voice loses of it is noticed."""

from __future__ import annotations

import pytest
import torch

from config import ASSETS
from infer.converter import load_synthesizer
from infer.models.lite.synthesizer import LiteSynthesizer
from train.rehearsal import CROP_FRAMES, CROPS, EVERY, Rehearsal, open_rehearsal

RATE = 24000
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def rehearsal() -> Rehearsal:
    opened = open_rehearsal("whisper-base-4", {0: 110.0, 3: 220.0}, RATE, CPU)
    assert opened is not None
    return opened


@pytest.fixture
def synthesizer() -> LiteSynthesizer:
    _, _, network = load_synthesizer(ASSETS / "lite/demo_male.pth")
    return network


def test_what_is_said_is_of_the_seed_and_the_step_and_in_the_voice_s_pitch(
    rehearsal: Rehearsal,
) -> None:
    said, again, other = rehearsal.draw(8, 1), rehearsal.draw(8, 1), rehearsal.draw(8, 2)
    assert said.content.shape[:2] == (CROPS, CROP_FRAMES) and said.f0.shape == (CROPS, 200)
    assert said.noise.shape == (CROPS, 2 * RATE)
    assert all(torch.equal(*pair) for pair in zip(said[:-1], again[:-1], strict=True))
    assert not torch.equal(said.content, other.content)
    assert [step for step in range(6) if rehearsal.draw(step, 0)] == list(range(0, 6, EVERY))
    for step in range(0, 40, EVERY):
        said = rehearsal.draw(step, 0)
        for f0, speaker in zip(said.f0, said.speaker.tolist(), strict=True):
            voiced = f0[f0 > 0]
            if len(voiced) > 40:
                octaves = torch.log2(voiced.median() / rehearsal.f0_median[speaker])
                assert abs(float(octaves)) < 0.6


def test_a_voice_that_mumbles_keeps_fewer_words(
    rehearsal: Rehearsal, synthesizer: LiteSynthesizer
) -> None:
    one = Rehearsal(rehearsal.encoder, rehearsal.speech[:2], {0: 110.0}, RATE)
    clear = one.words_kept(synthesizer)
    assert 0.75 < clear < 1 and one.words_kept(synthesizer) == clear
    synthesizer.content.weight.data *= 0.1
    assert one.words_kept(synthesizer) < clear - 0.1


def test_its_gradient_brings_words_back(rehearsal: Rehearsal, synthesizer: LiteSynthesizer) -> None:
    synthesizer.content.weight.data *= 0.1
    synthesizer.requires_grad_(True)
    said = rehearsal.draw(0, 0)._replace(speaker=torch.zeros(CROPS, dtype=torch.long))
    optimizer = torch.optim.Adam(synthesizer.parameters(), 1e-3)
    losses = []
    for _ in range(5):
        loss = rehearsal.loss(rehearsal.synthesize(synthesizer, said), said)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 0.02


def test_an_encoder_of_others_or_an_unknown_pitch_means_no_rehearsal() -> None:
    assert open_rehearsal("contentvec-768", {0: 110.0}, RATE, CPU) is None
    assert open_rehearsal("whisper-base-4", {}, RATE, CPU) is None
