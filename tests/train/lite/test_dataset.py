"""Batches: which crop is decided by seed and step, and its parts belong together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch

from train.filelist import Clip
from train.lite.dataset import Dataset, bandwidth

RATE, HOP, DIM = 24000, 240, 3
TENSORS = ("content", "f0", "speaker", "wav", "bandwidth")


def make_clips(folder: Path, lengths: list[int]) -> list[Clip]:
    """Clips whose content, f0 and samples all tell the frame they belong to."""
    clips = []
    for number, frames in enumerate(lengths):
        paths = [folder / f"{number}.{kind}" for kind in ("wav", "content.npy", "f0.npy")]
        wav = np.repeat((np.arange(frames) + 1) / 1000, HOP).astype(np.float32)
        soundfile.write(paths[0], wav, RATE, subtype="FLOAT")
        content = np.full((frames // 2, DIM), number, np.float32)
        content[:, 0] = np.arange(frames // 2)
        np.save(paths[1], content)
        np.save(paths[2], np.arange(frames) + 1.0)
        clips.append(
            Clip(
                name=str(number),
                wav=paths[0],
                content=(paths[1],),
                f0_coarse=paths[2],
                f0_hz=paths[2],
                spectrogram=folder / "unused",
                speaker=number,
            )
        )
    return clips


def make_dataset(clips: list[Clip], batch_size: int = 4, seed: int = 0) -> Dataset:
    """A dataset at 24 kHz."""
    return Dataset(clips, RATE, HOP, batch_size, seed)


def test_content_melody_and_samples_of_a_crop_are_of_the_same_frames(tmp_path: Path) -> None:
    dataset = make_dataset(make_clips(tmp_path, [200, 320, 250]))
    starts = set()
    for step in range(6):
        batch = dataset.batch(step, 100)
        assert batch.wav.shape == (4, 100 * HOP) and batch.content.shape == (4, 100, DIM)
        for row in range(4):
            frames = batch.f0[row] - 1
            assert torch.equal(frames, frames[0] + torch.arange(100))
            assert torch.equal(batch.content[row, :, 0], frames.div(2, rounding_mode="floor"))
            assert torch.equal(batch.content[row, :, 1], batch.speaker[row].expand(100).float())
            torch.testing.assert_close(batch.wav[row, ::HOP] * 1000, frames + 1)
            starts.add(int(frames[0]))
    assert len(starts) > 10  # not always the beginning


def test_a_short_clip_is_filled_with_silence(tmp_path: Path) -> None:
    batch = make_dataset(make_clips(tmp_path, [60])).batch(0, 100)
    assert bool((batch.f0[:, :60] > 0).all()) and not batch.f0[:, 60:].any()
    assert not batch.wav[:, 60 * HOP :].any()


def test_a_batch_is_a_function_of_seed_and_step(tmp_path: Path) -> None:
    clips = make_clips(tmp_path, [200] * 6)
    one, again = make_dataset(clips), make_dataset(clips)
    again.batch(3, 50)  # what was read before does not matter
    for step in (0, 7):
        left, right = one.batch(step, 50), again.batch(step, 50)
        assert all(torch.equal(getattr(left, name), getattr(right, name)) for name in TENSORS)
    other = make_dataset(clips, seed=1)
    assert any(not torch.equal(one.batch(s, 50).f0, other.batch(s, 50).f0) for s in range(3))
    assert not torch.equal(one.batch(0, 50).f0, one.batch(1, 50).f0)


def test_kept_clips_make_the_same_batches_and_are_read_once(tmp_path: Path) -> None:
    clips, altered = make_clips(tmp_path, [60, 201, 320, 151]), []
    for clip in clips:  # shorter by a row than the first version; of the last clip there is none
        path = clip.content[0].with_suffix(".altered.npy")
        np.save(path, np.load(clip.content[0])[:-1] + 1000)
        altered.append(replace(clip, content=(*clip.content, path)))
    altered[-1] = clips[-1]
    plain, dataset = make_dataset(altered), make_dataset(altered)
    wanted = [plain.batch(step, 100) for step in range(6)]
    dataset.keep(torch.device("cpu"), left=1)
    for step, batch in enumerate(wanted):
        found = dataset.batch(step, 100).to(torch.device("cpu"))
        for name in TENSORS:
            made, value = getattr(found, name), getattr(batch, name)
            assert made.dtype == value.dtype and torch.equal(made, value), name
        for path in tmp_path.iterdir():
            path.unlink()  # four clips, four to a batch
    assert any(bool((batch.content[..., 0] >= 1000).any()) for batch in wanted)


def test_every_clip_is_heard_once_an_epoch(tmp_path: Path) -> None:
    dataset = make_dataset(make_clips(tmp_path, [100] * 8), batch_size=4)
    for epoch in range(2):
        steps = range(epoch * dataset.steps_per_epoch, (epoch + 1) * dataset.steps_per_epoch)
        heard = [int(speaker) for step in steps for speaker in dataset.batch(step, 50).speaker]
        assert sorted(heard) == list(range(8))


@pytest.mark.parametrize(("count", "held_out"), [(9, 0), (10, 1), (100, 4)])
def test_held_out_clips_are_few_the_same_for_every_seed_and_never_trained_on(
    count: int, held_out: int, tmp_path: Path
) -> None:
    clips = make_clips(tmp_path, [20] * count)
    dataset = make_dataset(clips)
    assert len(dataset.held_out) == held_out
    assert dataset.held_out == make_dataset(clips, seed=5).held_out
    names = {clip.name for clip in dataset.held_out}
    trained = {clip.name for clip in dataset.training}
    assert not names & trained and len(names | trained) == count


def test_a_whole_clip_comes_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    clips = make_clips(tmp_path, [150])
    whole = make_dataset(clips).whole(clips[0])
    assert whole.wav.shape == (1, 150 * HOP)
    assert torch.equal(whole.f0[0], torch.arange(150) + 1.0)


def test_the_bandwidth_is_what_the_recording_holds() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    assert bandwidth(noise, RATE) == pytest.approx(12000, abs=100)
    narrow = soxr.resample(noise, 16000, RATE)  # recorded at 16 kHz
    assert bandwidth(narrow, RATE) == pytest.approx(8000, abs=300)
    assert bandwidth(np.zeros(RATE, np.float32), RATE) == RATE / 2
    assert bandwidth(noise[:300], RATE) > 10000  # shorter than a window
