"""What the causal encoder learns from: altered sound beside the clean content of the same time."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from infer.content.causal import LOOKAHEAD, CausalContent, CausalEncoder
from tools.research.distill_encoder import (
    FRAMES,
    WARPS,
    Alterations,
    DistillEncoderOptions,
    Loss,
    Speech,
    _loss,
    _warped,
    compare,
    export,
    listen,
)

from infer.audio.mel import mel_filters
from infer.content import FRAME
from infer.content.whisper import N_FFT, N_MELS, SAMPLE_RATE


@pytest.fixture(scope="module")
def ramp() -> Speech:
    """Twenty seconds of noise whose content tells the time in frames; it swells once a second."""
    frames = 1000
    random = np.random.default_rng(0)
    swell = 0.5 - 0.5 * np.cos(np.arange(frames * FRAME) / 16000 * 2 * np.pi)
    audio = random.standard_normal(frames * FRAME) * swell * 3000
    content = np.repeat(np.arange(frames)[:, None], 512, 1)
    power = (audio / 32768).reshape(frames, FRAME) ** 2
    energy = np.log10(power.mean(1) + 1e-7).astype(np.float32)
    return Speech("train-ramp", audio.astype(np.int16), content, energy, float(energy.max()))


def test_the_aim_is_of_the_time_of_the_sound_at_every_speed(ramp: Speech) -> None:
    alterations = Alterations([ramp], 1.0)
    random = np.random.default_rng(3)
    x, content, heard, clean, weight = alterations.batch(random, 6, 0.0)
    assert x.shape == (6, FRAMES, 161) and content.shape == (6, FRAMES - LOOKAHEAD, 512)
    speeds = content[:, 1:, 0] - content[:, :-1, 0]
    assert 0.8 < speeds.min() < 0.95 and 1.05 < speeds.max() < 1.2
    assert torch.allclose(speeds, speeds[:, :1].expand_as(speeds), atol=1e-3)
    # the energy that is heard is the clean one but for the frame's own place
    for own, aim in zip(heard, clean, strict=True):
        assert np.corrcoef(own, aim)[0, 1] > 0.95
        assert float((own - aim).median().abs()) < 0.1
    assert set(weight.unique().tolist()) <= {np.float32(0.3).item(), 1.0}


def test_a_warp_moves_the_mel_filters_and_keeps_the_ends() -> None:
    plain = mel_filters(N_MELS, N_FFT, SAMPLE_RATE)
    assert np.allclose(_warped(1.0), plain)
    middle = np.argmax(plain[40])
    assert np.argmax(_warped(WARPS[0])[40]) > middle > np.argmax(_warped(WARPS[-1])[40])
    for warp in (WARPS[0], WARPS[-1]):
        assert _warped(warp)[-1].max() > 0.2 * plain[-1].max()


def test_the_teacher_hears_the_train_split_alone_and_weights_become_an_encoder(
    english: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    speech, rate = soundfile.read(english)
    (tmp_path / "corpus").mkdir()
    (tmp_path / "synth").mkdir()
    soundfile.write(tmp_path / "corpus" / "a.flac", np.tile(speech, 3), rate)
    with (tmp_path / "corpus" / "manifest.tsv").open("w", newline="") as file:
        rows = csv.writer(file, delimiter="\t")
        rows.writerows([["file", "speaker", "split"], ["a.flac", "ed", "train"]])
        rows.writerow(["b.flac", "ann", "dev"])  # never
    options = DistillEncoderOptions(
        corpus=tmp_path / "corpus",
        synth=tmp_path / "synth",
        state=tmp_path / "state",
        output=tmp_path / "ears.safetensors",
        minutes=0,
        bench=tmp_path / "bench",
        batch_size=2,
    )
    found = listen(options)
    assert [one.name for one in found] == ["train-ed"] and found[0].is_real
    assert len(found[0].audio) == len(found[0].content) * FRAME
    alterations = Alterations(found, 0.6)
    assert all(
        torch.isfinite(part).all() for part in alterations.batch(np.random.default_rng(0), 8)
    )
    encoder = CausalEncoder()
    loss, _ = _loss(encoder, Loss(), alterations.batch(np.random.default_rng(0), 2))
    loss.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in encoder.parameters())
    export(encoder, alterations, options.output)
    content = CausalContent(options.output, torch.device("cpu"))
    assert content(speech.astype(np.float32)).shape == (len(speech) // FRAME, 513)
    assert 0.1 < content.prior.std[-1] < 3
    for kind, gain in (("clean", 1.0), ("quiet", 0.5)):
        (tmp_path / "bench" / kind).mkdir(parents=True)
        soundfile.write(tmp_path / "bench" / kind / "a.flac", speech * gain, rate)
    compare(options.output, options.bench)
    told = capsys.readouterr().out
    assert "clean: whisper-base-4 1.000, causal " in told and "quiet: whisper-base-4 0.9" in told
