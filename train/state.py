"""What a training run goes on from: pairs of files G_<step>.pth and D_<step>.pth.

Beside the four keys that every RVC program reads (model, iteration, optimizer, learning_rate) our
files carry keys that others ignore: step, epoch, names of the parameters, and what else changes.
Random numbers are functions of seed and step, so seed and step are their whole state.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from errors import CheckpointError, NoFile, UserError
from infer.voice.checkpoint import classic_names, load_training_state, save_training_state
from infer.voice.tensors import load_weights
from train.experiment import Experiment
from train.worker import is_first

KEPT_STATES = 2  # newest states kept; the one before the newest is there if that one is damaged
PLAIN = ("step", "epoch", "epoch_step", "seconds", "best_cost", "best_step", "clips")
# public states hold the moments in the order of either: v2 before June 2024 was as v1
PART_ORDERS = (
    ("enc_p", "dec", "enc_q", "flow", "emb_g"),
    ("dec", "enc_q", "flow", "emb_g", "enc_p"),
)

logger = logging.getLogger(__name__)


@dataclass
class TrainState:
    """Everything that changes during training; best_cost is of the best save so far."""

    synthesizer: nn.Module
    average: nn.Module | None  # moving average of the synthesizer, where the recipe has one
    discriminators: nn.Module
    synthesizer_optimizer: torch.optim.Optimizer
    discriminator_optimizer: torch.optim.Optimizer
    step: int = 0
    epoch: int = 0  # finished epochs, and
    epoch_step: int = 0  # steps of the next one, where the recipe counts epochs
    seconds: float = 0.0  # trained so far, over all runs
    best_cost: float = float("inf")
    best_step: int = 0
    worse_saves: int = 0  # of this run, since the best
    clips: str = ""  # which clips in which batches, as a check number
    saved_step: int = -1  # the step on the disk
    in_step: bool = False  # the networks are being changed
    pairs: list[int] = field(default_factory=list)  # steps of ours on the disk, the newest last
    scaler: torch.amp.GradScaler | None = None  # of float16 gradients
    learning_rate: float = 0.0  # as configured
    origin: dict[str, Any] = field(default_factory=dict)  # version and sample_rate
    pitch: dict[str, Any] = field(default_factory=dict)  # f0_median and f0_range of the clips
    norms: list[tuple[int, str, Tensor]] = field(default_factory=list)  # not yet looked at


def new_state(
    synthesizer: nn.Module,
    discriminators: nn.Module,
    settings: dict[str, Any],
    averaged: bool,
    fused: bool | None = None,
) -> TrainState:
    """Return a state at step 0 around freshly made or base networks.

    fused: None = on a CUDA GPU. Such optimisers start a few kernels instead of some thousands, and
    can leave out a step without anybody waiting for the GPU.
    """
    if fused is None:
        fused = next(synthesizer.parameters()).is_cuda
    average = copy.deepcopy(synthesizer).requires_grad_(False).eval() if averaged else None
    optimizers = [
        torch.optim.AdamW(
            network.parameters(),
            lr=settings["learning_rate"],
            betas=tuple(settings["betas"]),
            eps=settings.get("eps", 1e-8),
            weight_decay=settings.get("weight_decay", 0.01),
            fused=fused or None,
        )
        for network in (synthesizer, discriminators)
    ]
    return TrainState(
        synthesizer, average, discriminators, *optimizers, learning_rate=settings["learning_rate"]
    )


def optimizer_step(
    state: TrainState, name: str, optimizer: torch.optim.Optimizer, norm: Tensor
) -> None:
    """Step an optimiser, but not where the norm of the gradient of its network is not finite.

    name: of the network. A fused optimiser decides on the device; `report_left_out` says it later.
    """
    is_fused = bool(optimizer.defaults.get("fused"))
    state.norms.append((state.step, name, norm))
    if state.scaler is not None:
        state.scaler.step(optimizer)  # leaves it out by itself, and lowers the scale
    elif is_fused:
        optimizer.grad_scale, optimizer.found_inf = None, (~torch.isfinite(norm)).float()
        optimizer.step()
    elif torch.isfinite(norm):
        optimizer.step()
    if not is_fused:
        report_left_out(state)


def report_left_out(state: TrainState) -> None:
    """Say which steps since the last call were left out; waits for the device."""
    noted, state.norms = state.norms, []
    if not noted:
        return
    is_finite = torch.isfinite(torch.stack([norm for *_, norm in noted])).tolist()
    if all(is_finite) or (state.scaler is not None and state.scaler.get_scale() >= 1):
        return  # a scaler begins too high, and finds its scale so
    for (step, name, _), is_good in zip(noted, is_finite, strict=True):
        if not is_good:
            logger.warning("step %d left out: the gradient of the %s is not finite", step, name)


def _portable(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return an optimiser's state as it is without a GPU: its step counts lie on the processor."""
    saved = optimizer.state_dict()
    saved["state"] = {
        number: {k: v.cpu() if k == "step" else v for k, v in moments.items()}
        for number, moments in saved["state"].items()
    }
    for group in saved["param_groups"]:
        group["fused"] = None
    return saved


