"""The standard recipe, RVC v1 and v2, as the training worker sees it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch import Tensor, nn

import config
from errors import CheckpointError, NoFile, UserError
from infer.models.families import family, plain
from infer.voice.checkpoint import VoiceModel, classic_names, load_training_state
from infer.voice.hparams import StandardParams
from train import processes
from train.experiment import Experiment, write_json
from train.filelist import Clip, pitch_of
from train.memory import needed_memory, plan_memory
from train.options import TrainOptions
from train.standard.dataset import Picked, Utterances, UtteranceSet
from train.standard.discriminators import MultiPeriodDiscriminator
from train.standard.graphs import CudaRecorder
from train.standard.spectrogram import SpectrogramParams
from train.standard.trainer import StandardTrainer
from train.state import TrainState, new_state, resume, saved_files
from train.worker import WorkerError

logger = logging.getLogger(__name__)


@dataclass
class StandardTraining:
    """Trains on whole clips, of which a random segment is rendered; the voice is the newest."""

    trainer: StandardTrainer
    clips: UtteranceSet
    params: StandardParams
    version: str

    def __post_init__(self) -> None:
        self._start = self.state.step, self.state.epoch, self.state.epoch_step

    @property
    def state(self) -> TrainState:
        return self.trainer.state

    @property
    def steps_per_epoch(self) -> int:
        return self.clips.steps_per_epoch

    def batch(self, step: int) -> Utterances | Picked:
        """Return the clips of a step."""
        first_step, epoch, position = self._start
        epochs, position = divmod(position + step - first_step, self.steps_per_epoch)
        batch = self.clips.batch(epoch + epochs, position, step)
        return batch.pinned() if self.trainer.device.type == "cuda" else batch

    def train_step(self, batch: Utterances | Picked) -> dict[str, Tensor | float]:
        """Update both networks; returns the weighted losses by name."""
        return self.trainer.train_step(batch)

    def held_out_loss(self) -> float:
        """This recipe trains on every clip."""
        return float("nan")

    def words_kept(self) -> float:
        """This recipe rehearses nothing."""
        return float("nan")

    def sample(self) -> tuple[np.ndarray, np.ndarray, int]:
        """Return the first clip as the voice makes it and as it was recorded, (N,) each, and Hz."""
        clip = self.clips.clips[0]
        original, rate = soundfile.read(clip.wav, dtype="float32")
        content = torch.from_numpy(np.repeat(np.load(clip.content[0]), 2, axis=0))
        frames, pitch, f0 = self.clips.frames(clip), None, None
        if self.params.use_f0:
            pitch = self._row(torch.from_numpy(np.load(clip.f0_coarse))[:frames].long())
            f0 = self._row(torch.from_numpy(np.load(clip.f0_hz))[:frames].float())
        made = self.state.synthesizer.infer(
            self._row(content[:frames].float()), pitch, f0,
            torch.tensor([clip.speaker], device=self.trainer.device),
            generator=torch.Generator().manual_seed(0),
        ).wav[0, 0]  # fmt: skip
        return made.float().cpu().numpy(), original, rate

    def _row(self, values: Tensor) -> Tensor:
        return values[None].to(self.trainer.device)

    def voice(self, loss: float) -> VoiceModel:
        """Return the synthesizer as it is, without what only training needs."""
        weights = self.state.synthesizer.state_dict()
        return VoiceModel(
            weights={name: w for name, w in weights.items() if not name.startswith("enc_q.")},
            params=plain(self.params),
            sample_rate=self.params.sample_rate,
            version=self.version,
            use_f0=self.params.use_f0,
            info=f"{self.state.epoch}epoch",
            **self.state.pitch,
        )


def open_training(
    experiment: Experiment,
    groups: dict[str, Any],
    clips: list[Clip],
    options: TrainOptions,
    device: torch.device,
) -> StandardTraining:
    """Networks and state: continued, else from a base model, else new.

    options.batch_size: of all processes together.
    """
    version, settings = groups["version"], groups["train"]
    kind, spectrogram = family(version), SpectrogramParams.from_data(groups["data"])
    params = kind.params.from_groups(groups)
    utterances = _open_clips(experiment, clips, params, spectrogram, settings, options)
    width = settings.get("discriminator_width", 1.0)
    networks = kind.build(params), MultiPeriodDiscriminator(version, width)
    state = new_state(*(network.to(device) for network in networks), settings, averaged=False)
    state.origin = {"version": version, "sample_rate": params.sample_rate}
    state.pitch = pitch_of(clips) if params.use_f0 else {}
    dtype = pick_precision(options.precision, device)
    if dtype == torch.float16:
        state.scaler = torch.amp.GradScaler(device.type)
    if device.type == "cuda":
        share = -(-options.batch_size // processes.count())
        left = _report_memory(device, share, dtype, params.sample_rate)
        utterances.keep(device, left)
    if not resume(state, experiment, utterances.steps_per_epoch):
        _start(state, options, kind.base, params)
    if state.epoch_step and state.clips != utterances.check:
        logger.info("other clips or another batch size: epoch %d begins anew", state.epoch)
        state.epoch_step = 0
    state.clips = utterances.check
    on_one_gpu = device.type == "cuda" and processes.count() == 1
    trainer = StandardTrainer(
        state, settings, spectrogram, utterances.steps_per_epoch, device, dtype,
        batch_size=options.batch_size,
        recorder=CudaRecorder(device) if on_one_gpu and options.cuda_graphs else None,
    )  # fmt: skip
    return StandardTraining(trainer, utterances, params, version)


def _report_memory(
    device: torch.device, batch_size: int, dtype: torch.dtype, sample_rate: int
) -> float:
    """Say what GPU memory the training needs and what is free; warn where it is too little.

    Returns the GiB that are left.
    """
    precision = "fp32" if dtype == torch.float32 else "fp16"
    free = torch.cuda.mem_get_info(device)[0] / 2**30
    needed = needed_memory(batch_size, precision, sample_rate)
    logger.info("needs about %.1f GiB of GPU memory; %.1f are free", needed, free)
    plan = plan_memory(free, precision, sample_rate)
    if needed > free:
        logger.warning(
            "that is too little: batches are divided until they fit; --batch-size %d would %s",
            plan.batch_size, "fit" if plan.fits else "be the least",
        )  # fmt: skip
    return free - needed


def _open_clips(
    experiment: Experiment,
    clips: list[Clip],
    params: StandardParams,
    spectrogram: SpectrogramParams,
    settings: dict[str, Any],
    options: TrainOptions,
) -> UtteranceSet:
    """Return the clips that can be trained on; what cannot is said."""
    highest = max(clip.speaker for clip in clips)
    if highest >= params.num_speakers:
        values = {"count": params.num_speakers, "last": params.num_speakers - 1}
        raise WorkerError("speaker_high", speaker=highest, config=experiment.config_file, **values)
    if processes.is_first_here():
        _check_kept_spectrograms(experiment, spectrogram)
    processes.any_of(False)  # nobody reads a spectrogram before
    utterances = UtteranceSet(
        clips, params, spectrogram, settings["segment_frames"], options.batch_size, options.seed,
        processes.count(), processes.rank(), keeps_spectrograms=processes.is_first_here(),
    )  # fmt: skip
    if utterances.too_short:
        logger.warning(
            "%d clips are shorter than a training segment (%.2f s) and left out: %s",
            len(utterances.too_short), settings["segment_frames"] / 100,
            ", ".join(utterances.too_short[:5]),
        )  # fmt: skip
    if not any(clip.wav.parent == experiment.target_wavs for clip in utterances.clips):
        seconds = f"{settings['segment_frames'] / 100:.2f}"
        raise WorkerError("segments", folder=experiment.root, seconds=seconds)
    return utterances


def _check_kept_spectrograms(experiment: Experiment, params: SpectrogramParams) -> None:
    """Delete spectrograms that were computed with other constants, or nobody knows with which."""
    path = experiment.spectrogram_params_file
    wanted = asdict(params)
    if path.is_file() and experiment.read_spectrogram_params() == wanted:
        return
    stale = [
        file
        for folder in (experiment.target_wavs, experiment.silence.target_wavs)
        for file in folder.glob("*.spec.pt")
    ]
    for file in stale:
        file.unlink(missing_ok=True)  # another machine that shares the folder was faster
    if stale:
        logger.info("%d spectrograms had other constants and are computed anew", len(stale))
    write_json(path, wanted)


def _start(state: TrainState, options: TrainOptions, base: str, params: StandardParams) -> None:
    """Take the weights of another experiment, or of a base model, or leave them as they are."""
    if options.from_experiment is not None:
        paths = saved_files(Experiment(options.from_experiment), options.from_step)
    elif options.use_base:
        paths = base_files(options.base or config.DOWNLOADS / base, params)
    else:
        return
    for network, path in zip((state.synthesizer, state.discriminators), paths, strict=True):
        _load_fitting(network, classic_names(load_training_state(path)["model"]), path)
    logger.info("starting from %s and %s", *paths)


def base_files(folder: Path, params: StandardParams) -> tuple[Path, Path]:
    """Return the public base model of a rate in a folder; NoFile tells how to get it."""
    kind = "f0" if params.use_f0 else ""
    paths = [folder / f"{kind}{part}{params.sample_rate // 1000}k.pth" for part in "GD"]
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        command = "`python -m tools.cmd.download_assets`"
        raise NoFile("base", files=" and ".join(missing), command=command)
    return paths[0], paths[1]


def _load_fitting(network: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Load what has the same name and shape, and say what is left out of the rest."""
    own = network.state_dict()
    fitting = {
        name: weights[name]
        for name, value in own.items()
        if name in weights and weights[name].shape == value.shape
    }
    if 2 * len(fitting) < len(own):
        raise CheckpointError("not_a_base", file=path, fitting=len(fitting), all=len(own))
    skipped = sorted((set(own) | set(weights)) - set(fitting))
    if skipped:
        logger.warning(
            "%s: %d tensors do not fit and are left out: %s", path, len(skipped), ", ".join(skipped)
        )
    network.load_state_dict({**own, **fitting})


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the type of the networks' products; UserError where the device cannot do it.

    auto is float16 where the GPU is fast in it, else float32.
    bfloat16 has too few digits for a waveform to be the default.
    """
    if name == "auto":
        return torch.float16 if config.is_half_fast(device) else torch.float32
    if name == "fp16" and device.type != "cuda":
        raise UserError("fp16_gpu", device=device)
    if name == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise UserError("no_bf16", name=torch.cuda.get_device_name(device))
    return {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[name]
