"""Where files live; a file written anew is whole at every moment, whoever else writes it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import config
from config import replacing


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with replacing(path) as first:
        first.write_text("first")
        with replacing(path) as second:
            second.write_text("second")
            assert first.read_text() == "first"
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("named", "folder"), [("", "."), ("relative", "relative"), ("/other disk", "/other disk")]
)
def test_what_is_written_lies_below_the_data_root_and_what_is_shipped_does_not(
    named: str, folder: str
) -> None:
    names = "LOGS WEIGHTS DATASETS RESULTS DOWNLOADS LITE CONFIGS".split()
    code = "import config, sys; print(*(getattr(config, name) for name in sys.argv[1:]), sep='\\n')"
    ran = subprocess.run(
        [sys.executable, "-c", code, *names], cwd=config.ROOT, capture_output=True, text=True,
        env={**os.environ, "RVC_DATA": named}, check=True,
    )  # fmt: skip
    *written, lite, networks = map(Path, ran.stdout.splitlines())
    data = (config.ROOT / folder).resolve()
    places = ("logs", "weights", "datasets", "results", "assets/downloads")
    assert written == [data / place for place in places]
    assert (lite, networks) == (config.ROOT / "assets/lite", config.ROOT / "configs")


@pytest.mark.parametrize("package", ["infer", "train", "tools"])
@pytest.mark.parametrize("policy", [None, "active"])
def test_threads_that_wait_give_their_core_away_unless_told_otherwise(
    package: str, policy: str | None
) -> None:
    environment = {name: value for name, value in os.environ.items() if "OMP_WAIT" not in name}
    code = f"import os, sys, {package}; assert 'torch' not in sys.modules; " + (
        "print(os.environ['OMP_WAIT_POLICY'])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=config.ROOT, capture_output=True, text=True,
        env=environment if policy is None else {**environment, "OMP_WAIT_POLICY": policy},
    )  # fmt: skip
    assert ran.stdout.strip() == (policy or "passive"), ran.stderr


def test_a_container_is_asked_how_many_processors_it_may_keep_busy(tmp_path: Path) -> None:
    file = tmp_path / "cpu.max"
    assert config.processor_limit(file) is None
    for text, limit in (("max 100000\n", None), ("250000 100000\n", 2), ("1000 100000\n", 1)):
        file.write_text(text)
        assert config.processor_limit(file) == limit


@pytest.mark.parametrize(("gain", "is_faster"), [(2.0, True), (1.1, False)])
def test_bfloat16_is_taken_where_it_was_measured_to_be_faster_and_measured_once(
    gain: float, is_faster: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = config.is_bfloat16_faster.__wrapped__  # as by a process of its own
    file = tmp_path / "new" / "speed.json"
    monkeypatch.setattr(config, "BFLOAT16_FILE", file)
    found = {"avx512_bf16": True, "cpu_name": "x"}
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: found, raising=False)
    measured = []
    monkeypatch.setattr(config, "_bfloat16_gain", lambda: measured.append(gain) or gain)
    assert [asked(), asked()] == [is_faster, is_faster]
    assert measured == [gain]
    file.write_text("[damaged", encoding="utf-8")
    assert asked() == is_faster
    assert len(measured) == 2
    found["avx512_bf16"] = False
    assert asked() is False
    assert len(measured) == 2


def test_the_measurement_is_short() -> None:
    assert 0.01 < config._bfloat16_gain() < 100
