"""Settings of an experiment, the commands they mean, and the advice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import config
from infer.content import installed_embedders
from infer.voice.hparams import read_config
from options import command
from tools.jobs.jobs import argv_of
from tools.jobs.training import (
    STEPS,
    Settings,
    advice,
    commands,
    experiments,
    kinds,
    read_settings,
    write_settings,
)
from train.experiment import Experiment


def test_every_kind_has_hyperparameters() -> None:
    assert kinds()[0] == Settings().kind == "lite 24k"
    for kind in kinds():
        settings = Settings(kind=kind)
        assert read_config(settings.version, settings.sample_rate)["data"]


def test_settings_come_back_and_damaged_ones_are_none(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path / "logs" / "声 one")
    assert read_settings(experiment) is None
    settings = Settings(kind="lite 40k", dataset="a b", minutes=2.5, batch_size=3, parent="x")
    write_settings(experiment, settings)
    assert read_settings(experiment) == settings
    assert experiments(tmp_path / "logs") == ["声 one"]
    for text in (
        "{",
        "[]",
        '{"minutes": []}',
        '{"unknown": 1}',
        '{"parent_step": "x"}',
        '{"batch_size": "x"}',
        '{"kind": "v9"}',
    ):
        experiment.settings_file.write_text(text)
        assert read_settings(experiment) is None


def test_a_content_encoder_can_be_chosen_where_there_are_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "DOWNLOADS", tmp_path)
    assert installed_embedders() == []
    for file in ("hubert_base/pytorch_model.bin", "spin-v2/model.safetensors", "rmvpe/rmvpe.pt"):
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).touch()
    (tmp_path / "spin-v2/pytorch_model.bin").touch()
    assert installed_embedders() == ["contentvec", "spin-v2"]
    experiment = Experiment(config.LOGS / "some one")
    chosen = Settings(kind="v2 40k", dataset="x", embedder="spin-v2")
    assert commands(experiment, chosen)[0].embedder == "spin-v2"
    for usual in (replace(chosen, embedder=""), replace(chosen, kind="lite 24k")):
        assert commands(experiment, usual)[0].embedder is None


def test_the_steps_say_what_was_chosen_in_words_that_a_terminal_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "LOGS", config.ROOT / "logs")  # below the program: told from there
    settings = Settings(dataset=' "my recordings" ', minutes=5, batch_size=3, device="cpu")
    options = commands(Experiment(config.LOGS / "some one"), settings)
    assert tuple(each.MODULE.split(".")[1] for each in options) == STEPS
    assert str(options[0].dataset) == "my recordings"
    lines = [command(each)[2:] for each in options]
    assert all(words[words.index("--experiment") + 1] == "logs/some one" for words in lines)
    assert lines[3][1:] == [
        "--experiment", "logs/some one", "--minutes", "5", "--batch-size", "3",
        "--save-minutes", "1.0", "--device", "cpu",
    ]  # fmt: skip
    branch = replace(settings, kind="v2 48k", parent="mother", parent_step=80, epochs=7)
    words = command(commands(Experiment(config.LOGS / "some one"), branch)[3])
    assert words[words.index("--from-experiment") + 1] == "logs/mother"
    assert words[words.index("--from-step") + 1] == "80"
    assert words[words.index("--epochs") + 1] == "7" and "--minutes" not in words
    with pytest.raises(ValueError, match="no recordings"):
        commands(Experiment(tmp_path), Settings())


@pytest.mark.parametrize("dataset", ["", "  ", None])
def test_training_without_recordings_is_refused(dataset: str | None) -> None:
    with pytest.raises(ValueError, match="name a folder of them, or add files"):
        commands(Experiment.named("mi"), Settings(dataset=dataset))


def test_several_devices_share_the_training_of_v2_and_nothing_else() -> None:
    experiment = Experiment(config.LOGS / "some one")
    settings = Settings(kind="v2 48k", dataset="a", device="cuda:1, cuda:3")
    _, f0, features, train, _, verify = commands(experiment, settings)
    assert [f0.device, features.device, verify.device] == 3 * ["cuda:1"]
    assert argv_of(train)[1:7] == [
        "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "train.train",
    ]  # fmt: skip
    assert argv_of(train)[-2:] == ["--device", "cuda:1,cuda:3"]
    with pytest.raises(ValueError, match="lite voice is trained on one device"):
        commands(experiment, replace(settings, kind="lite 24k"))


@pytest.mark.parametrize(
    ("losses", "name"),
    [
        ([], "advice_none"),
        ([0.5, 0.4], "advice_first"),
        ([0.6, 0.5, 0.4], "advice_better"),
        ([0.4, 0.5, 0.5], "advice_wait"),
        ([0.4, 0.5, 0.5, 0.41, 0.42], "advice_stop"),
    ],
)
def test_the_advice_follows_the_best_save(losses: list[float], name: str) -> None:
    assert advice(losses)[0] == name
