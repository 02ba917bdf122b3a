"""States on the disk: exact resume, pairs, damage, files of other programs."""

from __future__ import annotations

import errno
import json
import logging
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch

from errors import UserError
from infer.voice import tensors
from infer.voice.checkpoint import CheckpointError
from tests.train.tiny_standard import make_experiment, tiny_options
from train.experiment import Experiment
from train.options import command
from train.state import PART_ORDERS, newest_pairs
from train.train import train


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    return make_experiment(tmp_path / "small")


def contents(experiment: Experiment, step: int) -> dict[str, torch.Tensor]:
    """Every tensor of both files of a step: weights and moments."""
    found = {}
    for path in (experiment.generator_state(step), experiment.discriminator_state(step)):
        saved = torch.load(path, weights_only=True)
        found |= {f"{path.name} {name}": value for name, value in saved["model"].items()}
        for number, moments in saved["optimizer"]["state"].items():
            found |= {f"{path.name} {number} {name}": value for name, value in moments.items()}
    return found


def assert_equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys() and len(first) > 1000
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def forget(experiment: Experiment) -> None:
    for path in experiment.root.glob("[GD]_*.pth"):
        path.unlink()


def test_stopping_and_going_on_gives_the_same_bits_as_not_stopping(
    experiment: Experiment,
) -> None:
    train(tiny_options(experiment, steps=7))
    whole = contents(experiment, 7)
    forget(experiment)
    for steps in (1, 4, 7):  # three steps are an epoch
        train(tiny_options(experiment, steps=steps))
    assert_equal(whole, contents(experiment, 7))


def test_a_full_disk_is_said_and_leaves_the_pair_before_whole(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tiny_options(experiment, steps=1))
    write = tensors._Sink.write

    def fill(sink: tensors._Sink, data: bytes) -> int:
        if "G_2" in sink.file.name and sink.file.tell() > 10_000:
            sink.fault = OSError(errno.ENOSPC, "No space left on device")
            raise sink.fault
        return write(sink, data)

    monkeypatch.setattr(tensors._Sink, "write", fill)
    with pytest.raises(UserError, match=r"G_2\.pth: cannot be written \(No space left on device\)"):
        train(tiny_options(experiment, steps=2))
    monkeypatch.undo()
    assert sorted(path.name for path in experiment.root.glob("[GD]_*")) == ["D_1.pth", "G_1.pth"]
    train(tiny_options(experiment, steps=2))
    assert experiment.saved_steps() == [1, 2]


def run_with_kills(experiment: Experiment, root: Path, steps: int, kills: int, seed: int) -> int:
    """Train in processes that are killed at random moments, the last one excepted."""
    argv = command(tiny_options(experiment, steps=steps, save_minutes=0.0))
    moments, done = random.Random(seed), 0
    while done < kills:
        process = subprocess.Popen(
            argv, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()  # from here on it trains and saves after every step
        time.sleep(moments.uniform(0, 0.25))  # some steps later, on a fast machine too
        finished = process.poll() is not None
        process.send_signal(signal.SIGKILL)
        process.stdout.close()
        process.wait()
        if finished:
            break
        done += 1
    subprocess.run(argv, cwd=root, check=True, capture_output=True)
    return done


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.parametrize(
    ("steps", "kills"),
    [(8, 2), pytest.param(40, 20, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])],
)
def test_kills_at_random_moments_change_no_bit(
    experiment: Experiment, root: Path, steps: int, kills: int
) -> None:
    train(tiny_options(experiment, steps=steps))
    whole = contents(experiment, steps)
    forget(experiment)
    assert run_with_kills(experiment, root, steps, kills, seed=kills) >= min(kills, 2)
    assert_equal(whole, contents(experiment, steps))
    assert len(list(experiment.root.glob("[GD]_*"))) == 4  # nothing half-written stays


