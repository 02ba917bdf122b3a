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
from errors import AudioError, NoFile, UserError, as_user_error, from_json, read_error_texts

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
        if name not in texts or (given is not None and not places(texts[name]) <= given)
    ]
    assert wrong == []


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
