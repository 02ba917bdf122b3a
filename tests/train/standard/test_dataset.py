"""Batches of whole clips: buckets, alignment, what is left out, kept spectrograms."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from infer.voice.hparams import StandardParams
from tests.train.tiny_standard import DIM, make_experiment, tiny_options, write_clip
from train.experiment import Experiment
from train.extract_features import _write_silence
from train.filelist import complete_clips, silent_clip, write_filelist
from train.standard.dataset import UtteranceSet
from train.standard.spectrogram import SpectrogramParams, linear_spectrogram
from train.standard.training import StandardTraining, open_training
from train.worker import WorkerError

SECONDS = (1.0, 1.2, 0.6, 0.9, 2.0, 2.1, 0.5)


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    return make_experiment(tmp_path / "small", SECONDS)


def utterances(experiment: Experiment, batch_size: int = 2, **changes: int) -> UtteranceSet:
    groups = experiment.read_config()
    return UtteranceSet(
        complete_clips(experiment, DIM),
        StandardParams.from_groups(groups),
        SpectrogramParams.from_data(groups["data"]),
        groups["train"]["segment_frames"],
        batch_size,
        seed=5,
        **changes,
    )


def open_run(experiment: Experiment) -> StandardTraining:
    clips = complete_clips(experiment, DIM)
    arguments = (experiment, experiment.read_config(), clips, tiny_options(experiment))
    return open_training(*arguments, torch.device("cpu"))


def test_every_clip_comes_in_an_epoch_beside_clips_of_its_length(experiment: Experiment) -> None:
    clips = utterances(experiment)
    batches = clips.order(0)
    assert len(batches) == clips.steps_per_epoch == 4
    assert {int(number) for batch in batches for number in batch} == set(range(7))
    for batch in batches:
        lengths = [clips.frames(clips.clips[number]) for number in batch]
        assert max(lengths) - min(lengths) < 75
    assert [list(b) for b in clips.order(0)] == [list(b) for b in batches]
    assert [list(b) for b in clips.order(1)] != [list(b) for b in batches]


def test_a_batch_is_aligned_and_padded_behind_the_end(experiment: Experiment) -> None:
    batch = utterances(experiment, 4).batch(0, 0, 0)
    assert batch.lengths.tolist() == sorted(batch.lengths.tolist(), reverse=True)
    longest = int(batch.lengths.max())
    assert batch.spec.shape == (4, 1025, longest) and batch.wav.shape == (4, 1, 400 * longest)
    for row, length in enumerate(batch.lengths.tolist()):
        assert not batch.spec[row, :, length:].any() and not batch.wav[row, :, 400 * length :].any()
        voiced = batch.f0[row, :length] > 0
        assert torch.equal(batch.pitch[row, :length] > 1, voiced)
        loud = batch.spec[row, :, :length].amax(0)
        if not voiced.all():  # the tone stands where f0 is
            assert loud[voiced].mean() > 10 * loud[~voiced].median()
        assert torch.equal(batch.content[row, 0], batch.content[row, 1])


def test_processes_share_a_batch_with_its_random_numbers(experiment: Experiment) -> None:
    whole = utterances(experiment, 4).batch(2, 1, 9)
    shares = [utterances(experiment, 4, processes=3, rank=rank).batch(2, 1, 9) for rank in range(3)]
    assert [len(share) for share in shares] == [2, 1, 1]
    crops = sorted(crop for share in shares for crop in share.crop.tolist())
    assert crops == sorted(whole.crop.tolist()) and len(set(crops)) == 4


def test_kept_clips_make_the_same_batches_and_are_read_once(experiment: Experiment) -> None:
    cpu, plain, clips = torch.device("cpu"), utterances(experiment, 3), utterances(experiment, 3)
    epoch = plain.steps_per_epoch
    wanted = [plain.batch(*divmod(step, epoch), step) for step in range(2 * epoch)]
    clips.keep(cpu, left=1)
    for step, batch in enumerate(wanted):
        if step == epoch:
            for path in experiment.target_wavs.iterdir():
                path.unlink()
        found = clips.batch(*divmod(step, epoch), step).to(cpu)
        for name, value in vars(batch).items():
            made = getattr(found, name)
            assert made.dtype == value.dtype and torch.equal(made, value), name


def test_clips_are_not_kept_where_they_do_not_fit(experiment: Experiment) -> None:
    clips = utterances(experiment)
    frames = 2 + sum(count + count % 2 for count in clips.counts)
    gib = frames * (4 * (DIM / 2 + 1025 + 400 + 1) + 8) / 2**30
    for left, fits in ((-1, False), (1.99 * gib, False), (2 * gib, True)):
        clips.keep(torch.device("cpu"), left)
        assert (clips.kept is not None) == fits


def test_a_clip_shorter_than_a_segment_never_reaches_the_loader(
    experiment: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    write_clip(experiment, "9_0", 0.31)  # a segment has 0.32 s
    write_clip(experiment, "9_1", 0.32)
    run = open_run(experiment)
    assert "1 clips are shorter than a training segment (0.32 s)" in caplog.text
    names = [clip.name for clip in run.clips.clips]
    assert "9_0" not in names and "9_1" in names
    for name in names[:-1]:
        experiment.target_wav(name).unlink()
    with pytest.raises(WorkerError, match="every clip .* is shorter than a training segment"):
        experiment.target_wav("9_1").unlink()
        open_run(experiment)


def test_spectrograms_are_kept_until_a_constant_changes(
    experiment: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    kept = experiment.spectrogram_file("0_0")
    torch.save(torch.zeros(1025, 100), kept)  # by another program, with who knows which constants
    run = open_run(experiment)
    clip = run.clips.clips[0]
    wav, _ = soundfile.read(clip.wav, dtype="float32")
    wanted = linear_spectrogram(torch.from_numpy(wav)[None], run.clips.spectrogram)[0]
    assert torch.equal(run.clips.spec(clip, wav), wanted)
    assert torch.equal(torch.load(kept, weights_only=True), wanted)
    kept.write_bytes(b"half a fi")
    assert torch.equal(run.clips.spec(clip, wav), wanted)
    torch.save(wanted + 1, kept)
    open_run(experiment)
    assert torch.equal(run.clips.spec(clip, wav), wanted + 1)  # it is read, not computed
    other = experiment.read_spectrogram_params() | {"epsilon": 2e-7}
    experiment.spectrogram_params_file.write_text(str(other).replace("'", '"'))
    with caplog.at_level(logging.INFO):
        open_run(experiment)
    assert "had other constants" in caplog.text and not kept.exists()


def test_silence_is_in_the_list_twice_and_can_be_trained_on(experiment: Experiment) -> None:
    class Encoder:
        dim = DIM

        def __call__(self, audio: np.ndarray, offset: int = 0) -> np.ndarray:
            return np.zeros((len(audio) // 320, DIM), np.float32)

    assert silent_clip(experiment, DIM, 0) is None
    _write_silence(experiment.silence, Encoder(), 40000)
    silence = silent_clip(experiment, DIM, 0)
    clips = [*complete_clips(experiment, DIM), silence, silence]
    write_filelist(experiment, clips)
    rows = experiment.filelist.read_text(encoding="utf-8").split("\n")
    assert len(rows) == 9 and rows[-1] == rows[-2] and len(rows[0].split("|")) == 5
    assert all(Path(field).is_file() for row in rows for field in row.split("|")[:-1])
    write_filelist(experiment, clips, use_f0=False)
    assert len(experiment.filelist.read_text(encoding="utf-8").split("\n")[0].split("|")) == 3
    assert utterances(experiment).frames(silence) == 300


def test_a_clip_of_another_rate_names_both_rates(experiment: Experiment) -> None:
    soundfile.write(experiment.target_wav("0_0"), np.zeros(48000), 48000)
    with pytest.raises(WorkerError, match=r"0_0\.wav has 48000 Hz, .* says 40000"):
        utterances(experiment)
