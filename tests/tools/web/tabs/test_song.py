"""The Songs tab: from a song to its cover in four clicks, through the real page."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from infer.audio.writer import AudioWriter
from infer.f0 import load_f0_method
from tests.tools.conftest import wait_until
from tests.tools.songs.song import RATE, delay_ms, loudness, stereo, write_stems
from tests.tools.songs.test_video import make_video, pictures
from tests.tools.web.conftest import STAGE, WIDTHS, Opens, settle
from tests.tools.web.test_page import faults_of, violations
from tools.convert.listen import listen
from tools.machine.assets import DEMUCS
from tools.songs.separation import missing_separator
from tools.web.tabs.song import sort_stems

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect

pytestmark = pytest.mark.usefixtures("shipped_voice")


SONG_STAGE = "document.querySelector('#song-stage .stage').stage.state()"


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
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing")
    page = open_songs(opened)
    page.get_by_role("tab", name="Two stems").click()
    page.locator("#song-vocals input[type=file]").set_input_files(stems[::-1])  # both at once
    for mark, file in zip(("#song-vocals", "#song-accompaniment"), stems, strict=True):
        expect(page.locator(mark)).to_contain_text(file.stem[:4])
    page.get_by_role("button", name="Make the cover").click()
    kept = page.locator("#song-about code:visible")
    expect(kept).to_have_text(re.compile(r"results.+\.flac"))
    expect(page.get_by_text(re.compile(r"fills [\d.]+ MB of results/"))).to_be_visible()
    for is_again in (False, True):
        if is_again:
            page.reload()
            page.get_by_role("tab", name="Songs", exact=True).click()
            expect(kept).to_have_text(re.compile(r"results.+\.flac"))
        page.get_by_role("button", name="What it is made of").click()
        expect(page.get_by_text("The new lead")).to_be_visible()
        expect(page.locator("#duration:visible", has_text="0:06")).to_have_count(3)
    page.wait_for_function(f"{SONG_STAGE}.curves.b > 0")
    page.get_by_role("button", name="中文").click()
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        settle(page)
        assert list(faults_of(page, axe.Axe(), "zh-CN", width)) == []
    cover = stereo(root / kept.inner_text())
    (voice,) = (stereo(path) for path in results.glob("*/voice-*/voice.wav"))
    vocals, music = (stereo(path) for path in stems)
    assert len(cover) == len(music)
    assert abs(delay_ms(cover[:, 0] - voice[:, 0], music[:, 0])) < 1
    assert abs(loudness(voice) - loudness(vocals)) < 1
    assert abs(loudness(cover - music) - loudness(vocals)) < 1


def test_original_and_cover_share_one_playhead_and_are_equally_loud(
    opened: Opens, stems: tuple[Path, Path], results: Path
) -> None:
    page = open_songs(opened)
    page.get_by_role("tab", name="Two stems").click()
    give(page, *stems)
    page.get_by_role("button", name="Settings of the cover").click()
    page.get_by_label("Lead louder").first.fill("12")
    page.get_by_role("button", name="Make the cover").click()
    page.wait_for_function(f"{SONG_STAGE}.curves.b > 0 && {SONG_STAGE}.seconds > 0")
    state = page.evaluate(SONG_STAGE)
    assert state["heard"] == "b" and state["curves"]["a"] > 0
    assert state["seconds"] == pytest.approx(6, abs=0.05)
    expect(page.get_by_role("button", name="Edit pitch")).to_be_hidden()
    page.get_by_role("button", name="Play (Space)").click()
    page.locator("body").click(position={"x": 2, "y": 2})  # nothing has the focus
    page.wait_for_function(f"{SONG_STAGE}.position > 0.2")
    before = page.evaluate(SONG_STAGE)
    page.keyboard.press("x")
    page.wait_for_function(f"{SONG_STAGE}.gains.a > 0.9")
    after = page.evaluate(SONG_STAGE)
    assert [before["heard"], after["heard"]] == ["b", "a"]
    assert after["gains"]["b"] < 0.05
    assert after["position"] - before["position"] == pytest.approx(
        after["clock"] - before["clock"], abs=1e-6
    )
    page.keyboard.press("Space")
    assert not page.evaluate(SONG_STAGE)["isPlaying"]

    (cover,) = results.glob("my vocals_*.flac")
    (original,) = results.glob(".covers/*/sums/original.flac")
    sung, music = (stereo(path) for path in stems)
    assert np.abs(stereo(original) - sung - music).max() < 2e-4
    levels = [listen(path, load_f0_method("pm"))["loudness_db"] for path in (original, cover)]
    assert levels[1] - levels[0] > 3
    turned_down = 20 * math.log10(max(before["gains"]["b"], 1e-6))
    assert turned_down == pytest.approx(levels[0] - levels[1], abs=0.3)


def test_covers_are_kept_played_starred_set_again_and_thrown_away(
    opened: Opens, stems: tuple[Path, Path], results: Path, root: Path
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing")
    page = open_songs(opened)
    cards, about = page.locator("#covers li:not(.making)"), page.locator("#song-about code:visible")
    expect(page.locator("#covers")).to_contain_text("Every cover that you make is kept here")
    page.get_by_role("tab", name="Two stems").click()
    give(page, *stems)
    page.get_by_role("button", name="Settings of the cover").click()
    lead, newer = page.get_by_label("Lead louder").first, ""
    for number, lead_db in enumerate(("3", "0"), 1):
        lead.fill(lead_db)
        page.get_by_role("button", name="Make the cover").click()
        if number == 1:  # it is stopped on its card, and goes on there
            page.locator("#covers li.making").get_by_role("button", name="Stop").click()
            expect(cards).to_contain_text("Stopped")
            page.locator("#covers").get_by_role("button", name="Go on").click()
            page.locator("#covers li.making").wait_for()
        expect(cards).to_have_count(number)
        expect(about).not_to_have_text(newer)  # the cover before stays until it is made
        newer = about.inner_text()
        page.wait_for_function(f"{SONG_STAGE}.curves.b > 0")
    settle(page)
    page.reload()
    page.get_by_role("tab", name="Songs", exact=True).click()
    expect(cards).to_have_count(2)
    expect(cards.nth(0)).to_contain_text("usual settings")
    expect(cards.nth(1)).to_contain_text("demo, from my vocals")
    expect(cards.nth(1)).to_contain_text("Lead louder 3", use_inner_text=True)
    expect(about).to_have_text(newer)

    page.locator("#covers").get_by_label("Play this").nth(1).click()
    page.wait_for_function(f"{SONG_STAGE}.isPlaying && {SONG_STAGE}.heard === 'b'")
    expect(about).not_to_have_text(newer)
    made = root / about.inner_text()
    with page.expect_download() as download:
        page.locator("#covers").get_by_label("Download this").nth(1).click()
    assert Path(download.value.path()).read_bytes() == made.read_bytes()

    page.locator("#covers").get_by_label("Star").nth(1).click()
    expect(cards.first).to_contain_text("Lead louder 3", use_inner_text=True)  # it leads now
    assert list(violations(page, axe.Axe())) == []
    page.locator("#covers").get_by_label("These settings again").first.click()
    for mark, file in zip(("#song-vocals", "#song-accompaniment"), stems, strict=True):
        expect(page.locator(mark)).to_contain_text(file.stem[:4])
    page.get_by_role("button", name="Settings of the cover").click()
    expect(lead).to_have_value("3")

    page.locator("#covers").get_by_label("Delete this").first.click()
    expect(cards).to_have_count(1)
    expect(page.locator("#song-stage .stage")).to_be_hidden()  # it stood there
    assert not made.exists()
    settle(page)
    page.reload()
    page.get_by_role("tab", name="Songs", exact=True).click()
    page.locator("#covers").get_by_role("button", name="Bring it back").click()
    expect(cards).to_have_count(2)
    expect(cards.first).to_contain_text("Lead louder 3", use_inner_text=True)
    assert made.exists()

    jobs = sorted(path.parent for path in results.glob(".covers/*/job.json"))
    for number in range(7):
        shutil.copytree(jobs[0], jobs[0].with_name(f"copy{number:02}-16-letter"))
    settle(page)
    page.reload()
    page.get_by_role("tab", name="Songs", exact=True).click()
    expect(cards).to_have_count(8)
    page.locator("#covers").get_by_role("button", name="Show all 9").click()
    expect(cards).to_have_count(9)


def test_a_part_of_the_lead_is_made_again_and_goes_back_into_the_cover(
    opened: Opens, stems: tuple[Path, Path], results: Path, root: Path
) -> None:
    page = open_songs(opened)
    page.get_by_role("tab", name="Two stems").click()
    give(page, *stems)
    page.get_by_role("button", name="Make the cover").click()
    kept = page.locator("#song-about code:visible")
    expect(kept).to_have_text(re.compile(r"results.+\.flac"))
    first = kept.inner_text()
    page.get_by_role("button", name="Edit the lead").click()
    page.wait_for_function(f"{STAGE}.curves.a > 0 && {STAGE}.curves.b > 0")
    slider = page.locator("#stage").get_by_role("slider", name="Position")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.65, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 20, steps=3)
    page.mouse.up()
    begin, end = page.evaluate(STAGE)["part"]
    # the settings of the lead are set
    expect(page.get_by_role("radio", name="By hand")).to_be_checked()
    page.get_by_label("Semitones").first.fill("7")
    page.get_by_role("button", name="Do this part again").click()
    expect(page.locator("#takes li:not(.making)")).to_have_count(2)
    page.locator("#takes li").first.get_by_role("button", name="Into the cover").click()
    expect(kept).not_to_have_text(first)
    assert len(list(results.glob("*/convert-*"))) == 1  # nothing was converted anew
    before, after = (stereo(root / name) for name in (first, kept.inner_text()))
    changed = np.abs(after - before).max(axis=1)
    assert changed[round(begin * RATE) : round(end * RATE)].max() > 0.05
    assert changed[: round(2.4 * RATE)].max() < 0.02  # the phrase before


@pytest.fixture
def small_separator() -> Iterator[None]:
    """A separator of the real class with random weights, where the real ones would lie."""
    from tests.tools.songs.separation.test_demucs import write_small

    DEMUCS.path.parent.mkdir(parents=True, exist_ok=True)
    write_small(DEMUCS.path)
    yield
    DEMUCS.path.unlink()


@pytest.mark.slow
def test_from_an_mp3_to_its_cover_a_part_again_and_a_video(
    small_separator: None, opened: Opens, english: Path, tmp_path: Path, results: Path, root: Path
) -> None:
    """`bash go-test.sh -n 0 -m slow tests/tools/web/tabs/test_song.py`"""
    vocals, music = (stereo(path) for path in write_stems(tmp_path, english, 6.0))
    for name, sound in (("vocals", vocals), ("music", music), ("song", vocals + music)):
        with AudioWriter(tmp_path / f"{name}.mp3", RATE, RATE, channels=2) as writer:
            writer.write(sound.astype(np.float32))
    page = open_songs(opened)
    page.get_by_role("tab", name="Two stems").click()
    give(page, tmp_path / "vocals.mp3", tmp_path / "music.mp3")
    page.get_by_role("button", name="Make the cover").click()
    kept = page.locator("#song-about code:visible")
    expect(kept).to_have_text(re.compile(r"results.+\.flac"))
    cover = stereo(root / kept.inner_text())
    (path,) = results.glob("*/voice-*/voice.wav")
    voice = stereo(path)[: len(cover)]
    assert abs(delay_ms(cover[:, 0] - voice[:, 0], music[:, 0])) < 1
    assert abs(delay_ms(cover.sum(1), stereo(tmp_path / "song.mp3").sum(1))) < 1
    assert abs(loudness(voice) - loudness(vocals)) < 1

    page.get_by_role("tab", name="Convert", exact=True).click()
    page.locator("input[type=file][accept*=audio]").first.set_input_files(tmp_path / "vocals.mp3")
    page.get_by_text("shifted by").first.wait_for()
    page.get_by_role("button", name="Convert", exact=True).click()
    page.wait_for_function(f"{STAGE}.curves.b > 0")
    slider = page.get_by_role("slider", name="Position")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 20, steps=3)
    page.mouse.up()
    first, last = (round(second, 3) for second in page.evaluate(STAGE)["part"])
    page.get_by_label("Semitones").first.fill("3")
    page.get_by_role("button", name="Do this part again").click()
    page.get_by_text("by hand").first.wait_for()
    expect(page.locator("#takes li:not(.making)")).to_have_count(2)
    old, new = sorted(results.glob("vocals*.wav"), key=lambda path: path.stat().st_mtime)
    (one, rate), (other, _) = soundfile.read(old), soundfile.read(new)
    changed = np.flatnonzero(one != other) / rate
    assert first <= changed[0] and changed[-1] <= last

    sound = (vocals + music)[: 3 * RATE].astype(np.float32)
    make_video(tmp_path / "clip.mp4", 0.5, sound)
    page.get_by_role("tab", name="Songs", exact=True).click()
    page.get_by_role("tab", name="A whole song").click()
    page.locator("#song-file input[type=file]").set_input_files(tmp_path / "clip.mp4")
    expect(page.locator("#song-file")).to_contain_text("clip")
    page.get_by_role("button", name="Make the cover").click()
    expect(kept).to_have_text(re.compile(r"results.+\.mp4"))
    made = root / kept.inner_text()
    assert [each for _, each in pictures(made)] == [
        each for _, each in pictures(tmp_path / "clip.mp4")
    ]
    late = delay_ms(stereo(made).sum(1), stereo(tmp_path / "clip.mp4").sum(1))
    assert abs(late) < 20


def test_a_song_given_to_convert_goes_on_to_songs(opened: Opens, english: Path) -> None:
    page = opened()
    page.get_by_role("button", name="Is it a song?").click()
    expect(page.locator("#song-file")).to_be_visible()
    page.get_by_role("tab", name="Two stems").click()
    page.get_by_role("tab", name="Convert", exact=True).click()
    page.locator("input[type=file][accept*=audio]").first.set_input_files(english)
    page.get_by_text("shifted by").first.wait_for()
    page.get_by_role("button", name="Is it a song?").click()
    expect(page.locator("#song-file")).to_contain_text(english.stem)


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
    page.locator("#song-status .alert[role=alert]:visible").wait_for()
    expect(page.locator("#song-status")).to_contain_text(".wav")
    expect(page.get_by_role("button", name="生成翻唱")).to_be_enabled()
    card = page.locator("#covers li")
    expect(card.locator(".alert")).to_contain_text(".wav")
    (job,) = results.glob(".covers/*/job.json")
    before = job.read_bytes()
    page.locator("#covers").get_by_role("button", name="继续").click()
    wait_until(lambda: job.read_bytes() != before)
    expect(card.locator(".alert")).to_contain_text(".wav")
    page.locator("#covers").get_by_label("删除").click()
    expect(page.locator("#covers li:not(.making)")).to_have_count(0)
    expect(page.locator("#song-status .alert")).to_have_count(0)


def test_what_a_whole_song_needs_is_told_before_it_is_asked_for_and_gone_once_it_is_there(
    opened: Opens,
) -> None:
    weights, package = "the weights of Demucs", "the package demucs-infer"
    for is_there in (False, True):
        if is_there:
            DEMUCS.path.parent.mkdir(parents=True, exist_ok=True)
            DEMUCS.path.touch()
        try:
            page = open_songs(opened)
            lacks = page.locator("#song-lacks")
            missing = [each.name for each in missing_separator()]
            assert ("separation_weights" in missing) is not is_there
            expect(lacks.locator("li")).to_have_count(len(missing))
            for name, said in (("separation_weights", weights), ("songs_package", package)):
                assert (said in lacks.inner_text()) is (name in missing)
        finally:
            DEMUCS.path.unlink(missing_ok=True)


def test_two_stems_given_at_once_are_told_apart_by_their_names() -> None:
    for voice, rest in (
        ("a Vocals.mp3", "x (Instrumental).mp3"),
        ("a Vocals.mp3", "02 no_vocals.wav"),
        ("a Vocals.mp3", "伴奏.flac"),
        ("Forest (Vocals).wav", "Forest (Instrumental).wav"),
        ("Forest (Vocals).wav", "Forest.wav"),
        ("Another Day - voc.wav", "Another Day - mix.wav"),
        ("song_lead.flac", "song_2.flac"),
        ("Song (Acapella).mp3", "Song.mp3"),
        ("Song (A Cappella).mp3", "Song (off vocal).mp3"),
        ("Song a-capella.mp3", "Song (Music).mp3"),
        ("歌 人声.wav", "歌 2.wav"),
        ("歌 干声.wav", "歌 无人声.wav"),
        ("歌 人声.wav", "歌 去人声.wav"),
        ("歌.wav", "歌 消声.wav"),
        ("Forest.wav", "Forest no vocals.wav"),
        ("Forest.wav", "Forest_novox.wav"),
        ("Forest.wav", "Forest minus vocals.wav"),
        ("Forest.wav", "Forest (without lead vocals).wav"),
        ("Lead Me (Vocals).wav", "Lead Me.wav"),
        ("Karaoke Night (Vocals).wav", "Karaoke Night (Instrumental).wav"),
        ("No Voice (Vocals).wav", "No Voice (Instrumental).wav"),
        ("Piano Vocals.wav", "Piano.wav"),
    ):
        assert sort_stems([voice, rest]) == sort_stems([rest, voice]) == [[voice], rest]
    assert sort_stems(["one.wav", "two.wav"]) == [["one.wav"], "two.wav"]
