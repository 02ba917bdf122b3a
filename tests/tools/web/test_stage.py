"""The stage in a browser: what is heard, seen, pressed and read out of it."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from infer.f0 import load_f0_method
from tests.tools.web.conftest import STAGE, WIDTHS, Opens, settle
from tests.tools.web.test_page import faults_of, violations
from tools.convert.listen import listen
from tools.web.i18n import read_texts

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect

pytestmark = pytest.mark.usefixtures("shipped_voice")


def state(page: Any) -> dict[str, Any]:
    return page.evaluate(STAGE)


def wait_for(page: Any, condition: str) -> None:
    page.wait_for_function(f"{STAGE}.{condition}")


@pytest.fixture
def quiet_speech(english: Path, tmp_path: Path) -> Path:
    audio, rate = soundfile.read(english)
    soundfile.write(tmp_path / "quiet speech.wav", audio * 0.1, rate)
    return tmp_path / "quiet speech.wav"


@pytest.fixture
def made(data: Path) -> Iterator[None]:
    yield
    shutil.rmtree(data / "results", ignore_errors=True)


def test_recording_and_result_share_one_playhead_and_are_equally_loud(
    opened: Opens, quiet_speech: Path, data: Path, made: None
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing")
    page = opened()
    page.locator("input[type=file]").first.set_input_files(quiet_speech)
    wait_for(page, "curves.a > 0")
    expect(page.get_by_text("The recording is very quiet")).to_be_visible()
    page.get_by_role("button", name="More settings").click()
    page.get_by_label("Loudness").first.fill("1")  # as the voice speaks: louder
    page.get_by_role("button", name="Convert", exact=True).click()
    wait_for(page, "curves.b > 0")
    assert state(page)["heard"] == "b"
    page.get_by_role("button", name="Play (Space)").click()
    page.locator("body").click(position={"x": 2, "y": 2})  # nothing has the focus
    wait_for(page, "position > 0.2")
    before = state(page)
    page.keyboard.press("x")
    wait_for(page, "gains.a > 0.9")
    after = state(page)
    assert [before["heard"], after["heard"]] == ["b", "a"]
    assert after["gains"]["b"] < 0.05
    # the same sound goes on: what has passed since is what the clock of the sound says
    assert after["position"] - before["position"] == pytest.approx(
        after["clock"] - before["clock"], abs=1e-6
    )
    page.keyboard.press("Space")
    assert not state(page)["isPlaying"]

    (result,) = (data / "results").glob("quiet speech_*.wav")
    levels = [listen(path, load_f0_method("pm"))["loudness_db"] for path in (quiet_speech, result)]
    assert levels[1] - levels[0] > 3
    turned_down = 20 * math.log10(max(before["gains"]["b"], 1e-6))
    assert turned_down == pytest.approx(levels[0] - levels[1], abs=0.3)

    for shade in ("light", "dark"):
        assert list(violations(page, axe.Axe())) == [], shade
        page.get_by_role("button", name="Light / dark").click()


def test_a_pitch_that_is_drawn_of_the_first_minute_only_says_so(
    opened: Opens, english: Path, tmp_path: Path
) -> None:
    audio, rate = soundfile.read(english)
    soundfile.write(tmp_path / "long.wav", np.resize(audio, 64 * rate), rate)
    page = opened()
    page.locator("input[type=file]").first.set_input_files(tmp_path / "long.wav")
    expect(page.get_by_text("in its first minute, which is drawn")).to_be_visible()


def test_the_stage_is_used_with_keys_and_pointer_and_read_out(opened: Opens) -> None:
    page = opened()
    page.get_by_role("button", name="Italian, a man").click()
    wait_for(page, "curves.a > 0")
    slider = page.get_by_role("slider", name="Position")
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert state(page)["position"] == pytest.approx(2)
    assert slider.get_attribute("aria-valuetext") == "0:02.0 of 0:06.4, Recording is heard"
    page.keyboard.press("Shift+ArrowRight")
    assert state(page)["part"] == pytest.approx([2, 3])
    page.keyboard.press("Space")
    wait_for(page, "isPlaying")
    wait_for(page, "position < 2.9 && !document.querySelector('.stage').stage.state().isPlaying")
    assert state(page)["position"] == pytest.approx(2)  # the part was played, and it waits again
    page.keyboard.press("Escape")
    assert state(page)["part"] is None

    box = slider.bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.5, box["y"] + 30)
    middle = state(page)["position"]
    assert 2.5 < middle < 3.6
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + 30, steps=3)
    page.mouse.up()
    assert state(page)["part"] == pytest.approx([middle, middle * 1.5], abs=0.3)
    page.get_by_role("button", name="中文").click()
    expect(page.get_by_role("slider", name="播放位置")).to_be_visible()
    expect(page.get_by_text("录音，约", exact=False)).to_be_visible()
    page.get_by_role("button", name="换一个录音").click()
    expect(page.locator(".stage")).to_be_hidden()


def test_the_pitch_is_drawn_by_hand_and_a_part_is_made_again(
    opened: Opens, data: Path, made: None
) -> None:
    page = opened()
    page.get_by_role("button", name="Italian, a man").click()
    page.get_by_text("shifted by").first.wait_for()
    page.get_by_label("Semitones").first.fill("0")
    page.get_by_role("button", name="Convert", exact=True).click()
    wait_for(page, "curves.b > 0")
    page.get_by_role("button", name="Edit pitch").click()
    wait_for(page, "melody")
    measured = state(page)["melody"]
    voiced = [hz for hz in measured if hz > 0]
    assert len(voiced) > 200 and min(voiced) > 50

    slider = page.get_by_role("slider", name="Position")
    box = slider.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.30, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.50, box["y"] + 20, steps=3)
    page.mouse.up()
    first, last = (round(second, 3) for second in state(page)["part"])
    page.get_by_role("button", name="Octave up").click()
    slider.focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Control+z")
    now = state(page)["melody"]
    for i, (before, after) in enumerate(zip(measured, now, strict=True)):
        inside = first + 0.02 < i / 100 < last - 0.02
        if inside or not first - 0.02 < i / 100 < last + 0.02:
            assert after == pytest.approx(before * (2 if inside else 1), rel=1e-5), i
    page.get_by_role("button", name="Do this part again").click()
    page.get_by_text("pitch by hand").first.wait_for()
    page.get_by_text("The same from a terminal").click()
    command = page.locator(".command textarea").first.input_value()
    assert "--f0-file" in command and f"--from {first} --to {last}" in command
    results = (data / "results").glob("italian*.wav")
    old, new = sorted(results, key=lambda path: path.stat().st_mtime)
    (one, rate), (other, _) = soundfile.read(old), soundfile.read(new)
    changed = np.flatnonzero(one != other) / rate
    assert first <= changed[0] and changed[-1] <= last  # not a bit beside the part
    f0 = [np.array(listen(path, load_f0_method("swift"))["f0"]) for path in (old, new)]
    inside = slice(round(100 * first) + 5, round(100 * last) - 5)
    both = (f0[0][inside] > 0) & (f0[1][inside] > 0)
    octave = np.median(np.log2(f0[1][inside][both] / f0[0][inside][both]))
    assert octave == pytest.approx(1, abs=0.05)

    page.get_by_role("button", name="Back to the take before").click()
    expect(page.get_by_role("button", name="Back to the take before")).to_be_hidden()
    page.get_by_role("button", name="As measured").click()
    assert state(page)["melody"] == measured and state(page).get("edited") is None
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 100, steps=5)
    page.mouse.up()  # drawn level, but only where something was voiced
    pairs = zip(measured, state(page)["melody"], strict=True)
    drawn = {round(after, 2) for before, after in pairs if after != before}
    assert len(drawn) == 1
    page.get_by_role("button", name="Convert", exact=True).click()
    page.wait_for_function(
        "document.querySelector('.command textarea').value.includes('--f0-file')"
        " && !document.querySelector('.command textarea').value.includes('--into')"
    )
    page.get_by_text("pitch by hand").nth(1).wait_for()


def drag(page: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag over the stage: shares of its width, pixels from its top."""
    slider = page.get_by_role("slider", name="Position")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    (x, y), (to_x, to_y) = start, end
    page.mouse.move(box["x"] + box["width"] * x, box["y"] + y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * to_x, box["y"] + to_y, steps=4)
    page.mouse.up()


