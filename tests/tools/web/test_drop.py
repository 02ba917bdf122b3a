"""What is dropped anywhere on the page goes where it belongs."""

from __future__ import annotations

import base64
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.tools.web.conftest import STAGE, Opens

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect

DROP = """([files, place]) => {
  const held = new DataTransfer();
  for (const [name, data] of files)
    held.items.add(new File([Uint8Array.from(atob(data), (each) => each.charCodeAt(0))], name));
  for (const kind of ["dragenter", "dragover", "drop"])
    document.querySelector(place).dispatchEvent(
      new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: held }));
}"""


def drop(page: Any, place: str, **files: bytes) -> None:
    given = [[name, base64.b64encode(held).decode()] for name, held in files.items()]
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
