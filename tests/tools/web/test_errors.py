"""Errors in the page's languages: those that are really raised, in the words of both."""

from __future__ import annotations

import os
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import pytest
import soundfile

from infer.audio.reader import load
from infer.options import ConvertOptions
from infer.retrieval import Retrieval
from tools.jobs.training import Settings, commands
from tools.voices.library import Library, check_voice
from tools.voices.zips import take_in
from tools.web.errors import explained, plain_places
from tools.web.i18n import read_texts
from train.experiment import Experiment, plain_name
from train.options import TrainOptions
from train.train import train

KNOWN = {
    name: text
    for name, text in read_texts()["en"].items()
    if name.startswith("error_") and name != "error_other"
}
OTHER = read_texts()["zh-CN"]["error_other"].partition("{")[0]


def chinese(html: str) -> str:
    """The Chinese part of a text in both languages."""
    return re.search(r'<span class="spoken" lang="zh-CN">(.*?)</span>', html, re.DOTALL)[1]


def test_every_known_line_is_found_again_with_its_values() -> None:
    for name, text in KNOWN.items():
        values = {key: f"<{key}>值" for key in re.findall(r"\{(\w+)", text)}
        html = explained(ValueError(plain_places(text).format(**values)))
        assert "<" + "key" not in html and OTHER not in html, name
        used = re.findall(r"\{(\w+)", read_texts()["zh-CN"][name])
        assert all(f"&lt;{key}&gt;值" in chinese(html) for key in used), name


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("x.pth is no voice: it holds no table", "没有数据表"),
        ("x.pth cannot be read safely: it asks for os.system", "它要求运行 os.system"),
        ("x.wav: cannot be opened (Permission denied)", "没有权限"),
        ("nothing usable in data: 3 silent, 2 too short", "3 个全是静音, 2 个太短"),
        (
            "x.wav does not fit the memory of cpu: close what else uses it, convert with "
            "--device cpu, or use a lite voice (y)",
            "放不下",
        ),
        ("x.pth does not fit: something of torch", "something of torch"),
    ],
)
def test_a_reason_inside_a_line_is_in_its_language_too(line: str, part: str) -> None:
    assert part in chinese(explained(ValueError(line)))


def text_as_audio(folder: Path) -> None:
    (folder / "x.mp3").write_text("no sound")
    load(folder / "x.mp3")


def empty_audio(folder: Path) -> None:
    (folder / "x.wav").touch()
    load(folder / "x.wav")


def short_audio(folder: Path) -> None:
    soundfile.write(folder / "x.wav", np.zeros(100), 16000)
    load(folder / "x.wav", min_seconds=0.1)


def no_audio(folder: Path) -> None:
    load(folder / "x.wav")


def unsafe_voice(folder: Path) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
            return os.system, ("echo",)

    with zipfile.ZipFile(folder / "x.pth", "w") as archive:
        archive.writestr("x/data.pkl", pickle.dumps(Harmful()))
    check_voice(folder / "x.pth")


def text_as_voice(folder: Path) -> None:
    (folder / "x.pth").write_text("no voice")
    check_voice(folder / "x.pth")


def zip_that_leads_out(folder: Path) -> None:
    with zipfile.ZipFile(folder / "x.zip", "w") as archive:
        archive.writestr("../x.pth", b"")
    take_in(Library(folder, folder, folder), folder / "x.zip", "")


def empty_name(folder: Path) -> None:
    plain_name("")


def no_recordings(folder: Path) -> None:
    commands(Experiment(folder), Settings())


def training_without_clips(folder: Path) -> None:
    train(TrainOptions(experiment=folder, minutes=1, device="cpu"))


def far_value(folder: Path) -> None:
    ConvertOptions(voice=folder, input=folder, output=folder, protect=7.0)


def index_of_another_width(folder: Path) -> None:
    index = faiss.IndexFlatL2(8)
    index.add(np.zeros((1, 8), np.float32))
    faiss.write_index(index, str(folder / "added_x.index"))
    Retrieval(folder / "added_x.index", 513)


def text_as_index(folder: Path) -> None:
    (folder / "x.index").write_text("no index")
    Retrieval(folder / "x.index", 513)


@pytest.mark.parametrize(
    "fail",
    [
        text_as_audio, empty_audio, short_audio, no_audio, unsafe_voice, text_as_voice,
        zip_that_leads_out, empty_name, no_recordings, training_without_clips, far_value,
        index_of_another_width, text_as_index,
    ],
)  # fmt: skip
def test_what_users_meet_reads_chinese_in_the_chinese_page(
    tmp_path: Path, fail: Callable[[Path], None]
) -> None:
    with pytest.raises((ValueError, OSError)) as failure:
        fail(tmp_path)
    text = chinese(explained(failure.value))
    assert re.search(r"[\u4e00-\u9fff]", text) and not text.startswith(OTHER), failure.value


def test_an_unknown_line_gets_a_heading_and_is_shown_as_it_is() -> None:
    html = explained(ValueError("something <b>new</b>"))
    assert chinese(html) == f"{OTHER}something &lt;b&gt;new&lt;/b&gt;"
    assert 'lang="en">something &lt;b&gt;new&lt;/b&gt;<' in html


def test_no_tab_shows_an_error_in_english_alone(root: Path) -> None:
    for path in (root / "tools/web/tabs").glob("*.py"):
        shown = re.findall(r"(?:gr\.\w+|escape)\(str\(error", path.read_text(encoding="utf-8"))
        assert shown == [], path