def test_the_tools_of_the_pitch_do_what_they_say(opened: Opens) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing")
    page = opened()
    page.get_by_role("button", name="Italian, a man").click()
    page.get_by_text("shifted by").first.wait_for()
    page.get_by_role("button", name="Edit pitch").click()
    wait_for(page, "melody")
    tool = page.get_by_role("toolbar").get_by_role("button")

    def melody() -> np.ndarray:
        return np.array(state(page)["melody"])

    def roughness(f0: np.ndarray) -> float:
        steps = np.abs(np.diff(np.log2(np.where(f0 > 0, f0, np.nan))))
        return float(np.nanmean(steps))

    measured = melody()
    tool.get_by_text("Smooth").click()
    smooth = melody()
    assert ((smooth > 0) == (measured > 0)).all()
    assert roughness(smooth) < 0.6 * roughness(measured)
    assert abs(np.log2(np.median(smooth[smooth > 0]) / np.median(measured[measured > 0]))) < 0.05
    tool.get_by_text("Undo").click()
    assert (melody() == measured).all()

    tool.get_by_text("Unvoiced").click()
    expect(page.locator(".stage-note")).to_have_text(read_texts()["en"]["stage_part_first"])
    assert (melody() == measured).all()
    drag(page, (0.3, 20), (0.5, 20))  # over the wave: a part is chosen
    first, last = state(page)["part"]
    tool.get_by_text("Unvoiced").click()
    breath, times = melody(), np.arange(len(measured)) / 100
    inside = (times > first + 0.02) & (times < last - 0.02)
    outside = (times < first - 0.02) | (times > last + 0.02)
    assert measured[inside].any() and not breath[inside].any()
    assert (breath[outside] == measured[outside]).all()

    page.keyboard.press("Escape")
    page.get_by_role("slider", name="Position").press("Escape")
    assert state(page)["part"] is None
    drag(page, (0.34, 100), (0.46, 100))  # nothing is voiced there, so nothing is drawn
    assert (melody() == breath).all()
    page.keyboard.down("Shift")
    drag(page, (0.34, 100), (0.46, 100))
    page.keyboard.up("Shift")
    drawn = melody()
    changed = np.flatnonzero(drawn != breath)
    assert (np.diff(changed) == 1).all() and len(changed) == pytest.approx(
        0.6 * 100 * (last - first), rel=0.1
    )
    assert len(set(drawn[changed].round(2))) == 1 and not breath[changed].any()

    drag(page, (0.6, 20), (0.9, 20))
    first, last = state(page)["part"]
    drag(page, (0.75, 150), (0.75, 120))  # inside the part it moves that up
    moved = melody()
    inside = (times > first + 0.02) & (times < last - 0.02) & (drawn > 0)
    ratio = moved[inside] / drawn[inside]
    assert ratio.min() == pytest.approx(ratio.max(), rel=1e-4) and ratio[0] > 1.05
    assert (moved[times < first - 0.02] == drawn[times < first - 0.02]).all()
    page.get_by_role("button", name="中文").click()
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        settle(page)
        assert list(faults_of(page, axe.Axe(), "zh-CN", width)) == []


