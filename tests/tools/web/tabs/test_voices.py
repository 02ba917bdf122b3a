"""The Voices tab in a browser: a real voice is shared, deleted, taken in and used again."""

from __future__ import annotations

import os
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile

from tests.tools.web.conftest import Opens, settle
from tests.tools.web.test_drop import drop
from tools.machine.environment import page_environment

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

NAME = "browser test 声"


@pytest.fixture
def voice(root: Path, data: Path, shipped_voice: None) -> Iterator[Path]:
    """A copy of the demo voice with its index in weights/, gone afterwards."""
    path = data / f"weights/{NAME}.pth"
    shutil.copy(root / "assets/lite/demo.pth", path)
    (index,) = (root / "assets/lite").glob("added_*_demo_lite.index")
    shutil.copy(index, path.with_suffix(".index"))
    yield path
    for made in (data / "weights").rglob(f"*{NAME}*"):
        made.unlink()
    for folder in (data / "weights/.trash").glob("*"):
        if not list(folder.iterdir()):
            folder.rmdir()


def open_tab(page: Any, name: str) -> None:
    """Show a tab, and wait until all has come: a file given earlier may be lost."""
    page.get_by_role("tab", name=name, exact=True).click()
    if name == "Voices":
        page.locator("#voices .voice-picture").first.wait_for()
    settle(page)


def button(page: Any, name: str) -> Any:
    return page.get_by_role("button", name=name, exact=True)


def choose(page: Any, label: str, option: str) -> None:
    box = page.get_by_label(label, exact=False).first
    box.click()
    page.get_by_role("option", name=option).first.click()


def test_a_voice_is_shared_deleted_taken_in_and_converts_again(
    opened: Opens, voice: Path, data: Path, tmp_path: Path
) -> None:
    before = voice.read_bytes()
    page = opened()
    open_tab(page, "Voices")
    listed = page.locator("#voices")
    listed.get_by_text(NAME).wait_for()
    card = listed.get_by_role("button", name=re.compile(NAME))
    card.click()
    sync_api.expect(card).to_have_attribute("aria-pressed", "true")
    item = listed.locator("li").filter(has=page.get_by_text(NAME, exact=True))
    hear, pause = (item.get_by_label(f"{act} this voice") for act in ("Hear", "Pause"))
    kept = Path(page_environment(os.environ)["GRADIO_TEMP_DIR"]) / "voices"
    known, made = set(kept.glob("*")), set()
    for _ in range(2):  # the second time nothing is made, nor ever among the results
        hear.click()
        pause.click()
        (spoken,) = set(kept.glob("*")) - known
        made.add(spoken.stat().st_mtime_ns)
        assert not list((data / "results").glob(f"*_{NAME}_*"))
    assert len(made) == 1
    assert soundfile.info(spoken).duration == pytest.approx(6.07, abs=0.1)
    spoken.unlink()
    voice.rename(voice.with_suffix(".away"))
    hear.click()
    sync_api.expect(item.get_by_role("alert")).to_contain_text(NAME, use_inner_text=True)
    voice.with_suffix(".away").rename(voice)
    with page.expect_download() as download:
        button(page, "Share as zip").click()
    voice_zip = tmp_path / "shared.zip"
    download.value.save_as(voice_zip)
    button(page, "Move to the trash").click()
    listed.get_by_text(NAME).wait_for(state="detached")
    assert not voice.exists()

    page.locator("input[type=file][accept*='.index']").first.set_input_files(voice_zip)
    page.get_by_text("shared.zip").first.wait_for()
    button(page, "Add").click()
    page.locator("#voices-added").get_by_text(NAME).first.wait_for()
    listed.get_by_text(NAME).wait_for()
    assert voice.read_bytes() == before and voice.with_suffix(".index").exists()

    used = page.get_by_role("tabpanel").get_by_label("Voice", exact=True)
    open_tab(page, "Convert")
    sync_api.expect(used).to_have_value(NAME)  # what was added is chosen
    for name in ("demo_male", NAME):
        open_tab(page, "Voices")
        item = listed.locator("li").filter(has=page.get_by_text(name, exact=True))
        item.get_by_role("button", name="Use", exact=True).click()
        sync_api.expect(used).to_have_value(name)
    button(page, "English, a woman").click()
    page.get_by_text("0:06").first.wait_for()
    button(page, "Convert").click()
    said = page.locator(".summary").get_by_text(re.compile("results")).first
    said.wait_for()
    (made,) = (data / "results").glob(f"english_{NAME}_*.wav")
    audio, rate = soundfile.read(made)
    made.unlink()
    assert len(audio) / rate == pytest.approx(6.07, abs=0.1) and abs(audio).max() > 0.1