def save_state(state: TrainState, experiment: Experiment) -> None:
    """Write D_<step>.pth, then G_<step>.pth, then remove older states of ours.

    A pair counts only when both are there and of one step, so a crash at any moment loses nothing:
    before the second file is in place the pair before is the newest.
    """
    plain = {name: getattr(state, name) for name in PLAIN} | state.origin | state.pitch
    average = {} if state.average is None else {"average": state.average.state_dict()}
    if state.scaler is not None:
        plain["scaler"] = state.scaler.state_dict()
    for path, network, optimizer, others in (
        (
            experiment.discriminator_state(state.step),
            state.discriminators,
            state.discriminator_optimizer,
            {},
        ),
        (
            experiment.generator_state(state.step),
            state.synthesizer,
            state.synthesizer_optimizer,
            average,
        ),
    ):
        content = {
            "model": network.state_dict(),
            "iteration": max(1, state.epoch),
            "optimizer": _portable(optimizer),
            "learning_rate": state.learning_rate,
            "parameters": [name for name, _ in network.named_parameters()],
            **plain,
            **others,
        }
        try:
            save_training_state(path, content)
        except (UserError, OSError):  # a full disk, above all: no D is left without its G
            if state.step not in state.pairs:
                experiment.discriminator_state(state.step).unlink(missing_ok=True)
            raise
    state.saved_step = state.step
    state.pairs = [step for step in state.pairs if step != state.step] + [state.step]
    for step in state.pairs[:-KEPT_STATES]:
        experiment.generator_state(step).unlink(missing_ok=True)
        experiment.discriminator_state(step).unlink(missing_ok=True)
    del state.pairs[:-KEPT_STATES]


def _peek(path: Path) -> dict[str, Any]:
    """Return the plain values of a state, without reading its tensors; {} where it is damaged."""
    try:
        return load_training_state(path, peek=True)
    except CheckpointError:
        return {}


def newest_pairs(experiment: Experiment) -> list[int]:
    """The numbers of the saved pairs, the newest first as their content says, not their names."""
    return [number for number, _ in _pairs(experiment)]


def _pairs(experiment: Experiment) -> list[tuple[int, bool]]:
    """Saved pairs, the newest first: their number, and whether they are this program's.

    Of another program's file only the epoch is known, e.g. of G_2333333.pth.
    """
    found = []
    for number in experiment.saved_steps():
        saved = _peek(experiment.generator_state(number)) or {"step": number}  # damaged
        epoch, step = saved.get("epoch", saved.get("iteration", -1)), saved.get("step", -1)
        found.append((epoch, step, number))
    if all(step >= 0 for _, step, _ in found):
        found.sort(key=lambda item: item[1], reverse=True)
    else:
        found.sort(reverse=True)
    return [(number, step >= 0) for _, step, number in found]


def saved_files(experiment: Experiment, number: int = 0) -> tuple[Path, Path]:
    """G and D of the pair of that number, 0 = the newest; NoFile where it is not."""
    numbers = newest_pairs(experiment)
    if not numbers:
        raise NoFile("no_states", folder=experiment.root)
    number = number or numbers[0]
    if number not in numbers:
        raise NoFile("state_gone", folder=experiment.root, number=number, known=numbers)
    return experiment.generator_state(number), experiment.discriminator_state(number)


def resume(state: TrainState, experiment: Experiment, steps_per_epoch: int) -> bool:
    """Load the newest pair; a damaged one is named and the one before is taken.

    Returns whether there was one. CheckpointError where files are there but no pair of them is
    whole: training never starts anew by itself.
    """
    pairs = _pairs(experiment)
    for place, (number, _) in enumerate(pairs):
        try:
            _load_pair(state, experiment, number, steps_per_epoch)
        except CheckpointError as error:
            if place == len(pairs) - 1:
                raise
            logger.warning("%s; going back to the state before", error)
        else:
            state.pairs = [number for number, is_ours in reversed(pairs[place:]) if is_ours]
            if is_first():
                _sweep(experiment, state.step)
            logger.info("going on from step %d", state.step)
            return True
    lonely = sorted(path.name for path in experiment.root.glob("G_*.pth"))
    if lonely:
        raise CheckpointError("lonely", folder=experiment.root, files=lonely)
    if any(experiment.root.glob("D_*.pth")):
        logger.warning("the first state was not written to its end; starting from the beginning")
    return False


