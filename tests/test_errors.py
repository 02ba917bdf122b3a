"""Errors are a text's name and its values: said in every language, carried between processes."""

from __future__ import annotations

import ast
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest

import errors
from errors import (
    AudioError,
    NoFile,
    UserError,
    as_user_error,
    from_json,
    read_error_texts,
    read_noted_error,
    report_error,
)

PLAIN = {"ValueError", "OSError", "FileNotFoundError", "FileExistsError", "RuntimeError"}
# mistakes in the program itself, or what a library said, handed on
PROGRAMMERS = {
    "config.py": ["cannot be halved"],
    "options.py": ["which a command line cannot say"],
    "infer/audio/filters.py": ["samples are needed"],
    "infer/audio/writer.py": ["audio must have the shape", "error.strerror"],
    "infer/chunking.py": ["samples rendered where"],
    "infer/f0/onnx.py": ["str(error)"],
    "infer/f0/windows.py": ["needs mono audio"],
    "infer/retrieval.py": ["index rate must be", "content must be"],
    "tools/live/frames.py": ["a frame of kind"],
    "tools/records.py": ["cls.__name__", "str(error)", "is no {kind}"],  # its callers name them
    "tools/voices/library.py": ["os.strerror"],
    "tools/web/i18n/__init__.py": ["stands in another file too"],
}
ROOT = Path(__file__).resolve().parents[1]
PRODUCT = [ROOT / "config.py", ROOT / "options.py"] + [
    path for folder in ("infer", "train", "tools") for path in (ROOT / folder).rglob("*.py")
]


def places(text: str) -> set[str]:
    """Return the names of the values that a text takes."""
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def kinds() -> set[str]:
    """Return the names of the classes of such errors, of those defined in the product too."""
    found = {"UserError"}
    while True:
        more = {
            node.name
            for path in [ROOT / "errors.py", *PRODUCT]
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.ClassDef) and found & {ast.unparse(b) for b in node.bases}
        }
        if more <= found:
            return found
        found |= more


def raised() -> Iterator[tuple[str, str, set[str] | None]]:
    """Yield (place, text's name, names of the values, None = not to be told) of every error."""
    classes = kinds()
    for path in PRODUCT:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or ast.unparse(node.func) not in classes:
                continue
            name = node.args[0]
            if isinstance(name, ast.Constant):
                given = {word.arg for word in node.keywords}
                where = f"{path.relative_to(ROOT)}:{node.lineno}"
                yield where, name.value, None if None in given else given


def test_every_language_has_the_same_texts_with_the_same_values() -> None:
    english, *others = read_error_texts().values()
    for texts in others:
        assert list(texts) == list(english)
        differing = [name for name in texts if not places(texts[name]) <= places(english[name])]
        assert differing == []


def test_every_error_that_is_raised_has_a_text_and_gives_its_values() -> None:
    texts = read_error_texts()["en"]
    found = list(raised())
    assert len(found) > 50
    wrong = [
        (where, name)
        for where, name, given in found
        if name not in texts or (given is not None and places(texts[name]) != given)
    ]
    assert wrong == []


def test_an_error_that_a_user_can_mend_has_a_name() -> None:
    found = []
    for path in PRODUCT:
        where = path.relative_to(ROOT).as_posix()
        if where.startswith("tools/research/"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            said = ast.unparse(node.exc) if isinstance(node, ast.Raise) and node.exc else ""
            is_known = any(words in said for words in PROGRAMMERS.get(where, ()))
            if said.partition("(")[0] in PLAIN and "(" in said and not is_known:
                found.append(f"{where}:{node.lineno} {said}")
    assert found == []


def test_every_text_is_used() -> None:
    constants = {
        node.value
        for path in [ROOT / "errors.py", *PRODUCT]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert set(read_error_texts()["en"]) - constants == set()


def test_an_error_speaks_of_a_file_by_another_name() -> None:
    path = Path("/uploads/7/音.wav")
    reason = AudioError("empty", file=path)
    error = AudioError("misfit", file=f"{path}.part", reason=[reason], count=7)
    renamed = error.rename(path, "音.wav")
    assert type(renamed) is AudioError and renamed.values["count"] == 7
    assert str(renamed) == "音.wav.part does not fit: 音.wav: the file is empty (0 bytes)"


def test_a_process_notes_its_error_for_the_one_that_started_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert read_noted_error(tmp_path / "error") is None
    monkeypatch.setenv(errors.ERROR_FILE, str(tmp_path / "error"))
    error = NoFile("no_such", file="音.pth")
    report_error(error)
    assert capsys.readouterr().err == "error: no file 音.pth\n"
    assert str(read_noted_error(tmp_path / "error")) == str(error)
    (tmp_path / "error").write_text('{"name": "no_such"')  # killed while it wrote
    assert read_noted_error(tmp_path / "error") is None


def test_a_reason_is_said_in_the_language_of_the_error(tmp_path: Path) -> None:
    reason = [UserError("tensor_missing", name="a.weight"), UserError("and_more", count=2)]
    error = UserError("misfit", file="v.pth", reason=reason)
    assert str(error) == "v.pth does not fit: a.weight is missing, and 2 more"
    assert error.translate("zh-CN") == "v.pth 与网络结构不符：缺少 a.weight, 另有 2 处"


@pytest.mark.parametrize(
    "error",
    [
        AudioError("short", file=Path("a.wav"), found=0.05, needed=0.1),
        NoFile("no_such", file=Path("音 色.pth")),
        UserError("damaged", file="v.pth", reason=UserError("check_sum", name="data.pkl")),
    ],
)
def test_an_error_survives_pickle_and_json(error: UserError) -> None:
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    back = from_json(json.loads(json.dumps(error.to_json())))
    assert str(back) == str(error) and back.translate("zh-CN") == error.translate("zh-CN")


def test_other_errors_are_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught:
        (tmp_path / "none").open()
    told = as_user_error(caught.value)
    assert str(told) == f"{tmp_path / 'none'}: cannot be opened (No such file or directory)"
    assert str(as_user_error(RuntimeError("two\n lines"))) == "two lines"
    assert str(as_user_error(KeyError())) == "KeyError"


def test_a_newer_programs_error_is_still_shown() -> None:
    assert "later 7" in str(from_json({"name": "later", "values": {"later": "later 7"}}))
    assert isinstance(errors.NoFile("no_such", file="x"), FileNotFoundError)
