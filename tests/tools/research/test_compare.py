"""Two checkouts are measured in turns."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tools.research import compare as module
from tools.research.compare import CompareOptions, compare


def test_each_work_is_measured_in_both_in_turns_and_the_least_counts(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[Path, str]] = []

    def run(tree: Path, argv: list[str], data: Path, port: int | None) -> tuple[float, float]:
        asked.append((tree, argv[0]))
        assert (port is not None) == (argv[0] == "infer-web.py")
        seconds = 4.0 if tree == tmp_path else 1.0
        return seconds * (1 + len(asked) % 5), seconds

    monkeypatch.setattr(module, "_run", run)
    compare(CompareOptions(old=tmp_path, rounds=2))
    trees = [tree for tree, _ in asked]
    assert trees == [tmp_path, root] * 6
    assert [work for _, work in asked[::4]] == ["-m", "infer-web.py", "-c"]
    ratios = [
        line.split()[-2] for line in capsys.readouterr().out.splitlines() if "processor" in line
    ]
    assert ratios == ["0.25"] * 3


@pytest.mark.skipif(sys.platform == "win32", reason="processor time is not measured there")
def test_a_page_is_measured_until_it_answers_and_ended(tmp_path: Path) -> None:
    port = module._free_port()
    serve = ["-m", "http.server", str(port), "--bind", "127.0.0.1"]
    clock, worked = module._run(tmp_path, serve, tmp_path, port)
    assert clock > 0.01
    assert worked > 0.01
    clock, _ = module._run(tmp_path, ["-c", "print(sum(range(10**6)))"], tmp_path, None)
    assert clock > 0.01
