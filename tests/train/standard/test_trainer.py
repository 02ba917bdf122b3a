"""The standard recipe's step beside the reference's numbers, and its guards."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from infer.models.standard.synthesizer import Synthesizer
from infer.voice.hparams import StandardParams, read_config
from tests.golden.arrays import read_golden
from tests.golden.weights import golden_tensor
from tests.train.tiny_standard import DIM, make_experiment, tiny_options
from train.filelist import complete_clips
from train.standard.dataset import Utterances
from train.standard.discriminators import MultiPeriodDiscriminator
from train.standard.losses import adversarial_loss, discriminator_loss, feature_matching_loss
from train.standard.spectrogram import SpectrogramParams
from train.standard.trainer import StandardTrainer
from train.standard.training import StandardTraining, open_training
from train.state import new_state
from train.worker import WorkerError

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
LOSSES = json.loads((GOLDEN / "train_losses.json").read_text(encoding="utf-8"))


def fill(network: torch.nn.Module) -> torch.nn.Module:
    weights = network.state_dict()
    network.load_state_dict({k: golden_tensor(k, w.shape, 0) for k, w in weights.items()})
    return network


def norm(network: torch.nn.Module) -> float:
    gradients = [p.grad.norm() for p in network.parameters() if p.grad is not None]
    return float(torch.linalg.vector_norm(torch.stack(gradients)))


@pytest.mark.parametrize("version", ["v1", pytest.param("v2", marks=pytest.mark.slow)])
def test_discriminators_judge_as_the_reference_does(version: str) -> None:
    networks = fill(MultiPeriodDiscriminator(version))
    golden, wanted = np.load(GOLDEN / f"train_disc_{version}.npz"), LOSSES["disc"][version]
    real = torch.from_numpy(read_golden("train_mel_v2_f0_40k")["wave_slice"])
    made = torch.from_numpy(read_golden("train_fwd_v2_f0_40k")["o"])
    real_scores, real_layers = networks(real)
    made_scores, made_layers = networks(made)
    for number, (r, m) in enumerate(zip(real_scores, made_scores, strict=True)):
        assert np.abs(r.detach().numpy() - golden[f"score_real_{number}"]).max() < 1e-4
        assert np.abs(m.detach().numpy() - golden[f"score_gen_{number}"]).max() < 1e-4
    stats = golden["fmap_stats"]
    layers = [layer for judge in real_layers for layer in judge]
    assert [layer.numel() for layer in layers] == [int(row[2]) for row in stats]
    for layer, row in zip(layers, stats, strict=True):
        assert layer.abs().mean().item() == pytest.approx(row[4], rel=1e-4)
    loss = discriminator_loss(real_scores, made_scores)
    loss.backward()
    assert loss.item() == pytest.approx(wanted["disc"], rel=1e-4)
    assert norm(networks) == pytest.approx(wanted["grad_norm_d"], rel=1e-3)
    assert adversarial_loss(made_scores).item() == pytest.approx(wanted["gen"], rel=1e-4)
    matching = 2 * feature_matching_loss(real_layers, made_layers).item()
    assert matching == pytest.approx(wanted["fm"], rel=1e-4)
    names = dict(networks.named_parameters())
    for name, value in wanted["grad_d_selected"].items():
        assert float(names[name].grad.norm()) == pytest.approx(value, rel=1e-3)


@pytest.mark.parametrize(
    ("version", "digits"), [("v1", "d1c0b813e39e0840"), ("v2", "04d57d17c91ed13e")]
)
def test_discriminators_have_the_keys_and_the_order_of_public_states(
    version: str, digits: str
) -> None:
    """digits: the first of the SHA-256 of "name shape" lines in the order of optimiser states."""
    with torch.device("meta"):
        named = MultiPeriodDiscriminator(version).named_parameters()
    lines = "\n".join(f"{name} {tuple(value.shape)}" for name, value in named)
    assert hashlib.sha256(lines.encode()).hexdigest().startswith(digits)


def golden_batch() -> Utterances:
    golden = read_golden("train_fwd_v2_f0_40k")
    spec = read_golden("train_mel_v2_f0_40k")["spec"]
    tensors = {name: torch.from_numpy(array) for name, array in golden.items()}
    return Utterances(
        content=tensors["phone"].float(),
        spec=torch.from_numpy(spec),
        wav=tensors["wav"],
        lengths=tensors["lengths"],
        speaker=tensors["sid"],
        latent_noise=torch.zeros(2, 192, spec.shape[-1]),
        crop=tensors["u"],
        pitch=tensors["pitch"],
        f0=tensors["pitchf"],
        source_noise=torch.zeros(2, 12800),
    )


@pytest.mark.slow
@pytest.mark.parametrize("parts", [1, 2])
def test_losses_and_gradients_of_the_full_model_are_the_references(parts: int) -> None:
    groups = read_config("v2", 40000)
    params = StandardParams.from_groups(groups)
    state = new_state(
        fill(Synthesizer(params)), fill(MultiPeriodDiscriminator("v2")), groups["train"], False
    )
    spectrogram = replace(SpectrogramParams.from_data(groups["data"]), epsilon=2e-7, mel_floor=2e-6)
    trainer = StandardTrainer(
        state, groups["train"], spectrogram, 10, torch.device("cpu"), torch.float32, parts
    )
    batch, wanted, losses = golden_batch(), LOSSES["disc"]["v2"], {}
    made = trainer.discriminator_step(batch, 2, losses)
    assert losses["discriminator"] == pytest.approx(wanted["disc"], rel=1e-4)
    assert norm(state.discriminators) == pytest.approx(wanted["grad_norm_d"], rel=1e-3)
    if made:
        golden = read_golden("train_fwd_v2_f0_40k")
        assert np.abs(made[0].wav.detach().numpy() - golden["o"]).max() < 2e-5
        assert made[0].starts.tolist() == golden["ids_slice"].tolist()
    trainer.generator_step(batch, made, 2, batch.lengths.sum(), losses)
    assert losses["mel"] == pytest.approx(LOSSES["mel"], rel=1e-4)
    assert losses["kl"] == pytest.approx(LOSSES["kl"], rel=1e-4)
    assert losses["feature_matching"] == pytest.approx(wanted["fm"], rel=1e-4)
    assert losses["adversarial"] == pytest.approx(wanted["gen"], rel=1e-4)
    total = sum(losses.values()) - losses["discriminator"]
    assert total == pytest.approx(wanted["gen_all"], rel=1e-4)
    assert norm(state.synthesizer) == pytest.approx(wanted["grad_norm_g"], rel=1e-3)
    names = dict(state.synthesizer.named_parameters())
    for name, value in wanted["grad_g_selected"].items():
        assert float(names[name].grad.norm()) == pytest.approx(value, rel=1e-3), name


def small_training(tmp_path: Path) -> StandardTraining:
    """A run at its beginning, on four clips."""
    experiment = make_experiment(tmp_path / "small")
    torch.manual_seed(0)
    groups = experiment.read_config()
    return open_training(
        experiment,
        groups,
        complete_clips(experiment, DIM),
        tiny_options(experiment, batch_size=4),
        torch.device("cpu"),
    )


def test_a_batch_that_does_not_fit_is_halved_and_gives_the_same_gradients(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The allocator refuses passes of more than one clip, as a full GPU does."""
    gradients = []
    for most in (4, 1):
        run = small_training(tmp_path / str(most))
        synthesize = run.state.synthesizer.forward

        def limited(content: torch.Tensor, *rest: object, most=most, made=synthesize, **named):
            if len(content) > most:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
            return made(content, *rest, **named)

        run.state.synthesizer.forward = limited
        losses = run.train_step(run.batch(0))
        gradients.append([p.grad.clone() for p in run.state.synthesizer.parameters()])
        gradients[-1] += [p.grad.clone() for p in run.state.discriminators.parameters()]
        assert losses["loss/mel"] > 0
    assert run.trainer.parts == 4
    assert "computed in 2 parts" in caplog.text and "computed in 4 parts" in caplog.text
    for whole, added in zip(*gradients, strict=True):
        assert torch.allclose(whole, added, rtol=1e-3, atol=1e-5 + 1e-4 * float(whole.abs().max()))


