"""The page's texts: the same in every language, each of them shown, none missing."""

from __future__ import annotations

import re
from pathlib import Path

from tools.web.app import TABS
from tools.web.i18n import load_texts


def test_every_language_has_every_text_and_no_other() -> None:
    texts = load_texts().translations
    assert set(texts) == {"en", "zh-CN"}
    for language, words in texts.items():
        assert words.keys() == texts["en"].keys(), language
        assert all(words.values()), language


def test_every_text_that_the_page_names_exists(root: Path) -> None:
    sources = [path.read_text(encoding="utf-8") for path in (root / "tools/web").rglob("*.py")]
    named = {
        name for source in sources for name in re.findall(r'(?:text|translate)\("(\w+)"', source)
    }
    named |= {f"{name}_tab" for name in TABS}
    assert len(named) > 5
    assert named <= load_texts().translations["en"].keys()


def test_every_text_is_named_somewhere_whole_or_by_its_beginning_or_end(root: Path) -> None:
    source = "".join(
        path.read_text(encoding="utf-8")
        for path in (root / "tools").rglob("*")
        if path.suffix in (".py", ".js", ".html") and "research" not in path.parts
    )
    # with a dot they are what gradio asks for and lacks
    whole = set(re.findall(r"\w+", source))
    begins = tuple(set(re.findall(r"""["'`](\w+_)["'`{$]""", source))) + ("report_files_",)
    ends = tuple(set(re.findall(r"""\}(_\w+)["'`]""", source)))
    names = {name for name in load_texts().translations["en"] if "." not in name} - whole
    assert [name for name in names if not name.startswith(begins) and not name.endswith(ends)] == []
