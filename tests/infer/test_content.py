"""The shipped content encoder: frames, windows, levels, statistics."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from config import ASSETS
from infer.audio.reader import load
from infer.content import load_encoder
from infer.content.statistics import RunningStatistics, Statistics
from infer.content.whisper import WhisperContent, add_steps, pack_steps
from infer.content.windows import encode_windows
from infer.voice.tensors import pack, unpack


@pytest.fixture(scope="module")
def encoder() -> WhisperContent:
    return load_encoder("whisper-base-4", torch.device("cpu"))


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return load(ASSETS / "examples" / "english.flac", 16000)[0]


def likeness(a: np.ndarray, b: np.ndarray, scale: Statistics) -> float:
    a, b = scale.normalize(a), scale.normalize(b)
    return float(np.mean((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)))


@pytest.mark.parametrize("frames", [1, 10, 99, 100, 101, 130, 141, 260, 1003])
def test_windows_with_enough_context_equal_one_window(frames: int) -> None:
    signal = torch.randn(frames, 3, generator=torch.Generator().manual_seed(0))

    def average(start: int, end: int) -> torch.Tensor:
        """Mean over 9 frames, edges as if silence followed."""
        assert end - start <= 100
        padded = torch.nn.functional.pad(signal[start:end], (0, 0, 4, 4))
        return padded.unfold(0, 9, 1).mean(2)

    windowed = encode_windows(frames, 100, 20, average)
    padded = torch.nn.functional.pad(signal, (0, 0, 4, 4))
    assert windowed.shape == signal.shape
    assert (windowed - padded.unfold(0, 9, 1).mean(2)).abs().max() < 1e-6


@pytest.mark.parametrize("samples", [0, 319, 320, 16001])
def test_a_frame_for_every_20_ms(encoder: WhisperContent, samples: int) -> None:
    content = encoder(np.zeros(samples, np.float32))
    assert content.shape == (samples // 320, 513)
    assert np.isfinite(content).all()


def test_features_hardly_depend_on_where_a_chunk_starts(
    encoder: WhisperContent, speech: np.ndarray
) -> None:
    whole, later = encoder(speech), encoder(speech[50 * 320 :])
    stop = min(len(whole), 50 + len(later)) - 25
    assert likeness(whole[75:stop], later[25 : stop - 50], encoder.prior) > 0.9


def test_long_audio_is_read_in_windows_that_agree(
    encoder: WhisperContent, speech: np.ndarray
) -> None:
    twice = np.concatenate([speech, speech, speech])[: 16 * 16000]
    content = encoder(twice)
    assert len(content) == 800
    alone = encoder(twice[420 * 320 :])
    assert likeness(content[500:], alone[80:], encoder.prior) > 0.9
    steps = np.linalg.norm(np.diff(encoder.prior.normalize(content), axis=0), axis=1)
    assert steps[455:470].max() < steps.max()  # where windows meet nothing jumps


def test_a_packed_matrix_is_a_quarter_as_large_and_within_a_half_step_of_each_row() -> None:
    random = torch.Generator().manual_seed(0)
    loud = torch.tensor([1.0, 100.0, 0.0]).view(-1, 1, 1)
    tensors = {
        "conv.weight": torch.randn(3, 40, 5, generator=random) * loud,
        "conv.bias": torch.randn(3, generator=random),
    }
    packed = pack(tensors)
    assert packed["conv.weight"].dtype == torch.int8
    found = unpack(packed)
    assert set(found) == set(tensors)
    steps = tensors["conv.weight"].abs().amax((1, 2), keepdim=True) / 127
    error = (found["conv.weight"] - tensors["conv.weight"]).abs()
    assert (error <= 0.5001 * steps).all()
    assert torch.equal(found["conv.bias"], tensors["conv.bias"].half().float())
    assert all(torch.equal(unpack(found)[name], found[name]) for name in found)  # plain ones too


def test_the_level_of_a_recording_does_not_matter(
    encoder: WhisperContent, speech: np.ndarray
) -> None:
    loud, quiet = encoder(speech), encoder(speech / 8)
    assert likeness(loud[:, :-1], quiet[:, :-1], _cut(encoder.prior)) > 0.97


def _cut(scale: Statistics) -> Statistics:
    return Statistics(scale.mean[:-1], scale.std[:-1])


def test_statistics_normalise_speech_and_lean_on_the_average_voice_when_short(
    encoder: WhisperContent, speech: np.ndarray
) -> None:
    content = encoder(speech)
    alone = RunningStatistics(encoder.prior, prior_frames=0)
    alone.update(content)
    loud = content[:, -1] > np.percentile(content[:, -1], 95) - 3.5
    normal = alone.result().normalize(content[loud])
    assert np.abs(normal.mean(0)).max() < 0.1
    assert abs(float(np.median(normal.std(0))) - 1) < 0.1
    short = encoder.new_statistics()
    short.update(content[:5])
    assert np.allclose(short.result().mean, encoder.prior.mean, atol=encoder.prior.std.max())


def test_held_notes_count_as_loud_and_the_softer_of_them_not_as_silence() -> None:
    prior = Statistics(np.array([0.0, -2.0], np.float32), np.array([1.0, 0.8], np.float32))
    loud = np.tile(np.array([[0.5, -1.0]], np.float32), (600, 1))
    notes = RunningStatistics(prior)
    notes.update(np.concatenate([loud, loud[:60] - [0.0, 1.4]]))  # a tenth of them 14 dB softer
    _, energy = notes.result().normalize(np.array([[0.5, -1.0], [0.5, -2.4]])).T
    np.testing.assert_allclose(energy, [1.0, 1.0 - 1.4 / 0.8], atol=0.01)

    speech = np.random.default_rng(0).normal([0.0, -1.0], [1.0, 1.1], (4000, 2))
    speaking = RunningStatistics(prior, prior_frames=0)
    speaking.update(speech)
    heard = speech[speech[:, 1] > np.percentile(speech[:, 1], 95) - 3.5]
    np.testing.assert_allclose(speaking.result().mean, heard.mean(0), atol=1e-4)
    np.testing.assert_allclose(speaking.result().std, heard.std(0), atol=1e-4)


def test_an_unknown_or_missing_encoder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="'spin'"):
        load_encoder("spin", torch.device("cpu"))
    monkeypatch.setattr("config.ASSETS", ASSETS / "nowhere")
    with pytest.raises(FileNotFoundError, match="whisper-base-4"):
        load_encoder("whisper-base-4", torch.device("cpu"))


def in_noise(speech: np.ndarray, snr: float) -> np.ndarray:
    noise = np.random.default_rng(0).standard_normal(len(speech))
    level = np.sqrt(np.mean(speech**2)) * 10 ** (-snr / 20)
    return (speech + level * noise).astype(np.float32)


def test_noise_is_heard_by_the_encoder_that_was_taught_it_and_clean_speech_is_as_before(
    encoder: WhisperContent, speech: np.ndarray
) -> None:
    plain = load_encoder("whisper-base-4", torch.device("cpu"))
    assert isinstance(plain, WhisperContent) and encoder.hears_in_noise
    plain.hears_in_noise = False
    clean = plain(speech)
    assert np.array_equal(encoder(speech), clean)
    noisy = in_noise(speech, 8)
    before, now = plain(noisy), encoder(noisy)
    scale = Statistics(clean.mean(0), clean.std(0))
    assert likeness(now, clean, scale) > likeness(before, clean, scale) + 0.02
    pauses = clean[:, -1] < np.percentile(clean[:, -1], 15)
    assert np.median((before - now)[pauses, -1]) > 0.5  # 5 dB of the noise are gone
    loud = clean[:, -1] > np.percentile(clean[:, -1], 85)
    assert np.abs(np.median((now - clean)[loud, -1])) < 0.2
    short = noisy[: 16000 * 3 // 2]  # a live window: too short to tell noise by
    assert np.array_equal(encoder(short), plain(short))


def test_steps_are_two_bits_of_each_value_and_add_up() -> None:
    random = torch.Generator().manual_seed(0)
    before = {
        "a.weight": torch.randn(7, 5, generator=random),
        "b.bias": torch.randn(6, generator=random),
        "c.weight": torch.randn(1, 9, generator=random),
        "d": torch.ones(3),
    }
    steps = {"a.weight": torch.zeros(7, 5), "b.bias": torch.ones(6), "c.weight": torch.ones(1, 9)}
    steps["a.weight"][2] = torch.tensor([0.7, -1.0, 0.1, 0.0, 1.0])
    packed = pack_steps(steps)
    assert packed["a.weight"].dtype == torch.uint8 and len(packed["a.weight"]) == 9
    after = add_steps(before, packed)
    row = torch.tensor([0.7, -0.7, 0.0, 0.0, 0.7])
    assert torch.allclose(after["a.weight"][2], before["a.weight"][2] + row, atol=1e-6)
    assert torch.equal(after["a.weight"][3:], before["a.weight"][3:])
    assert torch.allclose(after["b.bias"], before["b.bias"] + 1)
    assert torch.allclose(after["c.weight"], before["c.weight"] + 1, atol=1e-3)
    assert torch.equal(after["d"], before["d"])
