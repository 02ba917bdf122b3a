import json
import signal
from functools import partial

import numpy as np
import pytest
import soundfile
import torch

import train.clip_batches
import train.extract_f0
from train.clip_batches import clip_batches
from train.experiment import Experiment
from train.extract_f0 import extract_f0
from train.options import ExtractF0Options
from train.worker import Stopped, WorkerError

LENGTHS = {"0_0": 16000, "0_1": 8159, "0_2": 8160, "3_0": 4801}  # samples


def tone(length, frequency=200):
    return (0.4 * np.sin(2 * np.pi * frequency * np.arange(length) / 16000)).astype(np.float32)


@pytest.fixture
def experiment(tmp_path):
    experiment = Experiment(tmp_path / "mi")
    experiment.target_wavs.mkdir(parents=True)
    experiment.wavs_16k.mkdir()
    experiment.write_config("lite", 24000, {"train": {}, "data": {}, "model": {}})
    for clip, length in LENGTHS.items():
        soundfile.write(experiment.wav_16k(clip), tone(length), 16000, subtype="FLOAT")
        soundfile.write(experiment.target_wav(clip), tone(length), 24000, subtype="FLOAT")
    return experiment


@pytest.fixture
def methods(monkeypatch):
    """Replace the f0 methods by one that is fast; the list tells what was asked of it."""
    calls = []

    def load(name, device):
        def method(audio):
            calls.append((name, len(audio)))
            return np.linspace(0, 440, len(audio) // 160, dtype=np.float32)

        return method

    monkeypatch.setattr(train.extract_f0, "load_f0_method", load)
    return calls


def options(experiment, method="pm"):
    return ExtractF0Options(experiment=experiment.root, method=method, device="cpu")


def test_every_clip_gets_its_curves_at_100_frames_a_second(experiment):
    assert extract_f0(options(experiment)) == 4
    for clip, length in LENGTHS.items():
        f0 = np.load(experiment.f0_hz_file(clip))
        pitch = np.load(experiment.f0_coarse_file(clip))
        assert f0.shape == pitch.shape == (length // 160,)
        assert (f0.dtype, pitch.dtype) == (np.float64, np.int64)
        voiced = f0 > 0
        assert voiced.mean() > 0.6
        assert np.abs(f0[voiced] - 200).max() < 2
        assert (pitch[~voiced] == 1).all()
        assert (np.abs(pitch[voiced] - 54) <= 1).all()  # 200 Hz


def test_only_missing_curves_are_extracted(experiment, methods):
    assert extract_f0(options(experiment)) == 4
    assert extract_f0(options(experiment)) == 0
    experiment.f0_coarse_file("0_1").unlink()
    assert extract_f0(options(experiment)) == 1
    assert methods[4:] == [("pm", 8159)]


def test_another_method_begins_anew(experiment, methods):
    extract_f0(options(experiment))
    assert extract_f0(options(experiment, "dio")) == 4
    assert json.loads(experiment.f0_file.read_text()) == {"method": "dio"}


def test_one_bad_clip_does_not_stop_the_others_but_is_an_error(experiment, methods):
    experiment.wav_16k("0_1").write_text("no sound")
    with pytest.raises(WorkerError, match="1 of 4 clips failed: 0_1"):
        extract_f0(options(experiment))
    assert experiment.f0_hz_file("3_0").exists()
    assert not experiment.f0_hz_file("0_1").exists()


@pytest.fixture
def together(monkeypatch):
    """Clips in batches of two, by length, as a GPU has them; what was asked for at once."""
    calls = []

    class Method:
        refuses = False

        def __call__(self, audio):
            calls.append([len(audio)])
            return np.linspace(0, 440, len(audio) // 160, dtype=np.float32)

        def many(self, audios):
            calls.append([len(audio) for audio in audios])
            if self.refuses and len(audios) > 1:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return [np.linspace(0, 440, len(audio) // 160, dtype=np.float32) for audio in audios]

    method = Method()
    gpu = partial(clip_batches, device=torch.device("cuda"))
    monkeypatch.setattr(train.clip_batches, "CLIPS", 2)
    monkeypatch.setattr(
        train.extract_f0, "clip_batches", lambda folder, clips, _: gpu(folder, clips)
    )
    monkeypatch.setattr(train.extract_f0, "load_f0_method", lambda name, device: method)
    return method, calls


def curves(experiment):
    return {clip: np.load(experiment.f0_hz_file(clip)).tolist() for clip in LENGTHS}


def test_clips_are_taken_together_by_length_and_one_by_one_on_a_processor(experiment, together):
    _, calls = together
    assert extract_f0(options(experiment)) == 4
    assert calls == [[4801, 8159], [8160, 16000]]
    found = curves(experiment)
    assert {clip: len(f0) for clip, f0 in found.items()} == {
        clip: length // 160 for clip, length in LENGTHS.items()
    }
    assert clip_batches(experiment, list(LENGTHS), torch.device("cpu")) == [[c] for c in LENGTHS]


def test_a_batch_that_memory_refuses_is_done_clip_by_clip(experiment, together):
    method, calls = together
    method.refuses = True
    assert extract_f0(options(experiment)) == 4
    assert calls == [[4801, 8159], [4801], [8159], [8160, 16000], [8160], [16000]]


def test_a_bad_clip_costs_itself_alone_in_a_batch_too(experiment, together):
    experiment.wav_16k("3_0").write_text("no sound")
    with pytest.raises(WorkerError, match="1 of 4 clips failed: 3_0"):
        extract_f0(options(experiment))
    assert not experiment.f0_hz_file("3_0").exists()
    assert all(experiment.f0_hz_file(clip).exists() for clip in LENGTHS if clip != "3_0")


def test_a_stop_between_batches_loses_nothing_and_the_rest_is_the_same(
    experiment, together, monkeypatch
):
    extract_f0(options(experiment))
    unbroken = curves(experiment)
    for folder in (experiment.f0_hz, experiment.f0_coarse):
        for path in folder.iterdir():
            path.unlink()
    method, calls = together
    able, calls[:] = method.many, []

    def stops(audios):
        if calls:
            raise Stopped(signal.SIGTERM)
        return able(audios)

    monkeypatch.setattr(method, "many", stops)
    with pytest.raises(Stopped):
        extract_f0(options(experiment))
    monkeypatch.setattr(method, "many", able)
    assert extract_f0(options(experiment)) == 2
    assert calls == [[4801, 8159], [8160, 16000]]
    assert curves(experiment) == unbroken


def test_an_experiment_without_clips_says_what_comes_first(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"run train\.preprocess first"):
        extract_f0(options(Experiment(tmp_path / "none")))
    experiment = Experiment(tmp_path)
    experiment.write_config("lite", 24000, {"train": {}, "data": {}, "model": {}})
    with pytest.raises(WorkerError, match=r"run train\.preprocess first"):
        extract_f0(options(experiment))