def test_damage_is_found_named_and_the_state_before_is_used(
    experiment: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    """One flipped bit of a weight, which torch itself would load without a word."""
    train(tiny_options(experiment, steps=2))
    train(tiny_options(experiment, steps=4))
    whole = contents(experiment, 4)
    path = experiment.discriminator_state(4)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    torch.load(path, weights_only=True)
    with caplog.at_level(logging.INFO):
        train(tiny_options(experiment, steps=4))
    assert "D_4.pth is damaged" in caplog.text and "going on from step 2" in caplog.text
    assert_equal(whole, contents(experiment, 4))


def test_nothing_starts_anew_by_itself(experiment: Experiment) -> None:
    train(tiny_options(experiment, steps=2))
    experiment.discriminator_state(2).unlink()
    with pytest.raises(CheckpointError, match=r"G_2\.pth without the D file"):
        train(tiny_options(experiment, steps=4))
    for path in (experiment.generator_state(2), experiment.discriminator_state(2)):
        path.write_bytes(b"x" * 1000)
    with pytest.raises(CheckpointError, match=r"G_2\.pth"):
        train(tiny_options(experiment, steps=4))


def test_a_crash_between_the_two_files_of_the_first_state_is_said(
    experiment: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    train(tiny_options(experiment, steps=2))
    experiment.generator_state(2).unlink()
    train(tiny_options(experiment, steps=2))
    assert "the first state was not written to its end" in caplog.text


def test_files_of_different_steps_are_no_pair(experiment: Experiment) -> None:
    train(tiny_options(experiment, steps=2))
    experiment.discriminator_state(2).rename(experiment.root / "kept.pth")
    forget(experiment)
    train(tiny_options(experiment, steps=3))
    experiment.generator_state(3).rename(experiment.generator_state(9))
    (experiment.root / "kept.pth").rename(experiment.discriminator_state(9))
    with pytest.raises(CheckpointError, match="is of step 3, D_9.pth of 2: they are no pair"):
        train(tiny_options(experiment, steps=4))


def as_other_program(experiment: Experiment, step: int, epoch: int, order: int) -> None:
    """Rewrite a pair as RVC writes it: four keys, its parameter order, the name 2333333."""
    for path, target in (
        (experiment.generator_state(step), experiment.generator_state(2333333)),
        (experiment.discriminator_state(step), experiment.discriminator_state(2333333)),
    ):
        saved = torch.load(path, weights_only=True)
        names = saved["parameters"]
        parts = PART_ORDERS[order]
        others = sorted(names, key=lambda n: parts.index(n.split(".")[0]) if n[0] != "d" or
                        n.startswith("dec") else 0)  # fmt: skip
        moments = saved["optimizer"]
        moments["state"] = {
            number: moments["state"][names.index(name)] for number, name in enumerate(others)
        }
        content = {key: saved[key] for key in ("model", "optimizer", "learning_rate")}
        torch.save({**content, "iteration": epoch}, target)
        path.unlink()


@pytest.mark.parametrize("order", [0, 1])
def test_states_of_other_programs_go_on_with_every_moment_in_its_place(
    experiment: Experiment, order: int, caplog: pytest.LogCaptureFixture
) -> None:
    """v2 files come in both parameter orders; the result is that of our own file."""
    train(tiny_options(experiment, steps=6))  # two epochs
    train(tiny_options(experiment, steps=7))
    whole = contents(experiment, 7)
    for path in (experiment.generator_state(7), experiment.discriminator_state(7)):
        path.unlink()
    as_other_program(experiment, 6, 2, order)
    with caplog.at_level(logging.INFO):
        train(tiny_options(experiment, steps=7))
    assert "by another program after epoch 2" in caplog.text
    assert_equal(whole, contents(experiment, 7))
    assert experiment.generator_state(2333333).exists()  # it is not ours to delete


def test_our_states_have_what_other_programs_read(experiment: Experiment) -> None:
    train(tiny_options(experiment, steps=6))
    for path in (experiment.generator_state(6), experiment.discriminator_state(6)):
        saved = torch.load(path, weights_only=True)
        assert (saved["iteration"], saved["learning_rate"]) == (2, 1e-4)
        (group,) = saved["optimizer"]["param_groups"]
        assert group["initial_lr"] == 1e-4 and group["params"] == list(
            range(len(saved["optimizer"]["state"]))
        )
    names = torch.load(experiment.generator_state(6), weights_only=True)["parameters"]
    parts = list(dict.fromkeys(name.split(".")[0] for name in names))
    assert parts == ["dec", "enc_q", "flow", "emb_g", "enc_p"]  # as v2 programs number them


def test_the_newest_is_found_by_content(experiment: Experiment) -> None:
    train(tiny_options(experiment, steps=3))
    train(tiny_options(experiment, steps=6))
    as_other_program(experiment, 3, 1, 1)
    assert newest_pairs(experiment) == [6, 2333333]


def test_a_state_of_another_rate_or_version_names_both_values(experiment: Experiment) -> None:
    train(tiny_options(experiment, steps=1))
    groups = json.loads(experiment.config_file.read_text(encoding="utf-8"))
    other = make_experiment(experiment.root.parent / "other", sample_rate=48000)
    for path in experiment.root.glob("[GD]_*.pth"):
        (other.root / path.name).write_bytes(path.read_bytes())
    with pytest.raises(CheckpointError, match=r"sample_rate 40000, config.json says 48000"):
        train(tiny_options(other, steps=2))
    groups["model"]["hidden_dim"] = 12
    experiment.config_file.write_text(json.dumps(groups), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"is \(.*8.*\), expected \(.*12.*\).*version v2"):
        train(tiny_options(experiment, steps=2))
