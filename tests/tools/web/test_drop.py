"""What is dropped anywhere on the page goes where it belongs."""

from __future__ import annotations

import base64
import io
import mimetypes
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.tools.songs.test_video import make_video
from tests.tools.web.conftest import STAGE, Opens

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect

DROP = """([files, place]) => {
  const held = new DataTransfer();
  for (const [name, data, type] of files)
    held.items.add(
      new File([Uint8Array.from(atob(data), (each) => each.charCodeAt(0))], name, { type }));
  for (const kind of ["dragenter", "dragover", "drop"])
    document.querySelector(place).dispatchEvent(
      new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: held }));
}"""


def drop(page: Any, place: str, **files: bytes) -> None:
    given = [
        [name, base64.b64encode(held).decode(), mimetypes.guess_type(name)[0] or ""]
        for name, held in files.items()
    ]
    page.locator(place).first.wait_for(state="attached")
    page.evaluate(DROP, [given, place])


def zipped(**files: bytes) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return held.getvalue()


def test_files_go_where_they_belong_with_a_word(
    opened: Opens, english: Path, url: str, root: Path, data: Path
) -> None:
    page = opened()
    word = page.locator(".drop-word")
    drop(page, "h1", **{"nothing.txt": b"abc"})
    expect(word).to_contain_text("nothing.txt is no recording")
    drop(page, "body", **{"speech 声.flac": english.read_bytes()})
    expect(word).to_contain_text("is your recording now")
    page.wait_for_function(f"{STAGE}.curves.a > 0")
    singer = (root / "assets/lite/demo.pth").read_bytes()
    drop(page, "h1", **{"singer.zip": zipped(**{"singer.pth": singer})})
    page.wait_for_url(f"{url}#voices")
    expect(word).to_contain_text("singer.zip is being added")
    expect(page.locator("#voices-added")).to_contain_text("singer.pth", use_inner_text=True)
    expect(page.locator("#voices")).to_contain_text("singer")
    (data / "weights/singer.pth").unlink()
    drop(page, "h1", **{"takes.zip": zipped(**{"one.flac": b"1", "two.flac": b"2"})})
    page.wait_for_url(f"{url}#convert")
    expect(page.locator("#recordings")).to_contain_text("takes")
    drop(page, "h1", **{"a.pth": b"a", "b.pth": b"b"})
    expect(word).to_contain_text("one at a time")


def test_songs_take_a_song_or_its_two_stems_and_the_newest_stays(
    opened: Opens, english: Path, url: str, tmp_path: Path
) -> None:
    page, sound = opened(), english.read_bytes()
    page.get_by_role("tab", name="Songs", exact=True).click()
    word = page.locator(".drop-word")
    song, vocals, rest = (  # once a file is there, not while it comes
        page.locator(f"#song-{name} .file-preview") for name in ("file", "vocals", "accompaniment")
    )
    drop(page, "h1", **{"one.flac": sound})
    expect(song).to_contain_text("one")
    drop(page, "#song-file .file-preview", **{"two.flac": sound})
    expect(song).to_contain_text("two")
    page.get_by_role("tab", name="Two stems").click()
    drop(page, "#song-vocals", **{"cover art.jpg": b"1", "three.flac": sound})
    expect(word).to_contain_text("three.flac is the vocals now")
    expect(vocals).to_contain_text("three")
    drop(page, "h1", **{"four.flac": sound})
    expect(word).to_contain_text("four.flac is your song now")
    expect(song).to_contain_text("four")
    expect(song).to_be_visible()
    drop(page, "h1", **{"a Instrumental.flac": sound, "a Vocals.flac": sound})
    expect(vocals).to_contain_text("a Vocals")
    expect(rest).to_contain_text("a Instrumental")
    expect(vocals).not_to_contain_text("three")
    drop(page, "#song-accompaniment .file-preview", **{"five.flac": sound})
    expect(rest).to_contain_text("five")
    expect(vocals).to_contain_text("a Vocals")
    drop(page, "h1", **{f"{number}.flac": sound for number in range(3)})
    expect(word).to_contain_text("a song, or its two stems")
    expect(vocals).to_contain_text("a Vocals")
    files = [tmp_path / f"{number}.flac" for number in range(3)]
    for file in files:
        file.write_bytes(sound)
    page.locator("#song-vocals input[type=file]").set_input_files(files)
    page.get_by_text("two files, no more").first.wait_for()
    expect(vocals).to_have_count(0)
    expect(rest).to_contain_text("five")
    assert page.url == f"{url}#song"


def test_a_field_that_would_refuse_or_lose_files_leaves_them_to_the_page(
    opened: Opens, english: Path, tmp_path: Path
) -> None:
    page = opened()
    make_video(tmp_path / "clip.mp4", 0.0)
    box = "input[type=file][accept*='audio/']"
    drop(page, f"button:has(> {box})", **{"clip.mp4": (tmp_path / "clip.mp4").read_bytes()})
    expect(page.locator(".drop-word")).to_contain_text("clip.mp4 is your recording now")
    page.wait_for_function(f"{STAGE}.seconds > 2")
    page.get_by_role("button", name="Another recording").click()
    sound = english.read_bytes()
    drop(page, f"button:has(> {box})", **{"one.flac": sound, "two.flac": sound})
    expect(page.locator("#recordings")).to_contain_text("two")
