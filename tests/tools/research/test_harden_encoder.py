"""What the encoder learns from: altered sound beside what it hears in the clean one."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import config
from infer.content import CONTENT_ENCODERS, FRAME, load_encoder
from infer.content.whisper import WhisperContent
from tools.research.harden_encoder import (
    CROPS,
    STEP_FRAMES,
    Alterations,
    HardenEncoderOptions,
    Loss,
    Speech,
    compare,
    export,
    listen,
)


@pytest.fixture(scope="module")
def ramp() -> Speech:
    """Twenty seconds of noise whose content tells the time in frames; it swells once a second."""
    frames = 1000
    random = np.random.default_rng(0)
    swell = 0.5 - 0.5 * np.cos(np.arange(frames * FRAME) / 16000 * 2 * np.pi)
    audio = random.standard_normal(frames * FRAME) * swell * 3000
    content = np.repeat(np.arange(frames)[:, None], 512, 1).astype(np.float32)
    power = (audio / 32768).reshape(frames, FRAME) ** 2
    energy = np.log10(power.mean(1) + 1e-7).astype(np.float32)
    return Speech("train-ramp", audio.astype(np.int16), content, energy, float(energy.max()))


@pytest.mark.parametrize("frames", CROPS)
def test_the_aim_is_of_the_time_of_the_sound(ramp: Speech, frames: int) -> None:
    alterations = Alterations([ramp], 1.0)
    sound, content, energy, weight = alterations.batch(np.random.default_rng(3), frames, 0.0)
    crops = STEP_FRAMES // frames
    assert sound.shape == (crops, frames * FRAME) and content.shape == (crops, frames, 512)
    assert torch.equal(content[:, 1:] - content[:, :-1], torch.ones(crops, frames - 1, 512))
    for own, aim, first in zip(sound, energy, content[:, 0, 0], strict=True):
        here = own.view(-1, FRAME).square().mean(1).log10()
        assert float((here - aim)[aim > aim.max() - 0.5].abs().max()) < 0.05  # at its own level
        start = int(first) * FRAME
        clean = torch.from_numpy(ramp.audio[start : start + len(own)].astype(np.float32))
        assert float(cosine(own, clean)) > 0.999
    assert set(weight.unique().tolist()) <= {np.float32(0.3).item(), 1.0}


def cosine(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cosine_similarity(one, other, dim=0)


@pytest.mark.slow
def test_the_teacher_hears_the_train_split_alone_and_weights_become_an_encoder(
    english: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    speech, rate = soundfile.read(english, dtype="float32")
    (tmp_path / "corpus").mkdir()
    (tmp_path / "synth").mkdir()
    soundfile.write(tmp_path / "corpus" / "a.flac", np.tile(speech, 3), rate)
    with (tmp_path / "corpus" / "manifest.tsv").open("w", newline="") as file:
        rows = csv.writer(file, delimiter="\t")
        rows.writerows([["file", "speaker", "split"], ["a.flac", "ed", "train"]])
        rows.writerow(["b.flac", "ann", "dev"])  # never
    options = HardenEncoderOptions(
        corpus=tmp_path / "corpus",
        synth=tmp_path / "synth",
        state=tmp_path / "state",
        output=tmp_path / "ears.safetensors",
        minutes=0,
        bench=tmp_path / "bench",
    )
    found = listen(options)
    assert [one.name for one in found] == ["train-ed"] and found[0].is_real
    assert len(found[0].audio) == len(found[0].content) * FRAME
    content = load_encoder("whisper-base-4", torch.device("cpu"))
    assert isinstance(content, WhisperContent)
    alterations, measure = Alterations(found, 0.6), Loss(content)
    batch = alterations.batch(np.random.default_rng(0), 60)
    assert all(torch.isfinite(part).all() for part in batch)
    content.encoder.requires_grad_(True)
    clean, loud = (
        measure(content.listen(sound), *aims)[1]
        for sound, *aims in (
            alterations.batch(np.random.default_rng(0), 170, how_much) for how_much in (0.0, 1.0)
        )
    )
    assert clean["angle"] < loud["angle"]
    loss, _ = measure(content.listen(batch[0]), *batch[1:])
    loss.backward()
    learns = [p for n, p in content.encoder.named_parameters() if not n.startswith("position")]
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in learns)
    with torch.no_grad():
        content.encoder.noise.bias.fill_(3)
    export(content.encoder, options.output)
    path, heads = config.ASSETS / CONTENT_ENCODERS["whisper-base-4"][1], 8
    hardened = WhisperContent(path, heads, torch.device("cpu"), in_noise=options.output)
    noise = np.random.default_rng(0).standard_normal(len(speech)) * np.std(speech) / 3
    noisy = (speech + noise).astype(np.float32)
    whole = WhisperContent(path, heads, torch.device("cpu"), in_noise=tmp_path / "none")(noisy)
    assert np.all(hardened(noisy)[:, -1] < whole[:, -1] - 1)
    for kind, gain in (("clean", 1.0), ("quiet", 0.5)):
        (tmp_path / "bench" / kind).mkdir(parents=True)
        soundfile.write(tmp_path / "bench" / kind / "a.flac", speech * gain, rate)
    compare(options.output, options.bench)
    told = capsys.readouterr().out
    assert "clean: whisper-base-4 1.000, hardened " in told
    assert "quiet: whisper-base-4 0.9" in told