def test_a_training_state_dropped_in_offers_its_voice(
    opened: Opens, root: Path, data: Path, tmp_path: Path, shipped_voice: None
) -> None:
    state = tmp_path / f"{NAME} state.pth"
    shutil.copy(root / "assets/lite/base_G.pth", state)
    made = data / f"weights/{state.name}"
    page = opened()
    open_tab(page, "Voices")
    page.locator("input[type=file][accept*='.index']").first.set_input_files(state)
    page.get_by_text(re.compile("browser test")).first.wait_for()
    button(page, "Add").click()
    page.locator("#voices-added").get_by_text("This is a training state").first.wait_for()
    try:
        button(page, "Extract the voice").click()
        page.locator("#voices").get_by_text(made.stem).first.wait_for()
        assert made.exists()
        page.get_by_text("Merge two voices").click()
        choose(page, "First", "demo")
        choose(page, "Second", made.stem)
        button(page, "Listen to an example").click()
        page.locator("audio").last.wait_for(state="attached")
    finally:
        made.unlink(missing_ok=True)


def test_what_is_there_already_or_has_no_name_is_told_beside_its_button(
    opened: Opens, voice: Path, data: Path, tmp_path: Path
) -> None:
    page = opened()
    with zipfile.ZipFile(tmp_path / "again.zip", "w") as archive:
        archive.write(voice, voice.name)
    drop(page, "h1", **{"again.zip": (tmp_path / "again.zip").read_bytes()})
    note = page.locator(".inline:has(#voices-add) + .field-error")
    sync_api.expect(note).to_contain_text(f"{NAME}.pth exists already", use_inner_text=True)
    page.get_by_text("Merge two voices").click()
    button(page, "Keep it").click()
    note = page.locator(".inline:has(#voices-merge) + .field-error")
    sync_api.expect(note).to_contain_text("give the voice a name first", use_inner_text=True)
    sync_api.expect(page.locator(".field-error")).to_have_count(1)


def test_a_merged_voice_is_told_and_chosen_like_one_that_was_added(
    opened: Opens, voice: Path, data: Path
) -> None:
    merged = f"merged {NAME}"
    page = opened()
    open_tab(page, "Voices")
    page.get_by_text("Merge two voices").click()
    choose(page, "First", "demo")
    choose(page, "Second", NAME)
    page.get_by_label("Name of the new voice").fill(merged)
    button(page, "Keep it").click()
    told = page.locator("#voices-merged")
    sync_api.expect(told).to_contain_text(f"Added: {merged}.pth", use_inner_text=True)
    page.locator("#voices").get_by_text(merged).wait_for()
    assert (data / f"weights/{merged}.pth").is_file()
    used = page.get_by_role("tabpanel").get_by_label("Voice", exact=True)
    open_tab(page, "Convert")
    sync_api.expect(used).to_have_value(merged)


def test_a_file_that_is_no_voice_is_refused_in_words(
    opened: Opens, tmp_path: Path, data: Path
) -> None:
    bad = tmp_path / "bad.pth"
    bad.write_bytes(b"no torch file")
    page = opened()
    open_tab(page, "Voices")
    page.locator("input[type=file][accept*='.index']").first.set_input_files(bad)
    page.get_by_text("bad.pth").first.wait_for()
    button(page, "Add").click()
    page.get_by_text(re.compile("holds no voice")).first.wait_for()
    assert not (data / "weights/bad.pth").exists()
