"""Errors in the page's languages: every name has words in each, and the values stand in them."""

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

from errors import NoFile, UserError, read_error_texts
from infer.audio.reader import load
from infer.options import ConvertOptions
from infer.retrieval import Retrieval
from tools.jobs.training import Settings, commands
from tools.voices.library import Library, check_voice
from tools.voices.zips import add_to_library
from tools.web.errors import chosen_voice, error_html, page_error, shown_errors
from train.experiment import Experiment, plain_name
from train.options import TrainOptions
from train.train import train

TEXTS = read_error_texts()
HAN = re.compile(r"[\u4e00-\u9fff]")


def part(html: str, language: str) -> str:
    """What a reader of one language sees."""
    return re.search(rf'<span class="translated" lang="{language}">(.*?)</span>', html, re.S)[1]


def test_every_name_has_words_in_every_language_with_the_same_values() -> None:
    for name, english in TEXTS["en"].items():
        chinese = TEXTS["zh-CN"][name]
        assert HAN.search(chinese) or not re.search(r"[a-z]", re.sub(r"\{.*?\}", "", english)), name
        assert set(re.findall(r"\{(\w+)", chinese)) <= set(re.findall(r"\{(\w+)", english)), name


def test_values_are_shown_as_text_and_never_as_markup() -> None:
    html = error_html(NoFile("no_file", file="<b>x</b>.wav"))
    assert part(html, "en") == "&lt;b&gt;x&lt;/b&gt;.wav: no such file"
    assert "&lt;b&gt;x&lt;/b&gt;.wav" in part(html, "zh-CN") and "<b>" not in html


def test_a_reason_inside_an_error_is_in_the_language_of_the_page_too() -> None:
    html = error_html(UserError("opened", file="x.wav", reason=UserError("os_rights")))
    assert TEXTS["zh-CN"]["os_rights"] in part(html, "zh-CN")
    assert TEXTS["en"]["os_rights"] in part(html, "en")


def test_what_the_system_refuses_is_said_in_the_language_of_the_page(tmp_path: Path) -> None:
    with pytest.raises(OSError) as failure:
        (tmp_path / "gone").read_bytes()
    html = error_html(failure.value)
    assert TEXTS["zh-CN"]["os_missing"] in part(html, "zh-CN") and "gone" in html


def test_an_error_without_a_name_is_shown_in_its_own_words_under_a_heading() -> None:
    html = error_html(RuntimeError("something <b>new</b>"))
    for language, texts in TEXTS.items():
        expected = texts["other"].format(message="something &lt;b&gt;new&lt;/b&gt;")
        assert part(html, language) == expected


def test_what_is_refused_is_shown_in_every_language() -> None:
    import gradio as gr

    with pytest.raises(gr.Error) as shown, shown_errors():
        raise UserError("no_recordings")
    assert shown.value.message == page_error(UserError("no_recordings")).message
    assert part(shown.value.message, "zh-CN") == TEXTS["zh-CN"]["no_recordings"]
    with pytest.raises(gr.Error, match="secret"):
        chosen_voice("../secret.pth")
    with pytest.raises(gr.Error):
        chosen_voice(None)


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
    add_to_library(Library(folder, folder, folder), folder / "x.zip", "")


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
    text = part(error_html(failure.value), "zh-CN")
    heading = TEXTS["zh-CN"]["other"].partition("{")[0]
    assert HAN.search(text) and not text.startswith(heading), failure.value


def test_no_tab_shows_an_error_in_english_alone(root: Path) -> None:
    for folder in ("tabs", "views"):
        for path in (root / "tools/web" / folder).glob("*.py"):
            shown = re.findall(r"(?:gr\.\w+|escape)\(str\(error", path.read_text(encoding="utf-8"))
            assert shown == [], path


def test_every_error_that_is_raised_by_name_is_in_the_table(root: Path) -> None:
    raised = re.compile(r'(?:Error|NoFile)\(\s*"([a-z]\w*)"[,)\s]')
    layers = [
        path for layer in ("infer", "train", "tools") for path in (root / layer).rglob("*.py")
    ]
    for path in [*layers, root / "config.py", root / "options.py"]:
        names = raised.findall(path.read_text(encoding="utf-8"))
        assert [name for name in names if name not in TEXTS["en"]] == [], path
