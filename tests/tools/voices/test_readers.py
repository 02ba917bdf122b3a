"""One table of odd files for everything that reads voices: all of them say the same of each."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

import config
from errors import UserError, translate_value
from infer.audio.reader import load
from infer.models.families import family
from infer.voice.checkpoint import load_voice_model, save_voice_model
from infer.voice.extract import extract_voice
from infer.voice.hparams import MRF
from tests.infer.standard_voices import narrow_voice
from tests.infer.voice.odd_files import LEGACY_CONFIG, odd_voices, saved, standard_content
from tests.infer.voice.test_public import applio_file
from tools.cmd import voices as command
from tools.datasets.recordings import take_recordings
from tools.machine.doctor import check_voices
from tools.voices.library import Library, check_index
from tools.voices.zips import add_to_library
from tools.web.views.voice_cards import voice_cards


def odd_files(folder: Path) -> dict[str, tuple[bytes, bool]]:
    """Return name -> (content, whether it is a voice that can be used)."""
    table = {
        f"{name}.pth": (content, not told)
        for name, (content, told) in odd_voices(str(folder / "ran")).items()
    }
    public = standard_content()
    save_voice_model(folder / "v.safetensors", narrow_voice("v2"))
    safe = (folder / "v.safetensors").read_bytes()
    nineteen = [*LEGACY_CONFIG[:-1], 768, LEGACY_CONFIG[-1]]
    voras = {**public, "version": "voras_beta"}
    ddpn08 = {**public, "config": nineteen, "embedder_name": "contentvec"}
    return table | {
        "good safe.safetensors": (safe, True),
        "safe named otherwise.pth": (safe, True),
        "safe cut.safetensors": (safe[:-99], False),
        "safe of nothing.safetensors": (b"", False),
        "torch in disguise.safetensors": (saved(public), False),
        "applio good.pth": (saved(applio_file(MRF, 40000)), True),
        "applio of another.pth": (saved(applio_file(MRF, 40000, vocoder="RingFormer")), False),
        "ddPn08 good.pth": (saved(ddpn08), True),
        "ddPn08 voras.pth": (saved(voras), False),
        "state.pth": (saved({"model": public["weight"], "iteration": 3}), False),
        "upper.PTH": (saved(public), True),
    }


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[bytes, bool]]:
    """The files, all of them in weights/."""
    for name in ("weights", "logs", "lite", "others", "added", "unzipped"):
        (tmp_path / name).mkdir()
    for name in ("weights", "logs", "lite"):
        monkeypatch.setattr(config, name.upper(), tmp_path / name)
    made = odd_files(tmp_path / "others")
    for name, (content, _) in made.items():
        (tmp_path / "weights" / name).write_bytes(content)
    return made


def test_every_reader_of_voices_says_the_same(
    table: dict[str, tuple[bytes, bool]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "weights"
    listed = {voice.path.name: voice for voice in Library().voices()}
    (check,) = check_voices()
    doctor = f", {translate_value(check.values['files'], 'en')}"
    voice_zip = tmp_path / "all.zip"
    with zipfile.ZipFile(voice_zip, "w") as archive:
        for name in table:
            archive.write(weights / name, name)
    arrived = add_to_library(Library(tmp_path / "unzipped"), voice_zip)
    unzipped = {path.name for path in arrived.files}
    assert len(arrived.refused) == len(table) - len(unzipped)

    def answers(name: str) -> dict[str, bool]:
        path = weights / name

        def works(reader: str) -> bool:
            try:
                if reader == "load":
                    model = load_voice_model(path)
                    family(model.version).params(**model.params)
                else:
                    add_to_library(Library(tmp_path / "added"), path)
            except UserError as error:
                assert name in str(error) and "\n" not in str(error), (reader, str(error))
                return False
            return True

        return {
            "load": works("load"),
            "add": works("add"),
            "show": command.main(["show", "--file", str(path)]) == 0,
            "list": listed[name].problem is None,
            "page": "alert" not in voice_cards([listed[name]], None),
            "doctor": f", {name}" not in doctor,
            "zip": f"{path.stem}{path.suffix.lower()}" in unzipped,
        }

    said = {name: answers(name) for name in table}
    assert said["state.pth"].pop("show")  # it shows states too
    capsys.readouterr()
    wrong = {name: each for name, each in said.items() if set(each.values()) != {table[name][1]}}
    assert wrong == {}
    assert command.main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(table)
    assert not (tmp_path / "others/ran").exists()


MISTAKES = {
    "page": (b"<!DOCTYPE html><html>Sign in</html>" * 20, "is a web page"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git-LFS pointer"),
    "packed": (b"7z\xbc\xaf\x27\x1c" + bytes(999), "is a packed archive"),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_what_was_saved_in_place_of_a_file_is_called_by_its_name_by_every_reader(
    tmp_path: Path, kind: str
) -> None:
    content, told = MISTAKES[kind]
    library = Library(tmp_path / "weights", tmp_path, tmp_path)
    readers = {
        "v.pth": [lambda path: add_to_library(library, path), load_voice_model, extract_voice],
        "v.safetensors": [lambda path: add_to_library(library, path), load_voice_model],
        "v.index": [lambda path: add_to_library(library, path), check_index],
        "v.zip": [
            lambda path: add_to_library(library, path),
            lambda path: take_recordings([path], tmp_path / "dataset"),
        ],
        "v.wav": [load],
        "v.mp3": [load],
    }
    for name, reads in readers.items():
        (tmp_path / name).write_bytes(content)
        for read in reads:
            with pytest.raises(UserError, match=rf"{name}.*{told}"):
                read(tmp_path / name)
    assert list(library.weights.iterdir()) == []