def _sweep(experiment: Experiment, step: int) -> None:
    """Remove what a killed process left: files of ours that lost their partner."""
    for path in experiment.root.glob("D_*.pth"):
        partner = path.with_name(f"G_{path.stem[2:]}.pth")
        if not partner.exists() and _peek(path).get("step", step) < step:
            path.unlink()


def _load_pair(
    state: TrainState, experiment: Experiment, number: int, steps_per_epoch: int
) -> None:
    """Continue from the two files of that number; both are checked before anything changes."""
    paths = experiment.generator_state(number), experiment.discriminator_state(number)
    saved, other = (load_training_state(path) for path in paths)
    for content, network in ((saved, state.synthesizer), (other, state.discriminators)):
        if not set(content["model"]) <= set(network.state_dict()):
            content["model"] = classic_names(content["model"])
    for name in ("step", "epoch", "iteration"):
        if saved.get(name) != other.get(name):
            values = {"first": paths[0], "second": paths[1].name, "name": name}
            values |= {"one": saved.get(name), "other": other.get(name)}
            raise CheckpointError("no_pair", **values)
    for name, value in state.origin.items():
        if saved.get(name, value) != value:
            values = {"file": paths[0], "name": name, "was": saved[name], "now": value}
            config_name = experiment.config_file.name
            raise CheckpointError("trained_with", config=config_name, again=value, **values)
    try:
        load_weights(state.discriminators, other["model"], paths[1])
        load_weights(state.synthesizer, saved["model"], paths[0])
        if state.average is not None:
            load_weights(state.average, saved.get("average", saved["model"]), paths[0])
    except CheckpointError as error:
        origin = ", ".join(f"{name} {value}" for name, value in state.origin.items())
        reason = {"reason": error, "config": experiment.config_file, "values": origin}
        raise CheckpointError("state_misfit", **reason) from error
    moments = [
        match_optimizer(content, network, optimizer, path)
        for content, network, optimizer, path in (
            (saved, state.synthesizer, state.synthesizer_optimizer, paths[0]),
            (other, state.discriminators, state.discriminator_optimizer, paths[1]),
        )
    ]
    state.synthesizer_optimizer.load_state_dict(moments[0])
    state.discriminator_optimizer.load_state_dict(moments[1])
    for name in PLAIN:
        setattr(state, name, saved.get(name, getattr(state, name)))
    if "step" in saved:
        state.saved_step = state.step
    else:  # another program's: it counts epochs only
        state.epoch, state.epoch_step = int(saved["iteration"]), 0
        state.step = state.epoch * steps_per_epoch
        logger.info("%s was written by another program after epoch %d", paths[0], state.epoch)
    if state.scaler is not None and "scaler" in saved:
        state.scaler.load_state_dict(saved["scaler"])


def match_optimizer(
    saved: Mapping[str, Any], network: nn.Module, optimizer: torch.optim.Optimizer, path: Path
) -> dict[str, Any]:
    """Return an optimiser state whose moments go to the parameters that they are of.

    Moments are stored by number. Ours come with names; for others the order is found by comparing
    shapes. CheckpointError where no order fits.
    """
    moments = saved["optimizer"]["state"] if "optimizer" in saved else {}
    own = optimizer.state_dict()
    if not moments:
        if "optimizer" not in saved:
            logger.warning("%s holds no optimiser state: its moments start anew", path)
        return own
    shapes = {name: value.shape for name, value in network.named_parameters()}
    for order in _orders(saved.get("parameters"), list(shapes)):
        if set(order) == set(shapes) and all(
            number < len(order) and _fits(moment, shapes[order[number]])
            for number, moment in moments.items()
        ):
            numbers = {name: number for number, name in enumerate(order)}
            own["state"] = {
                number: moments[numbers[name]]
                for number, name in enumerate(shapes)
                if numbers[name] in moments
            }
            return own
    raise CheckpointError("moments", file=path, found=len(moments), needed=len(shapes))


def _orders(named: list[str] | None, names: list[str]) -> Iterator[list[str]]:
    """Orders in which the parameters may have been numbered."""
    if named:
        yield named
        return
    yield names
    for parts in PART_ORDERS:
        if {name.split(".")[0] for name in names} <= set(parts):
            yield sorted(names, key=lambda name: parts.index(name.split(".")[0]))


def _fits(moment: Mapping[str, Any], shape: torch.Size) -> bool:
    return all(moment[name].shape == shape for name in ("exp_avg", "exp_avg_sq") if name in moment)


def base_files(folder: Path) -> tuple[Path, Path]:
    """Base synthesizer and discriminators in a folder."""
    return folder / "base_G.pth", folder / "base_D.pth"
