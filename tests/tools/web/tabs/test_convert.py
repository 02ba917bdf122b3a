"""The Convert tab: real speech through the real page, and what comes back is measured."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from infer.audio.reader import load
from infer.f0 import load_f0_method
from tests.tools.conftest import WAIT_MS, wait_until
from tests.tools.songs.test_video import make_video
from tests.tools.web.conftest import STAGE, Opens, start_browser, watched
from tools.convert.listen import listen
from tools.machine.environment import page_environment

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect

pytestmark = pytest.mark.usefixtures("shipped_voice")


def button(page: Any, name: str) -> Any:
    return page.get_by_role("button", name=name, exact=True)


@pytest.fixture
def made(data: Path) -> Iterator[list[Path]]:
    """Results to delete at the end."""
    before = set((data / "results").glob("*"))
    listed: list[Path] = []
    yield listed
    for path in set((data / "results").glob("*")) - before:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def convert(page: Any, root: Path) -> Path:
    """Press Convert and wait; gives the file that was made."""
    said = page.locator(".summary code:visible")
    before = said.inner_text() if said.count() else ""
    button(page, "Convert").click()
    expect(said).to_have_text(
        re.compile(r"results.+\.\w+" if not before else f"^(?!{re.escape(before)}$).+")
    )
    return root / said.inner_text()


def f0_of(path: Path) -> np.ndarray:
    """Melody of a recording: (T,) Hz, 100 a second at most a minute."""
    heard = listen(path, load_f0_method("swift"))
    assert heard["f0_step"] == 0.01
    return np.array(heard["f0"])


def test_an_upload_comes_back_in_the_other_voice(
    opened: Opens, english: Path, tmp_path: Path, root: Path, made: list[Path]
) -> None:
    upload = tmp_path / "my 录音 (1).flac"
    shutil.copy(english, upload)
    page = opened()
    page.locator("input[type=file]").first.set_input_files(upload)
    page.get_by_text("shifted by").first.wait_for()  # a new recording's pitch is automatic
    page.get_by_label("Semitones").first.fill("3")
    path = convert(page, root)
    assert "录音" in path.name
    converted, rate = soundfile.read(path)
    source, source_rate = soundfile.read(english)
    assert abs(len(converted) / rate - len(source) / source_rate) < 0.05
    assert loudness_db(converted) > loudness_db(source) - 12
    wanted, sung = f0_of(english) * 2 ** (3 / 12), f0_of(path)
    both = [np.log2(f0[: min(len(wanted), len(sung))].clip(1)) for f0 in (wanted, sung)]
    voiced = (both[0] > 0) & (both[1] > 0)
    assert voiced.sum() > 150
    assert np.corrcoef(both[0][voiced], both[1][voiced])[0, 1] > 0.9
    assert abs(np.median(both[1][voiced] - both[0][voiced])) * 12 < 0.5  # semitones

    page.get_by_text("The same from a terminal").click()
    shown = page.locator(".command textarea").input_value()
    assert "--semitones 3" in shown
    page.wait_for_function(f"{STAGE}.curves.b > 0")
    with page.expect_download() as download:
        page.get_by_label("Download: Result").click()
    of_page = path.read_bytes()
    assert Path(download.value.path()).read_bytes() == of_page
    path.unlink()
    subprocess.run(["bash", "-c", shown], cwd=root, check=True, capture_output=True)
    assert path.read_bytes() == of_page


def test_the_sound_of_a_video_is_converted(
    opened: Opens, english: Path, tmp_path: Path, root: Path, made: list[Path]
) -> None:
    speech, _ = load(english, 44100)
    make_video(tmp_path / "clip.mp4", 0.0, np.stack([speech, speech], axis=1))
    page = opened()
    other = page.locator("input:has(+ #source-other)")
    assert not other.get_attribute("accept")  # or the browser's dialog hides it
    other.set_input_files(tmp_path / "clip.mp4")
    page.get_by_text("shifted by").first.wait_for()
    path = convert(page, root)
    assert path.stem.startswith("clip")
    assert abs(soundfile.info(path).duration - len(speech) / 44100) < 0.1
    assert np.mean(f0_of(path) > 0) > 0.2  # it speaks


def test_the_pitch_is_fitted_to_every_recording_until_it_is_set_by_hand(
    opened: Opens, root: Path, made: list[Path]
) -> None:
    page = opened()
    slider = page.get_by_label("Semitones").first
    button(page, "Italian, a man").click()
    page.get_by_text(re.compile(r"shifted by \+\d+ semitones\.")).first.wait_for()
    expect(slider).not_to_have_value("0")
    path = convert(page, root)
    heard = listen(path, load_f0_method("swift"))
    said = page.get_by_text(re.compile("speaks around")).first.inner_text()
    voice_hz = int(re.search(r"(\d+) Hz", said)[1])
    assert abs(12 * np.log2(heard["f0_median"] / voice_hz)) < 1.0
    page.get_by_label("Singing: whole octaves").check()
    expect(slider).to_have_value("0")
    slider.fill("3")
    expect(page.get_by_label("By hand")).to_be_checked()
    expect(slider).to_have_value("3")
    button(page, "English, a woman").click()
    expect(page.get_by_label("Singing: whole octaves")).to_be_checked()
    expect(slider).to_have_value("0")


def test_a_recording_that_cannot_be_read_says_so_at_once(
    browser: Any, url: str, tmp_path: Path
) -> None:
    page = browser.new_context().new_page()  # the player logs an error of its own
    page.set_default_timeout(WAIT_MS)
    page.goto(url)
    page.get_by_text("speaks around").first.wait_for()
    broken = tmp_path / "broken.mp3"
    broken.write_bytes(b"no sound at all" * 100)
    page.locator("input[type=file][accept*=audio]").first.set_input_files(broken)
    expect(page.get_by_role("alert").first).to_contain_text("broken.mp3", use_inner_text=True)


def test_what_was_being_converted_is_found_again_and_another_page_waits_its_turn(
    browser: Any, url: str, english: Path, tmp_path: Path
) -> None:
    audio, rate = soundfile.read(english)
    soundfile.write(tmp_path / "long.flac", np.tile(audio, 40), rate)
    page, other = browser.new_context().new_page(), browser.new_context().new_page()
    for each in (page, other):
        each.set_default_timeout(WAIT_MS)
        each.goto(url)
        each.get_by_text("speaks around").first.wait_for()
    page.locator("input[type=file]").first.set_input_files(tmp_path / "long.flac")
    button(other, "English, a woman").click()
    for each in (page, other):
        each.get_by_text("shifted by").first.wait_for()
    button(page, "Convert").click()
    expect(button(page, "Stop")).to_be_enabled()
    button(other, "Convert").click()
    other.get_by_text("Another conversion is being made").first.wait_for()
    expect(button(other, "Stop")).to_be_enabled()
    page.reload()
    making = page.locator(".takes .making").filter(has_text="long")
    making.get_by_role("button", name="Stop").wait_for()
    page.get_by_text("speaks around").first.wait_for()  # nor does a page that opens wait for it
    making.get_by_role("button", name="Stop").click()
    other.get_by_text("of audio, made in").first.wait_for()
    expect(page.locator(".takes .making")).to_have_count(0)
    expect(page.get_by_text("demo, from long")).to_have_count(0)
    for each in (page, other):
        each.context.close()


def test_what_fails_while_another_tab_is_open_is_told_there_and_beside_its_button(
    browser: Any, url: str, english: Path, tmp_path: Path
) -> None:
    audio, rate = soundfile.read(english)
    soundfile.write(tmp_path / "first.flac", np.tile(audio, 100), rate)
    recording = shutil.copy(english, tmp_path / f"gone-{tmp_path.parent.name}.flac")
    first, page = browser.new_context().new_page(), browser.new_context().new_page()
    for each, given in ((first, tmp_path / "first.flac"), (page, recording)):
        each.set_default_timeout(WAIT_MS)
        each.goto(url)
        each.get_by_text("speaks around").first.wait_for()
        each.locator("input[type=file]").first.set_input_files(given)
        each.get_by_text("shifted by").first.wait_for()
    for each in (first, page):
        button(each, "Convert").click()
        expect(button(each, "Stop").first).to_be_enabled()
    page.get_by_text("Another conversion is being made").first.wait_for()
    uploads = list(Path(page_environment(os.environ)["GRADIO_TEMP_DIR"]).rglob(recording.name))
    assert uploads
    for file in uploads:
        file.write_bytes(b"no sound any more")
    page.locator("button[data-tab-id=help]").click()
    button(first, "Stop").first.click()
    toast = page.locator(".toast-body").filter(visible=True)
    expect(toast).to_contain_text(recording.name, use_inner_text=True)
    page.locator("button[data-tab-id=convert]").click()
    note = page.locator(".field-error")
    expect(note).to_contain_text(recording.name, use_inner_text=True)
    button(page, "English, a woman").click()
    expect(note).to_have_count(0)
    for each in (first, page):
        each.context.close()


def test_presets_are_kept_for_the_voice(opened: Opens, data: Path) -> None:
    kept = data / "assets/lite/demo.presets.json"
    kept.unlink(missing_ok=True)
    try:
        page = opened()
        page.get_by_text("speaks around").first.wait_for()
        page.get_by_label("Semitones").first.fill("-7")
        page.get_by_role("button", name="Presets").click()
        page.get_by_label("Preset", exact=False).first.fill("deep 低")
        page.keyboard.press("Enter")
        button(page, "Save").click()
        page.get_by_text("The settings are kept.").wait_for()
        page.reload()
        page.get_by_text("speaks around").first.wait_for()
        page.get_by_role("button", name="Presets").click()
        page.get_by_label("Preset", exact=False).first.click()
        page.get_by_role("option", name="deep 低").click()
        expect(page.get_by_label("Semitones").first).to_have_value("-7")
        button(page, "Delete").click()
        wait_until(lambda: not kept.exists())
    finally:
        kept.unlink(missing_ok=True)


def test_what_is_missing_is_said(opened: Opens, tmp_path: Path) -> None:
    page = opened()
    page.get_by_text("speaks around").first.wait_for()
    button(page, "Convert").click()
    error = page.locator(".field-error")
    error.get_by_text("Choose or record something to convert first.").wait_for()
    page.get_by_role("tab", name="Many recordings").click()
    button(page, "Convert all").click()
    error.get_by_text("Choose some recordings first.").wait_for()


def test_a_conversion_can_be_stopped_and_an_example_converted_instead(
    opened: Opens, english: Path, tmp_path: Path, root: Path, data: Path, made: list[Path]
) -> None:
    audio, rate = soundfile.read(english)
    soundfile.write(tmp_path / "stopped.flac", np.tile(audio, 40), rate)
    page = opened()
    page.locator("input[type=file]").first.set_input_files(tmp_path / "stopped.flac")
    page.get_by_text(re.compile("4:0[23]")).first.wait_for()
    button(page, "Convert").click()
    expect(button(page, "Stop")).to_be_enabled()
    button(page, "Stop").click()
    page.get_by_text("Stopped; nothing was written.").first.wait_for()
    assert not list((data / "results").glob("stopped_*"))
    button(page, "Italian, a man").click()
    page.get_by_text("0:06").first.wait_for()
    assert convert(page, root).name.startswith("italian_demo_")


def test_a_batch_names_the_broken_file_and_zips_the_others(
    opened: Opens, english: Path, tmp_path: Path, root: Path, made: list[Path]
) -> None:
    shutil.copy(english, tmp_path / "one.flac")
    shutil.copy(english, tmp_path / "二 two.flac")
    (tmp_path / "broken.wav").write_bytes(b"RIFF this is no sound")
    page = opened()
    page.get_by_role("tab", name="Many recordings").click()
    files = [tmp_path / name for name in ("one.flac", "broken.wav", "二 two.flac")]
    page.locator("input[type=file]:not([webkitdirectory])").last.set_input_files(files)
    page.get_by_text("broken").first.wait_for()
    button(page, "Convert all").click()
    page.get_by_text("2 of 3 converted, 1 failed").wait_for()
    rows = page.locator("table.batch tbody tr").all_inner_texts()
    assert ["done" in row for row in rows] == [True, False, True]
    assert "broken" in rows[1] and "failed" in rows[1] and str(tmp_path) not in rows[1]
    page.reload()  # the browser finds its batch again
    page.get_by_role("tab", name="Many recordings").click()
    page.get_by_text("2 of 3 converted, 1 failed").wait_for()
    with page.expect_download() as download:
        page.get_by_text("Download all as zip").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert sorted(archive.namelist()) == ["one.wav", "二 two.wav"]
        archive.extractall(tmp_path / "out")
    source = soundfile.info(english).duration
    for name in ("one.wav", "二 two.wav"):
        assert soundfile.info(tmp_path / "out" / name).duration == pytest.approx(source, abs=0.05)


@pytest.fixture(scope="module")
def microphone(
    playwright: Any, english: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """A browser whose microphone hears the example."""
    speech, rate = soundfile.read(english)
    path = tmp_path_factory.mktemp("microphone") / "speech.wav"
    soundfile.write(path, speech, rate, subtype="PCM_16")
    browser = start_browser(
        playwright, "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={path}",
    )  # fmt: skip
    yield browser
    browser.close()


def test_a_recording_from_the_microphone_is_converted(
    microphone: Any, url: str, root: Path, made: list[Path]
) -> None:
    for open_page in watched(microphone, url):
        page = open_page()
        page.get_by_label("Record audio", exact=False).first.click()
        button(page, "Record").click()
        expect(page.locator("time.duration")).to_have_text("0:04")
        button(page, "Stop").first.click()
        page.wait_for_function(f"{STAGE}.curves.a > 0")
        path = convert(page, root)
        audio, rate = soundfile.read(path)
        assert len(audio) / rate > 2.5
        assert loudness_db(audio) > -45
        assert (f0_of(path) > 0).mean() > 0.2


def loudness_db(audio: np.ndarray) -> float:
    """Return the level of the loudest tenth of 50 ms frames: speech, not the pauses."""
    frames = audio[: len(audio) // 800 * 800].reshape(-1, 800)
    levels = np.sort((frames**2).mean(1))
    return float(10 * np.log10(levels[-len(levels) // 10 :].mean() + 1e-12))


def test_the_melody_method_follows_the_weights_that_came_since_the_start(
    opened: Opens, data: Path
) -> None:
    weights = data / "assets/downloads/rmvpe/rmvpe.pt"
    weights.parent.mkdir(parents=True)
    page = opened()
    try:
        for is_here, method in ((False, "swift"), (True, "rmvpe")):
            if is_here:
                weights.touch()
                page.reload()
            page.get_by_text("speaks around").first.wait_for()
            page.get_by_role("button", name="More settings").click()
            expect(page.get_by_label("Melody").first).to_have_value(method)
    finally:
        shutil.rmtree(data / "assets/downloads")
