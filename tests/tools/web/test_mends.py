"""Small promises of the page that need no browser."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import gradio as gr
import pytest

from errors import UserError
from options import default_of
from tools.convert.client import Session
from tools.jobs.batch import Batches
from tools.jobs.jobs import Jobs
from tools.jobs.training import advice
from tools.web.frame import Frame
from tools.web.i18n import load_texts
from tools.web.tabs.convert import on_stage
from tools.web.tabs.convert_batch import BatchPanel, unpacked
from tools.web.tabs.convert_settings import NAMES, OPTIONS, PITCHES
from tools.web.train_work import experiment_of
from tools.web.views.curves import curve_svg


def test_a_zip_among_many_recordings_is_unpacked(
    tmp_path: Path, english: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    with zipfile.ZipFile(tmp_path / "both.zip", "w") as archive:
        archive.write(english, "inner/one.flac")
        archive.write(english, "two.flac")
        archive.writestr("readme.txt", "not a recording")
    found = unpacked([english, tmp_path / "both.zip"])
    assert [path.name for path in found] == ["english.flac", "one.flac", "two.flac"]
    assert all(path.is_file() for path in found)


def test_of_many_recordings_each_has_a_shift_of_its_own(
    root: Path, english: Path, monkeypatch: pytest.MonkeyPatch, shipped_voice: None
) -> None:
    begun: list[tuple[float | None, bool]] = []
    monkeypatch.setattr(
        Batches,
        "start",
        lambda batches, options, *more: begun.append((options.semitones, options.singing)),
    )
    with gr.Blocks() as page, gr.Tabs() as tabs, gr.Tab():
        panel = BatchPanel(Frame(page, tabs, load_texts(), Session(), Jobs()))
    given = {"semitones": 5, "index": "", "format": "wav"}
    settings = [given.get(name, default_of(OPTIONS[name])) for name in NAMES]
    for way in PITCHES:
        panel.begin("assets/lite/demo.pth", [str(english)], way, *settings)
    assert begun == [(None, False), (None, True), (5, False)]


def test_a_voice_without_a_name_is_asked_for_one() -> None:
    for name in (None, "", "  "):
        with pytest.raises(UserError, match="give the voice a name first"):
            experiment_of(name)


def test_the_first_measurements_promise_nothing() -> None:
    assert advice([0.8])[0] == advice([0.8, 0.7])[0] == "advice_first"
    assert advice([0.8, 0.7, 0.6])[0] == "advice_better"


def test_a_small_change_is_no_cliff() -> None:
    points = [(0.0, 0.781), (1.0, 0.776)]
    drawn = curve_svg(points, "loss").partition('polyline points="')[2].partition('"')[0]
    heights = [float(point.split(",")[1]) for point in drawn.split()]
    assert abs(heights[0] - heights[1]) < 20


def test_every_player_has_the_colours_of_the_page_and_every_notice_a_look(root: Path) -> None:
    styles = "".join(path.read_text("utf-8") for path in (root / "tools/web").rglob("*.css"))
    for path in (root / "tools/web").rglob("*.py"):
        source = path.read_text("utf-8")
        players = source.count("gr.Audio(") - source.count('gr.Audio(type="filepath"')  # uploads
        assert source.count("waveform_options=WAVEFORM") >= players or "api" in path.parts, path
        for classes in re.findall(r'<p class="([\w -]+)" role="alert"', source):
            assert all(f".{each} " in styles for each in classes.split()), (path, classes)


def test_a_browser_may_name_only_recordings_that_were_given_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    (tmp_path / "uploads").mkdir()
    for path in (tmp_path / "secret.wav", tmp_path / "uploads" / "own.wav"):
        path.touch()
        staged = {"a": {"file": {"path": str(path)}}, "b": None}
        assert on_stage(staged) == (str(path) if path.stem == "own" else "")
    for forged in (None, {}, {"a": None}, {"a": {"file": {"path": "uploads/../secret.wav"}}}):
        assert on_stage(forged) == ""
