"""The Songs tab: from a song to its cover in four clicks, through the real page."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tools.songs.song import delay_ms, loudness, stereo, write_stems
from tests.tools.web.conftest import Opens
from tools.web.tabs.song import sort_stems

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect

pytestmark = pytest.mark.usefixtures("shipped_voice")


@pytest.fixture
def stems(tmp_path: Path, english: Path) -> tuple[Path, Path]:
    return write_stems(tmp_path, english, 6.0)


@pytest.fixture
def results(data: Path) -> Iterator[Path]:
    """results/; what comes into it goes at the end."""
    folder = data / "results"
    before = set(folder.glob("*"))
    yield folder
    for path in set(folder.glob("*")) - before:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def open_songs(opened: Opens, language: str = "en-US", name: str = "Songs") -> Any:
    page = opened(language)
    page.get_by_role("tab", name=name, exact=True).click()
    return page


def give(page: Any, vocals: Path, accompaniment: Path) -> None:
    """Put both stems into their fields."""
    for mark, file in (("#song-vocals", vocals), ("#song-accompaniment", accompaniment)):
        page.locator(f"{mark} input[type=file]").set_input_files(file)
        expect(page.locator(mark)).to_contain_text(file.stem[:4])


def test_two_stems_become_a_cover_that_is_found_again(
    opened: Opens, stems: tuple[Path, Path], results: Path, root: Path
) -> None:
    page = open_songs(opened)
    page.get_by_role("tab", name="Two stems").click()
    page.locator("#song-vocals input[type=file]").set_input_files(stems[::-1])  # both at once
    for mark, file in zip(("#song-vocals", "#song-accompaniment"), stems, strict=True):
        expect(page.locator(mark)).to_contain_text(file.stem[:4])
    page.get_by_role("button", name="Make the cover").click()
    kept = page.locator("#song-status code:visible")
    expect(kept).to_have_text(re.compile(r"results.+\.flac"))
    expect(page.get_by_text("The new lead")).to_be_visible()
    expect(page.get_by_text(re.compile(r"fills [\d.]+ MB of results/"))).to_be_visible()
    for is_again in (False, True):
        if is_again:
            page.reload()
            page.get_by_role("tab", name="Songs", exact=True).click()
            expect(kept).to_have_text(re.compile(r"results.+\.flac"))
        expect(page.locator("#duration:visible", has_text="0:06")).to_have_count(4)
    cover = stereo(root / kept.inner_text())
    (voice,) = (stereo(path) for path in results.glob("*/voice-*/voice.wav"))
    vocals, music = (stereo(path) for path in stems)
    assert len(cover) == len(music)
    assert abs(delay_ms(cover[:, 0] - voice[:, 0], music[:, 0])) < 1
    assert abs(loudness(voice) - loudness(vocals)) < 1
    assert abs(loudness(cover - music) - loudness(vocals)) < 1


def test_what_is_missing_is_said_and_an_error_of_the_job_in_the_page(
    opened: Opens, tmp_path: Path, results: Path
) -> None:
    page = open_songs(opened, "zh-CN", "歌曲")
    page.get_by_role("button", name="生成翻唱").click()
    page.get_by_text("请先选择歌曲。").first.wait_for()
    page.get_by_role("tab", name="人声和伴奏").click()
    for name in ("first", "second"):
        (tmp_path / f"{name}.wav").write_bytes(b"RIFF no audio")
    give(page, tmp_path / "first.wav", tmp_path / "second.wav")
    page.get_by_role("button", name="生成翻唱").click()
    page.locator("#song-status [role=alert]:visible").wait_for()
    expect(page.locator("#song-status")).to_contain_text(".wav")
    expect(page.get_by_role("button", name="生成翻唱")).to_be_enabled()


def test_two_stems_given_at_once_are_told_apart_by_their_names() -> None:
    for rest in ("x (Instrumental).mp3", "02 no_vocals.wav", "伴奏.flac"):
        voice = "a Vocals.mp3"
        assert sort_stems([voice, rest]) == sort_stems([rest, voice]) == [[voice], rest]
    assert sort_stems(["one.wav", "two.wav"]) == [["one.wav"], "two.wav"]
