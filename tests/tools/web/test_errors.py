"""Errors in the page's languages: those that are really raised, in the words of both."""

from __future__ import annotations

import ast
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

from infer.audio import load
from infer.options import ConvertOptions
from infer.retrieval import Retrieval
from tools.library import Library, check_voice
from tools.parcel import take_in
from tools.web.errors import explained
from tools.web.i18n import read_texts
from tools.web.training import Settings, commands
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


def test_every_known_line_is_one_that_the_program_says(root: Path) -> None:
    said = [os.strerror(28), os.strerror(13)]
    for layer in ("infer", "train", "tools", "config.py"):
        for path in [root / layer] if layer.endswith(".py") else (root / layer).rglob("*.py"):
            nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            said += [n.value for n in nodes if isinstance(n, ast.Constant) and type(n.value) is str]
    everything = "\n".join(said)
    for name, text in KNOWN.items():
        for part in re.split(r"\{\w+\}|; |\[Errno \d+\]", text):
            assert len(part.strip()) < 4 or part.strip() in everything, (name, part)


def test_every_known_line_is_found_again_with_its_values() -> None:
    for name, text in KNOWN.items():
        values = {key: f"<{key}>值" for key in re.findall(r"\{(\w+)\}", text)}
        html = explained(text.format(**values))
        assert "<" + "key" not in html and OTHER not in html, name
        used = re.findall(r"\{(\w+)\}", read_texts()["zh-CN"][name])
        assert all(f"&lt;{key}&gt;值" in chinese(html) for key in used), name


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
    text = chinese(explained(str(failure.value)))
    assert re.search(r"[\u4e00-\u9fff]", text) and not text.startswith(OTHER), failure.value


def test_an_unknown_line_gets_a_heading_and_is_shown_as_it_is() -> None:
    html = explained("something <b>new</b>")
    assert chinese(html) == f"{OTHER}something &lt;b&gt;new&lt;/b&gt;"
    assert 'lang="en">something &lt;b&gt;new&lt;/b&gt;<' in html


def test_no_tab_shows_an_error_in_english_alone(root: Path) -> None:
    for path in (root / "tools/web/tabs").glob("*.py"):
        shown = re.findall(r"(?:gr\.\w+|escape)\(str\(error", path.read_text(encoding="utf-8"))
        assert shown == [], path
