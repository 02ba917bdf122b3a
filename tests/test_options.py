import shlex
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from infer.options import ConvertOptions
from options import Options, command, option, parse_options, printable


@dataclass(frozen=True, kw_only=True)
class ToyOptions(Options):
    """Toys at 100%."""

    MODULE = "toys"

    name: str = option("a name")
    keep: bool = option("keep it", True)
    loud: bool = option("make noise", False)
    size: float = option("size in %", 1.5, within=(-10, 10))
    color: str = option("a color", "red", choices=("red", "blue"))
    where: Path | None = option("a place", None)


@pytest.mark.parametrize("size", ["1", None, "nan", [1]])
def test_a_number_that_is_none_is_told(size):
    with pytest.raises(ValueError, match="--size is .*it must be a number"):
        ToyOptions(name="x", size=size)


def test_a_command_gives_its_options_back():
    options = ConvertOptions(
        voice=Path("my voices/小明.pth"),
        input=Path("-strange.wav"),
        output=Path("out"),
        semitones=-1e-05,
        index=Path('a\'b "c".index'),
        seed=7,
        format="flac",
    )
    assert parse_options(ConvertOptions, command(options)[3:]) == options


def test_a_printed_command_survives_the_shell():
    options = ToyOptions(name="it's $HOME; rm *", keep=False, loud=True, where=Path("a b"))
    argv = shlex.split(printable(command(options)))
    assert argv[:3] == [sys.executable, "-m", "toys"]
    assert parse_options(ToyOptions, argv[3:]) == options


def test_a_command_is_quoted_for_cmd_on_windows(monkeypatch):
    monkeypatch.setattr("options.os", SimpleNamespace(name="nt"))
    assert printable(["py", r"C:\my voices\x.wav", "R&B", "a"]) == (
        r'py "C:\my voices\x.wav" "R&B" a'
    )


def test_options_at_their_default_are_left_out_of_the_command():
    assert command(ToyOptions(name="x"))[3:] == ["--name", "x"]


def test_booleans_are_flags_that_can_be_denied():
    options = parse_options(ToyOptions, ["--name", "x", "--no-keep", "--loud"])
    assert (options.keep, options.loud) == (False, True)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--name", "x", "--color", "green"], "--color is 'green'; choose one of: red, blue"),
        (["--name", "x", "--size", "11"], "--size is 11.0; it must be from -10 to 10"),
        (["--name", "x", "--size", "nan"], "finite"),
        (["--name", "x", "--size", "big"], "--size"),
        (["--name", "x", "--col", "red"], "--col"),
        ([], "--name"),
    ],
)
def test_a_bad_option_ends_with_usage_and_the_reason(argv, message, capsys):
    with pytest.raises(SystemExit) as stop:
        parse_options(ToyOptions, argv)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_a_bad_value_is_refused_in_python_too():
    with pytest.raises(ValueError, match="--index-rate is 1.5"):
        replace(ConvertOptions(voice=Path("v"), input=Path("i"), output=Path("o")), index_rate=1.5)


def test_help_shows_the_defaults_and_percent_signs(capsys):
    with pytest.raises(SystemExit):
        parse_options(ToyOptions, ["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "Toys at 100%." in text
    assert "size in % (default: 1.5)" in text
    assert "keep it (default: yes)" in text
    assert "a place (default" not in text


def test_the_options_are_read_without_torch_or_numpy():
    code = "import sys, train.options; print({'torch', 'numpy'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "set()", result.stderr
