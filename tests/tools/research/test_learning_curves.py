"""Points are planned once, made of the right recordings, kept, skipped and drawn."""

from __future__ import annotations

import json
import xml.etree.ElementTree as xml
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tools.datasets.learning_curves import Measured, Point, read_measured
from tools.research import judges
from tools.research import learning_curves as module
from tools.research.learning_curves import (
    LearningCurvesOptions,
    append_row,
    learning_curves,
    main,
    plan,
)
from train.recordings import find_recordings

RATE = 16000


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Six recordings of 1 s, tones of 100, 200 ... 600 Hz, so that each is known by its pitch."""
    folder = tmp_path / "data" / "mi" / "train"
    folder.mkdir(parents=True)
    for number in range(6):
        wave = 0.4 * np.sin(2 * np.pi * 100 * (number + 1) * np.arange(RATE) / RATE)
        soundfile.write(folder / f"{number}.wav", wave, RATE, subtype="FLOAT")
    return folder


def options(dataset: Path, **changes: object) -> LearningCurvesOptions:
    root = dataset.parents[2]
    values = {
        "speaker": "mi",
        "dataset": dataset,
        "sources": root / "sources",
        "target": root / "real",
        "data_minutes": 0.1,
        "minutes": "0.05,0.1,5",
        "work": root / "work",
        "output": root / "docs",
    }
    return LearningCurvesOptions(**{**values, **changes})


def test_every_point_is_planned_once_and_what_is_too_long_is_said(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    points = plan(options(dataset, noise="20", epochs="1", index_rates="0,0.5"), 0.1)
    assert points == [
        Point(0.05),
        Point(0.1),  # also the clean end of noise, and index rate 0.5
        Point(0.1, noise_db=20.0),
        Point(0.1, epoch=1),
        Point(0.1, index_rate=0.0),
    ]
    assert "0.1 minutes: 5 minutes, clean" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"vary": "minutes,pitch"}, "'pitch'"),
        ({"minutes": "1,x"}, "--minutes is '1,x'"),
        ({"index_rates": "-1"}, "--index-rates is '-1'"),
        ({"minutes": "9", "vary": "minutes"}, "too short for every point"),
    ],
)
def test_what_cannot_be_measured_is_one_line(
    dataset: Path, change: dict[str, str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = options(dataset, **change)
    with pytest.raises(ValueError, match=told):
        plan(given, 0.1)


def pitches(folder: Path) -> dict[int, float]:
    """Seconds of each tone in a folder."""
    found = {}
    for path in folder.iterdir():
        wave, rate = soundfile.read(path)
        hz = int(np.argmax(np.abs(np.fft.rfft(wave, RATE)))) * rate // RATE
        found[round(hz / 100) * 100] = len(wave) / rate
    return found


def test_fewer_minutes_are_part_of_more_and_are_exact(dataset: Path, tmp_path: Path) -> None:
    recordings = find_recordings(dataset, leave_out=tmp_path / "none")
    module.write_dataset(recordings, tmp_path / "few", Point(2.5 / 60), seed=0)
    module.write_dataset(recordings, tmp_path / "more", Point(5 / 60), seed=0)
    few, more = pitches(tmp_path / "few"), pitches(tmp_path / "more")
    assert sorted(few.values()) == [0.5, 1, 1]
    assert sum(more.values()) == 5
    assert few.keys() < more.keys()
    assert not list(tmp_path.glob("*.part"))


def test_noise_is_added_at_its_ratio_and_is_the_same_again(dataset: Path, tmp_path: Path) -> None:
    recordings = find_recordings(dataset, leave_out=tmp_path / "none")
    point = Point(3 / 60, noise_db=10.0)
    module.write_dataset(recordings, tmp_path / "a", point, seed=0)
    module.write_dataset(recordings, tmp_path / "b", point, seed=0)
    module.write_dataset(recordings, tmp_path / "clean", Point(3 / 60), seed=0)
    for path in (tmp_path / "a").iterdir():
        noisy, _ = soundfile.read(path)
        clean, _ = soundfile.read(tmp_path / "clean" / path.name)
        gain = noisy @ clean / (clean @ clean)  # it is turned down where it would clip
        ratio = np.sum((gain * clean) ** 2) / np.sum((noisy - gain * clean) ** 2)
        assert 10 * np.log10(ratio) == pytest.approx(10, abs=0.3)
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


FIGURES = {
    "word error rate source": 0.05,
    "word error rate converted": 0.08,
    "similarity target, levelled": 0.8,
    "similarity source clip, levelled": 0.6,
    "dnsmos converted": 3.2,
    "f0 correlation": 0.99,
}


def test_what_is_measured_is_not_measured_again_but_drawn(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = options(dataset, vary="minutes,noise", noise="20")
    given.output.mkdir()
    settings = module._settings(given)
    points = (Point(0.05), Point(0.1), Point(0.1, noise_db=20.0))
    for point in points:
        append_row(given.output / "points.jsonl", settings, point, FIGURES)
    learning_curves(given)
    assert "learning_curves 3/3" in capsys.readouterr().out
    assert not given.work.exists()
    for name, labels in {"minutes": ["0.05", "0.1"], "noise": ["∞ dB", "20 dB"]}.items():
        tree = xml.parse(given.output / f"{name}.svg")
        texts = tree.iter("{http://www.w3.org/2000/svg}text")
        below = [text.text for text in texts if text.get("text-anchor") == "middle"]
        assert [text for text in below if text in labels] == 4 * labels  # words ... melody
    told = (given.output / "README.md").read_text(encoding="utf-8")
    assert "![minutes of recordings](minutes.svg)" in told and "epochs.svg" not in told
    assert "| 0.1 | 0.080 | 0.050 | 0.800 | 0.600 |  | 3.200 | 0.990 |" in told
    assert str(dataset.parents[2]) not in told
    assert "--dataset data/mi/train --sources data/sources --target data/mi/real" in told


def test_a_row_after_half_a_line_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "points.jsonl"
    append_row(file, {"steps": 1}, Point(1), FIGURES)
    with file.open("a") as table:
        table.write('{"half a li')
    append_row(file, {"steps": 1}, Point(2), FIGURES)
    assert [point for point, _ in read_measured(file).rows] == [Point(1), Point(2)]


def test_points_of_other_settings_are_not_mixed_in(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = options(dataset)
    given.output.mkdir()
    file = given.output / "points.jsonl"
    append_row(file, {**module._settings(given), "steps": 7}, Point(0.1), FIGURES)
    with pytest.raises(ValueError, match="'steps': 7.*remove it, or choose another --output"):
        learning_curves(given)
    file.write_text(json.dumps({"a": 1}) + "\n")
    with pytest.raises(ValueError, match="holds no measured points"):
        read_measured(file)


def test_curves_take_only_the_points_that_are_theirs() -> None:
    points = [
        Point(10, index_rate=1.0), Point(10), Point(20), Point(10, noise_db=10),
        Point(10, epoch=2), Point(10, noise_db=20), Point(5), Point(20, noise_db=10),
        Point(10, epoch=1), Point(10, index_rate=0),
    ]  # fmt: skip
    measured = Measured({"data_minutes": 10.0}, [(point, {}) for point in points])
    labels = {name: [label for label, _ in measured.curve(name)] for name in module.CURVES}
    assert labels == {
        "minutes": ["5", "10", "20"],
        "noise": ["∞ dB", "20 dB", "10 dB"],
        "epochs": ["1", "2"],
        "index": ["0", "0.5", "1"],
    }


@pytest.mark.slow
def test_a_voice_is_trained_and_judged_for_each_point(
    english: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(judge: str) -> None:
        raise ImportError(f"needs the package of {judge}")

    monkeypatch.setattr(judges, "load_judge", missing)
    speech, rate = soundfile.read(english)
    for folder in ("train", "sources", "real"):
        (tmp_path / folder).mkdir()
        soundfile.write(tmp_path / folder / "a.flac", speech, rate)
    argv = ["--speaker", "mi", "--steps", "1", "--data-minutes", "0.1", "--epochs", "1,2"]
    for name, folder in {"dataset": "train", "sources": "sources", "target": "real"}.items():
        argv += [f"--{name}", str(tmp_path / folder)]
    argv += ["--work", str(tmp_path / "work"), "--output", str(tmp_path / "docs")]
    argv += ["--vary", "epochs,index", "--index-rates", "0,1", "--memory", str(tmp_path / "said")]
    assert main(argv) == 0
    measured = read_measured(tmp_path / "docs" / "points.jsonl")
    assert [label for label, _ in measured.curve("epochs")] == ["1", "2"]
    assert [label for label, _ in measured.curve("index")] == ["0", "1"]
    high = [figures["energy above 8 kHz, dB"] for _, figures in measured.rows]
    assert len(set(high)) == 4  # four different conversions
