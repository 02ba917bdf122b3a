"""The lite synthesizer: its source, its length, its seeds, its weights at another rate."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from infer.models.families import fit_lite_weights
from infer.models.lite.synthesizer import HarmonicSource, LiteSynthesizer
from infer.voice.hparams import LiteParams


def params(sample_rate: int = 24000, num_speakers: int = 1, **others: float) -> LiteParams:
    return LiteParams(
        sample_rate=sample_rate,
        hop_length=sample_rate // 100,
        content_encoder="whisper-base-4",
        content_dim=513,
        hidden_dim=16,
        inner_dim=32,
        num_blocks=2,
        kernel_size=7,
        speaker_dim=8,
        num_speakers=num_speakers,
        **others,
    )


def inputs(frames: int = 100) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    content = torch.randn(1, frames, 513, generator=random)
    return content, torch.full((1, frames), 220.0), torch.zeros(1, dtype=torch.long)


def test_the_source_has_the_harmonics_of_f0_at_one_level_and_nothing_between() -> None:
    pulses, _ = HarmonicSource(24000, 240)(torch.full((1, 100), 200.0))
    spec = np.abs(np.fft.rfft(pulses[0].numpy() * np.hanning(24000)))
    peaks = spec[200:11800:200]
    assert peaks.max() / peaks.min() < 1.1
    assert spec[300:11800:200].max() < 1e-3 * peaks.min()


def test_unvoiced_frames_have_no_pulses_and_voiced_edges_keep_their_pitch() -> None:
    f0 = torch.zeros(1, 60)
    f0[:, 20:40] = 150.0
    pulses, _ = HarmonicSource(24000, 240)(f0)
    assert pulses[:, : 19 * 240].abs().max() == 0
    assert pulses[:, 41 * 240 :].abs().max() == 0
    assert pulses.isfinite().all()


def test_the_phase_goes_on_where_a_piece_ends() -> None:
    source = HarmonicSource(24000, 240)
    f0 = torch.full((1, 50), 123.4)
    whole, _ = source(torch.cat([f0, f0], 1))
    first, phase = source(f0)
    second, _ = source(f0, phase)
    assert torch.allclose(torch.cat([first, second], 1), whole, atol=0.05)


def test_output_length_and_seed() -> None:
    torch.manual_seed(0)
    network = LiteSynthesizer(params()).eval()
    make = [network(*inputs(), generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert make[0].shape == (1, 24000)
    assert torch.equal(make[0], make[1])
    assert not torch.equal(make[0], make[2])


@pytest.mark.parametrize("first", [0, 4, 45])
def test_what_is_made_in_pieces_is_what_is_made_as_a_whole(
    first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    network = LiteSynthesizer(params()).eval()
    f0 = torch.linspace(100, 300, 200).repeat(1, 1)
    given = inputs(200)[0], f0, torch.zeros(1, dtype=torch.long)
    noise = torch.randn(1, (200 - first) * 240)
    whole = network(*given, noise=noise, first=first)
    monkeypatch.setattr("infer.models.lite.synthesizer.PIECE", 30)
    with torch.inference_mode():
        pieces = network(*given, noise=noise, first=first)
    assert torch.allclose(pieces, whole, atol=1e-5)


def test_what_is_only_looked_back_at_is_not_rendered_but_heard() -> None:
    torch.manual_seed(0)
    network = LiteSynthesizer(params()).eval()
    noise = torch.randn(1, 24000)
    phase = network.source(inputs(50)[1])[1]
    with torch.inference_mode():
        whole = network(*inputs(), noise=noise)
        end = network(*inputs(), noise=noise[:, 12000:], phase=phase, first=50)
    assert end.shape == (1, 12000)
    window = network.n_fft
    assert torch.allclose(end[:, window:], whole[:, 12000 + window :], atol=1e-3)


def test_gradients_are_finite_where_f0_jumps_starts_and_is_missing() -> None:
    network = LiteSynthesizer(params())
    content, f0, speaker = inputs(40)
    f0[:, :10], f0[:, 20:30] = 0.0, 1000.0
    for contour in (f0, torch.zeros_like(f0)):
        network.zero_grad()
        network(content, contour, speaker).square().mean().backward()
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        assert gradients and all(g.isfinite().all() for g in gradients)


def test_a_note_above_those_it_knows_is_described_as_the_highest_it_knows() -> None:
    notes = torch.tensor([[300.0, 500.0, 900.0]])
    old, new = (LiteSynthesizer(params(f0_known=hz)).describe_f0(notes) for hz in (360.0, 1100.0))
    assert torch.equal(old[:, 0], new[:, 0])
    assert torch.equal(old[:, 1], old[:, 2])
    assert not torch.allclose(new[:, 1], new[:, 2])


def test_weights_of_24_khz_give_the_same_low_band_at_40_khz() -> None:
    torch.manual_seed(0)
    low = LiteSynthesizer(params(num_speakers=3)).eval()
    high = LiteSynthesizer(params(40000)).eval()
    high.load_state_dict(fit_lite_weights(low.state_dict(), high))
    assert torch.equal(high.harmonic_gain.weight[:481], low.harmonic_gain.weight)
    assert torch.allclose(high.emb_g.weight[0], low.emb_g.weight.mean(0))
    again = LiteSynthesizer(params()).eval()
    again.load_state_dict(fit_lite_weights(high.state_dict(), again))
    assert torch.equal(again.noise_gain.bias, low.noise_gain.bias)
