"""Small promises of the page that need no browser."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest

from errors import UserError
from tools.jobs.training import advice
from tools.web.tabs.convert import on_stage
from tools.web.tabs.convert_batch import unpacked
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
