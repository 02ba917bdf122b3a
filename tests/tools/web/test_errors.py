"""Errors in the page's languages: those that are really raised, in the words of both."""

from __future__ import annotations

import ast
import os
import pickle
import re
import zipfile
from collections.abc import Callable, Iterator
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
from tools.web.errors import explained, in_words
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


# modules whose refusals no page shows: what only a terminal starts
UNSEEN = re.compile(
    r"tools/(cmd/(?!voices|infer_cli|dataset_report)\w+|research/\w+|machine/(fetch|page_options)"
    r"|datasets/learning_curves|options)\.py"
    r"|tools/web/(api|app|i18n/__init__)\.py|train/processes\.py"
)
# lines that mean a mistake in the program, or need a flag that the page never gives
UNMET = (
    "--x-center", "cannot be halved", "audio must be mono", "needs mono audio", "samples rendered",
    "samples are needed", "which a command line cannot say", "index rate must be",
    "content must be", "leave --use-f0 on", "no way to train", "--precision fp16", "no bf16",
    "training without an end", "is trained by one process", "--output is the folder",
    "does not end in", "conversion was stopped", "is not installed; VALUE",
)  # fmt: skip


def chinese(html: str) -> str:
    """The Chinese part of a text in both languages."""
    return re.search(r'<span class="spoken" lang="zh-CN">(.*?)</span>', html, re.DOTALL)[1]


def test_every_known_line_is_one_that_the_program_says(root: Path) -> None:
    said = [os.strerror(number) for number in (2, 13, 21, 28, 30, 36)]  # as Linux names them
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


def text_of(node: ast.AST) -> str:
    """The text that an expression gives, with VALUE for what is put in; "" if it is no text."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) or "VALUE" for part in node.values)
    return ""


def lines_for_users(root: Path) -> Iterator[tuple[str, str]]:
    """Yield (place, text) of every refusal, problem and note in what the page runs."""
    for path in [
        path for layer in ("infer", "train", "tools") for path in (root / layer).rglob("*.py")
    ]:
        name = path.relative_to(root).as_posix()
        if UNSEEN.fullmatch(name):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            told: list[ast.expr] = []
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                told = node.exc.args
            elif isinstance(node, ast.keyword) and node.arg in ("problem", "error", "note"):
                told = [node.value]
            for text in map(text_of, told):
                if text.replace("VALUE", "").strip(": ") and not any(
                    part in text for part in UNMET
                ):
                    yield f"{name}:{told[0].lineno}", text


def test_every_line_that_a_user_may_see_has_words_in_chinese(root: Path) -> None:
    lines = list(lines_for_users(root))
    assert len(lines) > 150
    assert [each for each in lines if not in_words(each[1], "zh-CN")] == []
    for place, text in lines:
        said = in_words(text, "zh-CN").replace("VALUE", "")
        assert re.search(r"[\u4e00-\u9fff]", said), (place, said)


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
    assert part in chinese(explained(line))


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
