"""Training a small network on short clips: losses, stops, resumes, damaged states, the voice."""

from __future__ import annotations

import logging
import re
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from infer.converter import VoiceConverter
from infer.models.lite.synthesizer import LiteSynthesizer
from infer.voice.checkpoint import load_voice_model, save_voice_model
from infer.voice.extract import extract_voice
from infer.voice.hparams import read_config
from tools.cmd import voices
from tools.research.export_base import ExportBaseOptions, export_base
from train.experiment import Experiment
from train.filelist import complete_clips
from train.lite.dataset import Dataset, bandwidth
from train.lite.training import LiteTraining
from train.metrics import read_metrics, sampled_steps
from train.options import TrainOptions, command
from train.train import train
from train.worker import WorkerError, parse_progress

DIM = 513
SECONDS = 1.5


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    """Four clips of a tone with steps in its melody, with features that tell nothing."""
    experiment = Experiment(tmp_path / "logs" / "tone")
    groups = read_config("lite", 24000)
    groups["model"].update(hidden_dim=16, inner_dim=32, num_blocks=2, speaker_dim=8)
    groups["train"].update(
        segment_frames=60,
        adversarial_frames=30,
        adversarial_from_step=2,
        warmup_steps=5,
        discriminator_channels=[4, 4, 4],
    )
    for folder in (experiment.target_wavs, experiment.wavs_16k, experiment.f0_hz):
        folder.mkdir(parents=True)
    experiment.f0_coarse.mkdir()
    experiment.content(DIM).mkdir()
    experiment.write_config("lite", 24000, groups)
    random = np.random.default_rng(0)
    frames = int(SECONDS * 100)
    for number in range(4):
        f0 = np.where(np.arange(frames) // 50 % 2, 220.0, 110.0 + 10 * number)
        phase = np.cumsum(np.repeat(f0, 240)) / 24000
        wav = 0.2 * np.sin(2 * np.pi * phase) + 0.01 * random.standard_normal(len(phase))
        name = f"{number}_0"
        soundfile.write(experiment.target_wav(name), wav, 24000, subtype="FLOAT")
        soundfile.write(experiment.wav_16k(name), wav[: frames * 160], 16000, subtype="FLOAT")
        np.save(experiment.f0_hz_file(name), f0)
        np.save(experiment.f0_coarse_file(name), np.ones(frames, np.int64))
        content = random.standard_normal((frames // 2, DIM)).astype(np.float32)
        np.save(experiment.content_file(name, DIM), content)
    return experiment


def options(experiment: Experiment, **changes: object) -> TrainOptions:
    made = TrainOptions(
        experiment=experiment.root,
        voice=experiment.root / "voice.pth",
        use_base=False,
        steps=6,
        minutes=0.0,
        batch_size=2,
        device="cpu",
        threads=1,
    )
    return replace(made, **changes)


def final_weights(experiment: Experiment) -> dict[str, torch.Tensor]:
    path = experiment.generator_state(experiment.saved_steps()[-1])
    state = torch.load(path, weights_only=True)
    return {**state["model"], **{f"average.{k}": v for k, v in state["average"].items()}}


def test_stopping_and_going_on_gives_the_same_bits_as_not_stopping(
    experiment: Experiment,
) -> None:
    train(options(experiment))
    whole = final_weights(experiment)
    for path in experiment.root.glob("[GD]_*.pth"):
        path.unlink()
    for steps in (1, 3, 6):
        train(options(experiment, steps=steps))
    parts = final_weights(experiment)
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())


def test_the_loss_falls_and_the_voice_loads(
    experiment: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    voice = train(options(experiment, steps=40))
    lines = capsys.readouterr().out.splitlines()
    losses = [float(line.split()[-1]) for line in lines if "mel loss" in line]
    assert losses[-1] < losses[0]
    model = load_voice_model(voice)
    low, high = model.f0_range[0]
    assert low < model.f0_median[0] < high and model.f0_median[0] == pytest.approx(160, abs=65)
    assert voices.main(["show", "--file", str(voice)]) == 0
    assert f"nine tenths of it from {low:.0f} to {high:.0f} Hz" in capsys.readouterr().out
    state = extract_voice(experiment.generator_state(40))
    assert (state.f0_median, state.f0_range) == (model.f0_median, model.f0_range)
    assert VoiceConverter(voice, "cpu").sample_rate == 24000
    assert len(experiment.saved_steps()) <= 2


def test_a_stopped_process_has_saved_and_goes_on(experiment: Experiment, root: Path) -> None:
    argv = command(options(experiment, steps=100_000))
    process = subprocess.Popen(argv, cwd=root, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        found = re.search(r"step (\d+),", line)
        if found and int(found[1]) >= 3:
            break
    process.send_signal(signal.SIGTERM)
    assert process.wait(240) == 143
    (step,) = experiment.saved_steps()[-1:]
    assert step >= 3
    train(options(experiment, steps=step + 1))
    assert experiment.saved_steps()[-1] == step + 1


def test_a_damaged_newest_state_is_named_and_the_one_before_is_used(
    experiment: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    train(options(experiment, steps=2))
    train(options(experiment, steps=4))
    newest = experiment.generator_state(4)
    newest.write_bytes(newest.read_bytes()[:1000])
    with caplog.at_level("INFO"):
        train(options(experiment, steps=5))
    assert "G_4.pth" in caplog.text
    assert "going on from step 2" in caplog.text


def test_a_base_model_is_written_blended_and_trained_from(
    experiment: Experiment, tmp_path: Path
) -> None:
    train(options(experiment, steps=3))
    base = tmp_path / "base"
    export_base(ExportBaseOptions(experiment=experiment.root, folder=base))
    assert torch.load(base / "base_G.pth", weights_only=True)["model"]["emb_g.weight"].shape[0] == 1
    for path in experiment.root.glob("[GD]_*.pth"):
        path.unlink()
    train(options(experiment, steps=1, use_base=True, base=base))
    assert experiment.saved_steps() == [1]


def held_out_losses(monkeypatch: pytest.MonkeyPatch, losses: list[float]) -> None:
    """Let saves have these held-out losses, one after the other."""
    monkeypatch.setattr(LiteTraining, "held_out_loss", lambda run: losses.pop(0))


def test_the_base_is_the_save_of_the_lowest_held_out_loss(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_out_losses(monkeypatch, [0.5, 0.6, 0.7])
    base, given = tmp_path / "base", options(experiment)
    export = ExportBaseOptions(experiment=experiment.root, folder=base, voice=given.voice)

    def exported() -> dict[str, torch.Tensor]:
        return torch.load(base / "base_G.pth", weights_only=True)["model"]

    train(replace(given, steps=3))
    train(replace(given, steps=4))
    assert export_base(export) == 3  # its state is still there
    of_state = exported()
    train(replace(given, steps=5))
    assert experiment.saved_steps() == [4, 5]
    assert export_base(export) == 3  # now only the voice has it
    assert exported().keys() == of_state.keys()
    for name, value in exported().items():
        torch.testing.assert_close(value, of_state[name], atol=2e-3, rtol=2e-3, msg=name)
    assert export_base(replace(export, best=False)) == 5
    assert not torch.equal(exported()["emb_g.weight"], of_state["emb_g.weight"])


def test_a_voice_that_comes_closer_but_loses_words_is_not_the_best(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_out_losses(monkeypatch, [0.5, 0.49, 0.48])
    words = [0.85, 0.88, 0.87]
    monkeypatch.setattr(LiteTraining, "words_kept", lambda run: words.pop(0))
    given = options(experiment)
    for steps in (3, 4, 5):
        train(replace(given, steps=steps))
    assert load_voice_model(given.voice).info.startswith("4 steps,")
    assert [entry["words"] for entry in read_metrics(experiment) if "words" in entry] == [
        0.85,
        0.88,
        0.87,
    ]


def test_a_training_ends_when_no_save_gets_better_and_can_be_gone_on_with(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    held_out_losses(monkeypatch, [0.5] * 50)
    given = options(experiment, steps=50, patience=2, save_minutes=0)
    caplog.set_level(logging.INFO)
    train(given)
    ended = experiment.saved_steps()[-1]
    assert ended < 10 and "no better voice for 2 saves" in caplog.text
    train(given)
    assert experiment.saved_steps()[-1] == ended + 2
    assert TrainOptions(experiment=experiment.root).limit_saves == 4
    assert TrainOptions(experiment=experiment.root, steps=9).limit_saves == 0


def test_a_best_save_that_nothing_holds_is_not_replaced_silently(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_out_losses(monkeypatch, [0.5, 0.6, 0.7])
    given = options(experiment)
    for steps in (3, 4, 5):
        train(replace(given, steps=steps))
    export = ExportBaseOptions(
        experiment=experiment.root, folder=tmp_path / "base", voice=given.voice
    )
    model = load_voice_model(given.voice)
    save_voice_model(given.voice, replace(model, info="9 steps, held-out loss 0.1"))
    with pytest.raises(ValueError, match=r"was at step 3.*another voice \(9 steps"):
        export_base(export)
    given.voice.unlink()
    with pytest.raises(ValueError, match=r"was at step 3.*--no-best"):
        export_base(export)
    assert not (tmp_path / "base").exists()


def test_minutes_count_over_all_runs_and_are_shown_as_one_progress(
    experiment: Experiment, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    train(options(experiment, steps=0, minutes=0.05))
    first = experiment.saved_steps()[-1]
    seconds = torch.load(experiment.generator_state(first), weights_only=True)["seconds"]
    assert 3 <= seconds < 6
    capsys.readouterr()
    train(options(experiment, steps=0, minutes=0.1))
    lines = capsys.readouterr().out.splitlines()
    assert parse_progress(lines[0]).done >= 3
    assert (parse_progress(lines[-1]).done, parse_progress(lines[-1]).total) == (6, 6)
    with caplog.at_level("INFO"):
        train(options(experiment, steps=0, minutes=0.1))
    assert "a larger --minutes" in caplog.text


def test_a_number_of_steps_or_epochs_is_not_cut_short_by_minutes_that_nobody_gave(
    experiment: Experiment,
) -> None:
    folder = experiment.root
    assert TrainOptions(experiment=folder).limit_minutes == 15
    assert TrainOptions(experiment=folder, epochs=3).limit_minutes == 0
    assert TrainOptions(experiment=folder, steps=3, minutes=2).limit_minutes == 2
    train(options(experiment, steps=0, epochs=2, minutes=None))
    (step,) = experiment.saved_steps()
    assert torch.load(experiment.generator_state(step), weights_only=True)["epoch"] == 2


def test_losses_and_a_sample_are_kept_at_every_save(experiment: Experiment) -> None:
    train(options(experiment, steps=2))
    train(options(experiment, steps=3))
    entries = read_metrics(experiment)
    assert [entry["step"] for entry in entries] == sampled_steps(experiment) == [2, 3]
    original, rate = soundfile.read(experiment.sample_file("original"))
    made, _ = soundfile.read(experiment.sample_file("3"))
    assert (len(original), len(made), rate) == (SECONDS * 24000, SECONDS * 24000, 24000)
    assert not np.array_equal(made, soundfile.read(experiment.sample_file("2"))[0])


def test_a_clip_is_held_out_as_soon_as_there_are_ten(experiment: Experiment) -> None:
    clips = complete_clips(experiment, DIM)
    assert len(Dataset(clips, 24000, 240, 2, seed=0).held_out) == 0
    dataset = Dataset(3 * clips, 24000, 240, 2, seed=0)
    assert (len(dataset.held_out), len(dataset.training)) == (1, 11)


def test_nothing_to_train_on_names_the_step_before(experiment: Experiment) -> None:
    for path in experiment.content(DIM).iterdir():
        path.unlink()
    with pytest.raises(WorkerError, match=r"train\.extract_features"):
        train(options(experiment))
    with pytest.raises(WorkerError, match="--steps, --epochs or --minutes"):  # minutes=0
        train(options(experiment, steps=0))


def test_too_little_memory_names_the_batch_and_the_way_out(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    synthesize = LiteSynthesizer.forward

    def limited(self: LiteSynthesizer, content: torch.Tensor, *rest: object, **named: object):
        if len(content) > 1:
            torch.empty(2**55)  # the allocator refuses
        return synthesize(self, content, *rest, **named)

    monkeypatch.setattr(LiteSynthesizer, "forward", limited)
    with pytest.raises(WorkerError, match=r"batch of 2 .* memory of cpu.* --batch-size 1;"):
        train(options(experiment, minutes=1))
    assert train(options(experiment, batch_size=1, steps=1)).is_file()


def test_crops_are_aligned_and_every_clip_is_seen_in_an_epoch(experiment: Experiment) -> None:
    clips = complete_clips(experiment, DIM)
    dataset = Dataset(clips, 24000, 240, 2, seed=3)
    assert dataset.steps_per_epoch == 2
    first, again = dataset.batch(0, 60), dataset.batch(0, 60)
    assert torch.equal(first.wav, again.wav)
    assert first.content.shape == (2, 60, DIM) and first.wav.shape == (2, 60 * 240)
    for f0, wav in zip(first.f0, first.wav, strict=True):
        hz = float(f0[30])
        spec = np.abs(np.fft.rfft(wav[28 * 240 : 33 * 240].numpy() * np.hanning(1200), 24000))
        assert abs(int(np.argmax(spec)) - hz) < 25 or float(f0[28:33].std()) > 0
    seen = {float(batch.f0.min()) for batch in (dataset.batch(0, 140), dataset.batch(1, 140))}
    assert len(seen) == 2


def test_the_bandwidth_of_an_upsampled_recording_is_its_own() -> None:
    import soxr

    noise = np.random.default_rng(0).standard_normal(16000).astype(np.float32) * 0.1
    assert 7000 < bandwidth(soxr.resample(noise, 16000, 24000), 24000) < 8400
    assert bandwidth(noise, 16000) > 7900
