"""The dataset report on real speech, whole and damaged in known ways."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from infer.audio.noise import signal_to_noise
from infer.audio.reader import load
from infer.audio.resampling import resample
from infer.audio.writer import AudioWriter
from infer.f0 import load_f0_method
from tools.cmd import dataset_report as command
from tools.datasets.measure import Measures, measure
from tools.datasets.report import DatasetReport, Recording, read_report, report_dataset

RATE = 16000


@pytest.fixture(scope="module")
def speech(root: Path) -> np.ndarray:
    return load(root / "assets/examples/english.flac", RATE)[0]


@pytest.fixture(scope="module")
def other_speech(root: Path) -> np.ndarray:
    return load(root / "assets/examples/italian.flac", RATE)[0]


Measured = Callable[..., Measures]


@pytest.fixture
def measured(tmp_path: Path) -> Measured:
    """Measures audio as if it had been recorded."""

    def measure_audio(audio: np.ndarray, rate: int = RATE) -> Measures:
        path = tmp_path / "recording.wav"
        soundfile.write(path, audio, rate, subtype="FLOAT")
        return measure(path, load_f0_method("swift"))

    return measure_audio


def noise_like(speech: np.ndarray, snr: float) -> np.ndarray:
    """White noise that lies snr dB under all of the speech."""
    noise = np.random.default_rng(0).standard_normal(len(speech)).astype(np.float32)
    return noise * np.sqrt(np.mean(speech**2)) * 10 ** (-snr / 20)


@pytest.mark.parametrize("snr", [20, 10, 0])
def test_known_noise_is_measured_to_three_decibels(
    measured: Measured, speech: np.ndarray, snr: float
) -> None:
    assert measured(speech).snr > 35
    assert abs(measured(speech + noise_like(speech, snr)).snr - snr) < 3


def test_noise_of_any_level_in_digital_silence_is_no_number_out_of_nowhere() -> None:
    assert signal_to_noise(np.zeros((100, 32), np.float32), 1e-9) == 0
    assert signal_to_noise(np.zeros((0, 32), np.float32), 1e-9) == 0


def test_clipping_is_counted_at_any_level(measured: Measured, speech: np.ndarray) -> None:
    ceiling = 0.15
    clipped = np.clip(speech, -ceiling, ceiling)
    share = np.mean(np.abs(speech) >= ceiling)
    assert share > 0.01
    assert measured(speech).clipped < 0.0003
    for level in (1.0, 1 / ceiling, 0.2):
        assert measured(clipped * level).clipped == pytest.approx(share, rel=0.15)


@pytest.mark.parametrize("edge", [4000, 7000])
def test_what_lies_above_a_low_pass_is_not_counted_as_bandwidth(
    measured: Measured, speech: np.ndarray, edge: int
) -> None:
    spectrum = np.fft.rfft(speech)
    spectrum[np.fft.rfftfreq(len(speech), 1 / RATE) > edge] = 0
    low_passed = np.fft.irfft(spectrum, len(speech)).astype(np.float32)
    assert abs(measured(low_passed).bandwidth - edge) < 200
    as_44100 = resample(low_passed, RATE, 44100)
    assert abs(measured(as_44100, 44100).bandwidth - edge) < 200


def test_loudness_is_that_of_the_standard_and_follows_the_level(
    measured: Measured, speech: np.ndarray
) -> None:
    seconds = np.arange(5 * 48000) / 48000
    sine = np.sin(2 * np.pi * 997 * seconds).astype(np.float32)
    assert measured(sine, 48000).loudness == pytest.approx(-3.01, abs=0.1)  # BS.1770-4
    assert measured(speech).loudness - measured(speech / 4).loudness == pytest.approx(
        12.04, abs=0.1
    )
    with_pause = np.concatenate([speech, np.zeros(20 * RATE, np.float32)])
    assert measured(with_pause).loudness == pytest.approx(measured(speech).loudness, abs=0.3)


def test_an_octave_up_is_an_octave_in_the_pitch(measured: Measured, speech: np.ndarray) -> None:
    median = [np.median(f0[f0 > 0]) for f0 in (measured(speech).f0, measured(speech, 2 * RATE).f0)]
    assert median[1] / median[0] == pytest.approx(2, rel=0.05)


def recording(report: DatasetReport, name: str) -> Recording:
    return next(each for each in report.recordings if each.path == name)


def test_each_damaged_file_is_named_with_its_fault(
    tmp_path: Path, speech: np.ndarray, other_speech: np.ndarray
) -> None:
    def write(name: str, audio: np.ndarray) -> None:
        soundfile.write(tmp_path / name, audio, RATE)

    write("clean.wav", speech)
    write("noisy.wav", speech[::-1] + noise_like(speech, 5))
    write("loud.wav", np.clip(other_speech * 12, -1, 1))
    write("silent.wav", np.zeros(2 * RATE))
    write("click.wav", np.pad(speech[20000:22000], 100))
    (tmp_path / "broken.wav").write_bytes(b"RIFF but nothing else")
    (tmp_path / "sub").mkdir()
    with AudioWriter(tmp_path / "sub/same.mp3", RATE) as writer:
        writer.write(speech * 0.5)
    write("sub/part.wav", other_speech[RATE : 5 * RATE])
    write("whole.wav", other_speech)
    report = report_dataset(tmp_path)
    problems = {each.path: each.problems for each in report.recordings}
    assert problems == {
        "broken.wav": ("report_file_unreadable",),
        "clean.wav": (),
        "click.wav": ("report_file_short",),
        "loud.wav": ("report_file_clipped",),
        "noisy.wav": ("report_file_noisy",),
        "silent.wav": ("report_file_silent",),
        "sub/part.wav": (),
        "sub/same.mp3": ("report_file_duplicate",),
        "whole.wav": ("report_file_duplicate",),
    }
    assert recording(report, "sub/same.mp3").repeats == "clean.wav"
    assert report.usable_minutes == pytest.approx(3 * 6.1 / 60, rel=0.2)
    shown = {finding.text for finding in report.findings}
    assert "report_minutes_too_few" in shown and "report_files_duplicate" in shown


def test_another_voice_among_many_recordings_of_one_is_suspected(
    tmp_path: Path, speech: np.ndarray, other_speech: np.ndarray
) -> None:
    for percent in range(91, 110, 3):  # one voice, a little higher and lower
        changed = resample(speech, 100, percent)
        soundfile.write(tmp_path / f"{percent:03}.flac", changed, RATE)
    soundfile.write(tmp_path / "stranger.flac", other_speech, RATE)
    report = report_dataset(tmp_path)
    suspected = {
        each.path for each in report.recordings if "report_file_other_voice" in each.problems
    }
    assert suspected == {"stranger.flac"}


def test_the_command_prints_the_advice_and_writes_a_report_that_reads_back(
    tmp_path: Path, speech: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = tmp_path / "数据 set"
    dataset.mkdir()
    soundfile.write(dataset / "one.wav", speech, RATE)
    soundfile.write(dataset / "silent.wav", np.zeros(RATE), RATE)
    file = tmp_path / "report.json"
    assert command.main(["--dataset", str(dataset), "--json", str(file)]) == 0
    printed = capsys.readouterr().out
    assert "one.wav" in printed and "too little for any voice" in printed
    assert json.loads(file.read_text(encoding="utf-8"))["recordings"][1]["loudness"] is None
    assert read_report(file) == report_dataset(dataset)
    assert command.main(["--dataset", str(tmp_path / "nowhere")]) == 1
    assert "nowhere" in capsys.readouterr().err


def test_every_sentence_of_a_report_has_a_text(root: Path) -> None:
    source = (root / "tools/datasets/report.py").read_text(encoding="utf-8")
    texts = json.loads((root / "tools/web/i18n/en/report.json").read_text(encoding="utf-8"))
    named = set(re.findall(r'"(report_[a-z_]+)"', source))
    named |= {
        f"report_{kind}_{q}" for kind in ("quality", "train") for q in ("clean", "fair", "noisy")
    }
    named |= {name.replace("_file_", "_files_") for name in named if "_file_" in name}
    assert named == texts.keys()


def test_a_minute_of_speech_takes_less_than_three_seconds(
    measured: Measured, speech: np.ndarray
) -> None:
    minute = np.tile(speech, 10)[: 60 * RATE]
    measured(speech)  # imports
    started = time.process_time()
    measured(minute)
    assert time.process_time() - started < 3
