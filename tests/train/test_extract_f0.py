import json

import numpy as np
import pytest
import soundfile

import train.extract_f0
from train.experiment import Experiment
from train.extract_f0 import extract_f0
from train.options import ExtractF0Options
from train.worker import WorkerError

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


def test_an_experiment_without_clips_says_what_comes_first(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"run train\.preprocess first"):
        extract_f0(options(Experiment(tmp_path / "none")))
    experiment = Experiment(tmp_path)
    experiment.write_config("lite", 24000, {"train": {}, "data": {}, "model": {}})
    with pytest.raises(WorkerError, match=r"run train\.preprocess first"):
        extract_f0(options(experiment))
