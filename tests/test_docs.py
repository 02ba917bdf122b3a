"""Every command and every file that the texts name is there, and takes the options shown."""

from __future__ import annotations

import importlib
import re
import shlex
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from options import Options, parse_options

ROOT = Path(__file__).resolve().parents[1]
TEXTS = sorted(
    [*ROOT.glob("README*.md"), ROOT / "CONTRIBUTING.md", ROOT / "NOTICE.md"]
    + list((ROOT / "docs").rglob("*.md"))
)
OURS = ("infer", "train", "tools")
FOLDERS = (*OURS, "assets", "configs", "docs", "tests", ".github", ".ci")
MADE = ("assets/downloads",)  # by the program, when it runs


def code_of(text: str) -> Iterator[str]:
    """Yield each line of blocks of code, continued ones joined, then each piece in backticks."""
    for block in re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.M | re.S):
        yield from block.replace("\\\n", " ").splitlines()
    outside = re.sub(r"^ *```\w*\n.*?^ *```", "", text, flags=re.M | re.S)
    yield from (re.sub(r"\s+", " ", piece) for piece in re.findall(r"`([^`]+)`", outside))


def commands_of(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield (module, arguments) of every command of ours."""
    for line in code_of(text):
        for part in re.split(r"&&|\|", line):
            words = (
                shlex.split(re.sub(r"(?<=[^-]\w) \.\.\.$", "", part), comments=True)
                if "'" not in part
                else []
            )
            for number, word in enumerate(words):
                follows = number and words[number - 1] == "-m"
                if (follows or number == 0) and re.fullmatch(
                    rf"(?:{'|'.join(OURS)})\.[\w.]+", word
                ):
                    yield word, words[number + 1 :]
                    break


@cache
def options_by_module() -> dict[str, list[type[Options]]]:
    """The options classes of every command."""
    for path in ROOT.glob("[it]*/**/*.py"):
        if path.parts[len(ROOT.parts)] != "tests" and "    MODULE = " in path.read_text("utf-8"):
            name = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
            importlib.import_module(name)
    found: dict[str, list[type[Options]]] = defaultdict(list)

    def walk(cls: type[Options]) -> None:
        for each in cls.__subclasses__():
            found[each.MODULE].append(each)
            walk(each)

    walk(Options)
    return found


def help_of(cls: type[Options], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit):
        parse_options(cls, ["--help"])
    return capsys.readouterr().out


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_command_exists_and_takes_what_is_shown(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for module, arguments in commands_of(path.read_text(encoding="utf-8")):
        file = ROOT / (module.replace(".", "/") + ".py")
        assert file.is_file(), f"{module} is no module"
        flags = {word.partition("=")[0] for word in arguments if word.startswith("--")}
        classes = options_by_module().get(module)
        if not flags - {"--help"} or not classes:
            assert not flags - {"--help"}, f"what {module} takes is not known here"
            continue
        known = set(re.findall(r"--[\w-]+", " ".join(help_of(cls, capsys) for cls in classes)))
        assert flags <= known, f"{module} does not take {flags - known}"
        required = [cls for cls in classes if missing_from(cls, flags) == set()]
        if len(classes) == 1 and required:  # a whole command: its values are read, too
            parse_options(classes[0], arguments)


def missing_from(cls: type[Options], flags: set[str]) -> set[str]:
    """The options that a command needs and that are not among its flags."""
    needed = {
        "--" + name.rstrip("_").replace("_", "-")
        for name, item in cls.__dataclass_fields__.items()
        if item.default is item.default_factory  # both are MISSING
    }
    return needed - flags


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_file_that_is_named_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    named = {
        word.rstrip("/") for piece in code_of(text) for word in re.findall(r"[\w./*-]+", piece)
    }
    named = {
        word for word in named
        if "/" in word and word.split("/")[0] in FOLDERS and not word.startswith(MADE)
    }  # fmt: skip
    gone = {word for word in named if not list(ROOT.glob(word))}
    links = {
        link for link in re.findall(r"\]\(([^)#]+)\)", text)
        if ":" not in link and not (path.parent / link).exists()
    }  # fmt: skip
    assert (gone, links) == (set(), set())


def test_commands_are_found_in_blocks_and_sentences() -> None:
    text = (
        "See `train.train --minutes 5`.\n```bash\nx=1 python -m tools.cmd.voices a \\\n  --b\n```"
    )
    assert list(commands_of(text)) == [
        ("tools.cmd.voices", ["a", "--b"]), ("train.train", ["--minutes", "5"]),
    ]  # fmt: skip
