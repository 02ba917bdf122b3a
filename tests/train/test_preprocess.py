import json
import logging
import os
import shlex
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

import train.preprocess
from infer.audio.resampling import resample
from tests.golden.arrays import read_golden
from train.experiment import Experiment, write_json
from train.options import PreprocessOptions, command, parse_options
from train.preprocess import find_fault, normalize, preprocess
from train.worker import WorkerError

ROOT = Path(train.preprocess.__file__).parents[1]
RATE = 24000


def tone(seconds, amplitude=0.4, rate=RATE, frequency=220):
    time = np.arange(round(seconds * rate)) / rate
    return (amplitude * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


@pytest.fixture
def dataset(tmp_path):
    """Two usable recordings, six unusable ones, two files of other kinds."""
    folder = tmp_path / "data set"
    (folder / "部分").mkdir(parents=True)
    soundfile.write(folder / "a.wav", tone(9, rate=44100), 44100)
    soundfile.write(folder / "部分" / "b.flac", np.stack([tone(2), tone(2)], axis=1), RATE)
    soundfile.write(folder / "silent.wav", np.zeros(RATE), RATE)
    soundfile.write(folder / "clipped.wav", np.clip(tone(2, 5.0), -1, 1), RATE)
    soundfile.write(folder / "short.wav", tone(0.2), RATE)
    damaged = tone(2)
    damaged[RATE] = np.nan
    soundfile.write(folder / "nan.wav", damaged, RATE, subtype="FLOAT")
    (folder / "text.wav").write_text("this is no sound\n" * 100)
    (folder / "empty.mp3").touch()
    (folder / "notes.txt").write_text("about the recordings")
    (folder / "._a.wav").write_bytes(b"\0\5\26\7")
    return folder


@pytest.fixture
def options(dataset, tmp_path):
    return PreprocessOptions(experiment=tmp_path / "logs" / "mi", dataset=dataset)


def wavs(experiment):
    return {path: path.stat().st_mtime_ns for path in sorted(experiment.target_wavs.iterdir())}


def test_recordings_become_float_clips_at_both_rates(options):
    assert preprocess(options) == 4
    experiment = Experiment(options.experiment)
    assert experiment.clips() == ["0_0", "0_1", "0_2", "7_0"]  # numbers by name, skipped ones too
    for clip in experiment.clips():
        target = soundfile.info(experiment.target_wav(clip))
        low = soundfile.info(experiment.wav_16k(clip))
        assert (target.samplerate, low.samplerate) == (RATE, 16000)
        assert target.channels == low.channels == 1
        assert target.subtype == low.subtype == "FLOAT"
        assert low.duration == pytest.approx(target.duration, abs=1e-4)
        wav, _ = soundfile.read(experiment.target_wav(clip))
        assert np.abs(wav).max() == pytest.approx(0.675 + 0.25 * 0.4, abs=0.05)
    config = experiment.read_config()
    assert (config["version"], config["sample_rate"]) == ("lite", RATE)
    assert config["data"]["sample_rate"] == RATE


def test_every_unusable_recording_is_listed_with_its_reason(options, caplog):
    caplog.set_level(logging.INFO)
    preprocess(options)
    reasons = {
        Path(s.path).name: s.reason for s in Experiment(options.experiment).read_sources().values()
    }
    assert reasons["silent.wav"].startswith("silent")
    assert reasons["clipped.wav"].startswith("clipped")
    assert reasons["short.wav"].startswith("too short")
    assert reasons["nan.wav"].startswith("unreadable (NaN")
    assert reasons["text.wav"].startswith("unreadable (not an audio")
    assert reasons["empty.mp3"].startswith("unreadable (the file is empty")
    assert reasons["a.wav"] == reasons["b.flac"] == ""
    assert set(reasons) == {
        "a.wav",
        "b.flac",
        "silent.wav",
        "clipped.wav",
        "short.wav",
        "nan.wav",
        "text.wav",
        "empty.mp3",
    }
    for name, reason in reasons.items():
        if reason:
            assert f"{name}: {reason}" in caplog.text
    assert "2 recordings gave 4 clips" in caplog.text
    assert (
        "skipped: 3 unreadable, 1 of other kinds, 1 clipped, 1 too short, 1 silent" in caplog.text
    )


def test_a_second_run_does_nothing_again(options):
    preprocess(options)
    experiment = Experiment(options.experiment)
    before = wavs(experiment)
    assert preprocess(options) == 4
    assert wavs(experiment) == before


def test_later_recordings_get_higher_numbers(options, dataset):
    preprocess(options)
    experiment = Experiment(options.experiment)
    before = wavs(experiment)
    soundfile.write(dataset / "00.wav", tone(1), RATE)
    assert preprocess(options) == 5
    assert experiment.clips()[-1] == "8_0"
    assert wavs(experiment).items() > before.items()


def test_a_changed_recording_is_cut_again_and_a_deleted_one_is_forgotten(options, dataset):
    preprocess(options)
    soundfile.write(dataset / "a.wav", tone(1), RATE)
    (dataset / "部分" / "b.flac").unlink()
    assert preprocess(options) == 1
    assert Experiment(options.experiment).clips() == ["8_0"]


def test_a_second_dataset_can_be_another_speaker(options, dataset, tmp_path):
    preprocess(options)
    other = tmp_path / "other.wav"
    soundfile.write(other, tone(5), RATE)
    assert preprocess(replace(options, dataset=other, speaker=3)) == 2
    speakers = Experiment(options.experiment).speakers()
    assert speakers == {"0_0": 0, "0_1": 0, "0_2": 0, "7_0": 0, "8_0": 3, "8_1": 3}
    preprocess(replace(options, speaker=1))
    assert Experiment(options.experiment).speakers() == {
        "0_0": 1,
        "0_1": 1,
        "0_2": 1,
        "7_0": 1,
        "8_0": 3,
        "8_1": 3,
    }


def test_an_interrupted_recording_is_cut_anew(options, monkeypatch):
    write_clip = train.preprocess._write_clip

    def stop_at_second_clip(experiment, clip, *args):
        if clip == "0_1":
            raise KeyboardInterrupt
        write_clip(experiment, clip, *args)

    monkeypatch.setattr(train.preprocess, "_write_clip", stop_at_second_clip)
    with pytest.raises(KeyboardInterrupt):
        preprocess(options)
    experiment = Experiment(options.experiment)
    assert experiment.clips() == ["0_0"]
    monkeypatch.undo()
    experiment.target_wav("0_9").touch()  # what another version of the program might have left
    experiment.wav_16k("0_9").touch()
    assert preprocess(options) == 4
    assert experiment.clips() == ["0_0", "0_1", "0_2", "7_0"]


def test_clips_made_by_rvc_are_left_alone(options):
    experiment = Experiment(options.experiment)
    for path in (experiment.target_wav("4_0"), experiment.wav_16k("4_0")):
        path.parent.mkdir(parents=True)
        soundfile.write(path, tone(1), RATE)
    preprocess(options)
    assert experiment.clips() == ["4_0", "5_0", "5_1", "5_2", "12_0"]


def test_another_rate_is_refused_with_the_way_out(options):
    preprocess(options)
    with pytest.raises(ValueError, match="lite at 24000 Hz, not lite at 40000 Hz") as error:
        preprocess(replace(options, sample_rate=40000))
    argv = shlex.split(str(error.value).split(": ", 1)[1])  # the way out is a command that works
    assert "--reuse" in argv
    assert preprocess(parse_options(PreprocessOptions, argv[3:])) == 4
    with pytest.raises(ValueError, match="v2 at 40000 Hz"):
        preprocess(replace(options, version="v2", sample_rate=40000))


def test_f0_and_features_of_equal_clips_are_reused(options, tmp_path, caplog):
    preprocess(options)
    old = Experiment(options.experiment)
    for folder in (old.f0_hz, old.f0_coarse, old.content(513), old.content(513, 1)):
        folder.mkdir()
    for clip in old.clips():
        frames = soundfile.info(old.wav_16k(clip)).frames // 160
        np.save(old.f0_hz_file(clip), np.full(frames, 220.0))
        np.save(old.f0_coarse_file(clip), np.ones(frames, np.int64))
        for version in (0, 1):
            np.save(old.content_file(clip, 513, version), np.ones((frames // 2, 513), np.float32))
    write_json(old.f0_file, {"method": "swift"})
    old.statistics_file(0).write_bytes(b"statistics")
    other = soundfile.read(old.wav_16k("0_1"))[0][::-1]  # not what the new clip will be
    soundfile.write(old.wav_16k("0_1"), other, 16000, subtype="FLOAT")
    new = tmp_path / "logs" / "mi-40k"
    with caplog.at_level("INFO"):
        preprocess(replace(options, experiment=new, sample_rate=40000, reuse=old.root))
    new = Experiment(new)
    assert "f0 and features of 3 of 4 clips copied" in caplog.text
    assert new.f0_hz_file("7_0").read_bytes() == old.f0_hz_file("7_0").read_bytes()
    assert new.content_file("0_0", 513, 1).is_file() and not new.f0_hz_file("0_1").exists()
    assert new.statistics_file(0).read_bytes() == b"statistics"
    assert soundfile.info(new.target_wav("0_0")).samplerate == 40000


def test_a_voice_without_f0_is_decided_here(options):
    with pytest.raises(ValueError, match="a lite voice always follows the melody"):
        preprocess(replace(options, use_f0=False))
    asked = replace(options, version="v2", sample_rate=48000, use_f0=False)
    preprocess(asked)
    assert Experiment(options.experiment).read_config()["model"]["use_f0"] is False
    with pytest.raises(ValueError, match="v2 at 48000 Hz without f0, not v2 at 48000 Hz"):
        preprocess(replace(asked, use_f0=True))


def test_levelling_gives_the_references_numbers():
    golden = read_golden("preprocess_40k")
    made = normalize(golden["norm_in"])
    assert made.dtype == np.float32
    assert np.abs(made - golden["norm_out"]).max() < 1e-6
    assert np.abs(resample(made, 40000, 16000) - golden["norm_16k"]).max() < 1e-3


def test_the_rate_may_change_while_there_is_nothing_to_lose(options, dataset):
    silent = replace(options, dataset=dataset / "silent.wav", sample_rate=40000)
    with pytest.raises(WorkerError):
        preprocess(silent)
    assert preprocess(options) == 4
    assert Experiment(options.experiment).read_config()["sample_rate"] == RATE


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("silent.wav", r"nothing usable in .*silent\.wav: 1 silent"),
        ("clipped.wav", "nothing usable in .*: 1 clipped"),
        ("text.wav", "nothing usable in .*: 1 unreadable"),
        ("nothing", "no dataset .*nothing; give a folder"),
    ],
)
def test_nothing_usable_is_an_error_that_says_why(name, message, options, dataset):
    with pytest.raises((WorkerError, FileNotFoundError), match=message):
        preprocess(replace(options, dataset=dataset / name))


def test_a_folder_without_recordings_makes_no_experiment(options, tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").touch()
    with pytest.raises(WorkerError, match="holds no recording, only 1 files of other kinds"):
        preprocess(replace(options, dataset=folder))
    assert not options.experiment.exists()


@pytest.mark.slow
def test_several_processes_make_the_same_clips(options, tmp_path):
    preprocess(options)
    parallel = replace(options, experiment=tmp_path / "logs" / "parallel", processes=2)
    assert preprocess(parallel) == 4
    first, second = Experiment(options.experiment), Experiment(parallel.experiment)
    assert first.clips() == second.clips()
    for clip in first.clips():
        a, _ = soundfile.read(first.target_wav(clip))
        b, _ = soundfile.read(second.target_wav(clip))
        assert np.array_equal(a, b)


def test_a_long_recording_is_read_in_sections_without_a_seam(options, dataset, monkeypatch):
    soundfile.write(dataset / "a.wav", tone(26) + 0.2, RATE)  # the offset would show the seam
    one = replace(options, dataset=dataset / "a.wav")
    sections = list(train.preprocess._sections(dataset / "a.wav", RATE, False))
    monkeypatch.setattr(train.preprocess, "SECTION_SECONDS", 10.0)
    shorter = list(train.preprocess._sections(dataset / "a.wav", RATE, False))
    assert (len(sections), len(shorter)) == (1, 3)
    filtered = np.concatenate([high_passed for _, high_passed in shorter])
    assert np.abs(filtered - sections[0][1]).max() < 1e-5
    assert preprocess(one) == 3 + 3 + 2


def test_a_clip_is_brought_three_quarters_of_the_way_to_the_common_peak():
    clip = np.array([0.0, 0.2, -0.5], np.float64)
    assert np.allclose(normalize(clip), 0.675 * clip / 0.5 + 0.25 * clip, atol=1e-7)
    assert normalize(clip).dtype == np.float32


@pytest.mark.parametrize(
    ("peak", "fault"), [(0.0, "silent"), (2.5, ""), (2.6, "overloaded"), (1e-4, "")]
)
def test_broken_peaks_are_faults(peak, fault):
    clip = tone(1, 1.0) * np.float32(peak / np.abs(tone(1, 1.0)).max())
    assert find_fault(clip.astype(np.float64), clip * 0, RATE).split(" (")[0] == fault


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to catch")
def test_a_stopped_run_goes_on_with_the_same_command(options, dataset):
    for i in range(10):
        soundfile.write(dataset / f"c{i:02}.wav", tone(20), RATE)
    process = subprocess.Popen(
        command(options), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (143, "stopped; run the same command to go on\n")
    result = subprocess.run(command(options), cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1].startswith("preprocess 18/18 (100%)")
    clips = Experiment(options.experiment).clips()
    assert len(clips) == 4 + 10 * 6
    assert not list(options.experiment.rglob("*.part"))
    lines = Experiment(options.experiment).sources_file.read_text().splitlines()
    assert all(json.loads(line) for line in lines)