def test_a_pitch_that_was_drawn_comes_back_with_the_settings_of_its_take(
    opened: Opens, data: Path, made: None
) -> None:
    page = opened()
    page.get_by_role("button", name="Italian, a man").click()
    page.get_by_text("shifted by").first.wait_for()
    page.get_by_role("button", name="Edit pitch").click()
    wait_for(page, "melody")
    page.get_by_role("button", name="Octave up").click()
    page.get_by_label("Semitones").first.fill("-3")
    page.get_by_role("button", name="Convert", exact=True).click()
    page.get_by_text("pitch by hand").first.wait_for()
    (before,) = (data / "results").glob("italian*.wav")
    melody = state(page)["melody"]
    settle(page)
    page.reload()
    page.get_by_label("These settings again").first.click()
    wait_for(page, "edited")
    assert state(page)["melody"] == pytest.approx(melody, rel=1e-3)
    expect(page.get_by_label("Semitones").first).to_have_value("-3")
    expect(page.get_by_label("By hand")).to_be_checked()
    page.get_by_text("would fit").first.wait_for()
    page.get_by_role("button", name="Convert", exact=True).click()
    page.get_by_text("pitch by hand").nth(1).wait_for()
    (again,) = set((data / "results").glob("italian*.wav")) - {before}
    assert again.read_bytes() == before.read_bytes()
