"""The standard family through the training worker: voices, base models, epochs, processes."""

from __future__ import annotations

import logging
import os
import subprocess
from pathlib import Path

import pytest
import torch

from infer.models.families import family
from infer.voice.checkpoint import CheckpointError, load_voice_model
from infer.voice.tensors import load_weights
from tests.train.tiny_standard import DIM, make_experiment, tiny_options, write_clip
from train.experiment import Experiment
from train.filelist import complete_clips
from train.metrics import read_metrics
from train.options import train_command
from train.standard.training import base_files, open_training, pick_precision
from train.train import train
from train.worker import WorkerError


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    return make_experiment(tmp_path / "small")


def test_the_loss_falls_and_a_voice_is_kept_every_so_many_epochs(experiment: Experiment) -> None:
    voice = train(tiny_options(experiment, steps=0, epochs=6, voice_epochs=3))
    entries = read_metrics(experiment)
    assert entries[-1]["step"] == 18
    names = sorted(path.name for path in voice.parent.glob("voice*.pth"))
    assert names == ["voice.pth", "voice_e3_s9.pth", "voice_e6_s18.pth"]
    model = load_voice_model(voice)
    assert (model.version, model.sample_rate, model.info) == ("v2", 40000, "6epoch")
    network = family("v2").build_voice(family("v2").params(**model.params))
    load_weights(network, family("v2").voice_weights(model.weights), voice)
    assert list(experiment.root.glob("events.out.tfevents.*"))


@pytest.mark.parametrize(("version", "rate"), [("v1", 48000), ("v2", 32000)])
def test_every_version_and_rate_trains(tmp_path: Path, version: str, rate: int) -> None:
    experiment = make_experiment(tmp_path / "x", (0.9, 0.7), rate, version)
    model = load_voice_model(train(tiny_options(experiment, steps=1)))
    assert (model.version, model.sample_rate) == (version, rate)


def test_a_voice_without_f0_trains(experiment: Experiment) -> None:
    config = experiment.read_config()
    config["model"]["use_f0"] = False
    experiment.write_config("v2", 40000, {k: config[k] for k in ("train", "data", "model")})
    for folder in (experiment.f0_hz, experiment.f0_coarse):
        for path in folder.iterdir():
            path.unlink()
    model = load_voice_model(train(tiny_options(experiment, steps=1)))
    assert not model.use_f0 and "enc_p.emb_pitch.weight" not in model.weights
    assert len(experiment.filelist.read_text(encoding="utf-8").split("\n")[0].split("|")) == 3


def test_another_experiments_networks_can_be_the_beginning(
    experiment: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    train(tiny_options(experiment, steps=2))
    train(tiny_options(experiment, steps=3))
    other = make_experiment(experiment.root.parent / "more", (1.0, 1.1))
    for chosen, step in ((0, 3), (2, 2)):
        options = tiny_options(other, steps=1, from_experiment=experiment.root, from_step=chosen)
        arguments = (other.read_config(), complete_clips(other, DIM), options, torch.device("cpu"))
        run = open_training(other, *arguments)
        saved = torch.load(experiment.generator_state(step), weights_only=True)["model"]
        assert all(torch.equal(v, saved[k]) for k, v in run.state.synthesizer.state_dict().items())
        assert run.state.step == 0 and not run.state.synthesizer_optimizer.state
    with pytest.raises(FileNotFoundError, match="holds no state 1 any more; there are: 3, 2"):
        train(tiny_options(other, from_experiment=experiment.root, from_step=1))
    with pytest.raises(FileNotFoundError, match="holds no pair of"):
        train(tiny_options(other, from_experiment=experiment.root.parent))


def test_a_base_model_is_loaded_by_name_and_shape_and_the_rest_is_listed(
    experiment: Experiment, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(tiny_options(experiment, steps=1))
    base = tmp_path / "base"
    base.mkdir()
    for kind, path in (
        ("G", experiment.generator_state(1)),
        ("D", experiment.discriminator_state(1)),
    ):
        saved = torch.load(path, weights_only=True)["model"]
        if kind == "G":
            saved["emb_g.weight"] = torch.zeros(7, 8)  # other speakers, as public bases have
        torch.save({"model": saved, "iteration": 9}, base / f"f0{kind}40k.pth")
        path.unlink()
    with caplog.at_level(logging.INFO):
        train(tiny_options(experiment, steps=1, use_base=True, base=base))
    assert "1 tensors do not fit and are left out: emb_g.weight" in caplog.text
    assert "starting from" in caplog.text
    torch.save({"model": {"a": torch.zeros(1)}}, base / "f0G40k.pth")
    for path in experiment.root.glob("[GD]_*.pth"):
        path.unlink()
    with pytest.raises(CheckpointError, match="is no base for this: 0 of"):
        train(tiny_options(experiment, steps=1, use_base=True, base=base))


def test_a_missing_base_model_names_its_path_and_the_ways_out(
    experiment: Experiment, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError, match=r"f0G40k\.pth.*download_assets.*--no-use-base"):
        train(tiny_options(experiment, use_base=True, base=tmp_path))


def test_a_speaker_that_the_network_has_no_place_for_names_both_numbers(
    experiment: Experiment,
) -> None:
    clips = complete_clips(experiment, DIM)
    arguments = (experiment.read_config(), clips, tiny_options(experiment), torch.device("cpu"))
    object.__setattr__(clips[0], "speaker", 5)
    with pytest.raises(WorkerError, match=r"speaker 5 is too high: .* num_speakers 2"):
        open_training(experiment, *arguments)


def test_added_clips_are_trained_on_and_the_epoch_begins_anew(
    experiment: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    train(tiny_options(experiment, steps=4))
    write_clip(experiment, "9_0", 1.3)
    with caplog.at_level(logging.INFO):
        train(tiny_options(experiment, steps=5))
    assert "epoch 1 begins anew" in caplog.text and "going on from step 4" in caplog.text


def test_precision_is_what_the_device_can_do() -> None:
    cpu = torch.device("cpu")
    assert pick_precision("auto", cpu) == torch.float32
    assert pick_precision("bf16", cpu) == torch.bfloat16
    with pytest.raises(ValueError, match="fp16 needs a CUDA GPU"):
        pick_precision("fp16", cpu)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM")
def test_two_processes_stop_between_the_same_steps_and_go_on(
    experiment: Experiment, root: Path
) -> None:
    options = tiny_options(experiment, steps=10_000, batch_size=1)
    process = subprocess.Popen(
        train_command(options, 2), cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if "step 3," in line or "step 4," in line:
            break
    process.terminate()
    process.communicate(timeout=120)
    (step,) = experiment.saved_steps()
    assert step >= 3
    train(tiny_options(experiment, steps=step + 1, batch_size=2))
    assert experiment.saved_steps() == [step, step + 1]


def test_base_files_are_named_by_pitch_and_rate(experiment: Experiment, tmp_path: Path) -> None:
    params = family("v2").params.from_groups(experiment.read_config())
    for name in ("f0G40k.pth", "f0D40k.pth"):
        (tmp_path / name).touch()
    assert [path.name for path in base_files(tmp_path, params)] == ["f0G40k.pth", "f0D40k.pth"]