def test_a_clip_that_alone_does_not_fit_is_an_error(tmp_path: Path) -> None:
    run = small_training(tmp_path)

    def refused(*tensors: object, **named: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 TB")

    run.state.synthesizer.forward = refused
    with pytest.raises(WorkerError, match="not even one clip fits"):
        run.train_step(run.batch(0))


def test_a_gradient_that_is_not_finite_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = small_training(tmp_path)
    before = {k: v.clone() for k, v in run.state.synthesizer.state_dict().items()}
    batch = run.batch(0)
    batch.content[0, 0, 0] = float("nan")
    run.train_step(batch)
    assert "the gradient of the synthesizer is not finite" in caplog.text
    assert all(torch.equal(v, before[k]) for k, v in run.state.synthesizer.state_dict().items())
    assert not run.state.synthesizer_optimizer.state


def test_the_learning_rate_falls_by_epochs(tmp_path: Path) -> None:
    run = small_training(tmp_path)
    run.state.epoch = 3
    told = run.train_step(run.batch(0))["learning_rate"]
    groups = run.state.synthesizer_optimizer.param_groups
    assert told == groups[0]["lr"] == pytest.approx(1e-4 * 0.999875**3, rel=1e-12)
    assert groups[0]["initial_lr"] == 1e-4  # other programs' schedulers start from it
    assert (groups[0]["betas"], groups[0]["eps"]) == ((0.8, 0.99), 1e-9)
