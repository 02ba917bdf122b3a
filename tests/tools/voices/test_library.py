"""The voices on disk: listed, renamed, thrown away, brought back, shared and taken in with care."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import struct
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import config
from infer.voice.checkpoint import load_voice_model, save_voice_model
from tools.cmd import voices as command
from tools.jobs.training import experiments
from tools.voices import choices
from tools.voices.library import Library, LibraryError, TrainingStateError, check_index
from tools.voices.zips import add_to_library, pack

PICTURE = b"\x89PNG\r\n\x1a\n and so on"


def index_bytes(dim: int = 513, count: int = 8) -> bytes:
    """A flat index as faiss writes it."""
    head = struct.pack("<4siqqq?iQ", b"IxF2", dim, count, 2**20, 2**20, True, 1, dim * count)
    return head + bytes(4 * dim * count)


@pytest.fixture
def library(tmp_path: Path, untrained_voice: Path) -> Library:
    """A library of one voice, 声 one, with index, presets and picture."""
    made = Library(tmp_path / "weights", tmp_path / "logs", tmp_path / "shipped")
    for folder in (made.weights, made.logs, made.shipped):
        folder.mkdir()
    shutil.copy(untrained_voice, made.weights / "声 one.pth")
    shutil.copy(untrained_voice, made.shipped / "demo.pth")
    (made.weights / "声 one.index").write_bytes(index_bytes())
    (made.weights / "声 one.presets.json").write_text('{"deep": {"semitones": -5}}')
    (made.weights / "声 one.png").write_bytes(PICTURE)
    return made


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".trash")}


def test_voices_are_listed_with_what_belongs_to_them_and_bad_files_with_their_fault(
    library: Library,
) -> None:
    (library.weights / "bad.pth").write_bytes(b"nothing")
    torch.save({"model": {"emb_g.weight": torch.zeros(1, 2)}}, library.weights / "G_5.pth")
    shutil.copy(library.shipped / "demo.pth", library.weights / "loud.PTH")
    (library.weights / "._loud.PTH").write_bytes(b"\0\5\26\7")  # as Macs leave it on a stick
    found = {voice.name: voice for voice in library.voices()}
    good = found["声 one"]
    assert (good.problem, good.header.version, good.header.sample_rate) == (None, "lite", 24000)
    assert good.index == library.weights / "声 one.index"
    assert good.picture == library.weights / "声 one.png"
    assert "holds no voice" in str(found["bad"].problem)
    assert "extract" in str(found["G_5"].problem)
    assert found["loud"].problem is None and len(found) == 5
    assert found["demo"].is_shipped and list(found)[-1] == "demo"


def test_a_voice_goes_to_the_trash_and_comes_back_whole(library: Library) -> None:
    before = names(library.weights)
    path = library.weights / "声 one.pth"
    entry = library.trash(path)
    assert names(library.weights) == set()
    assert [each.name for each in library.trashed()] == ["声 one"]
    path.write_bytes(b"another took its name")
    with pytest.raises(LibraryError, match="exists already"):
        library.restore(entry.folder)
    path.unlink()
    assert library.restore(entry.folder) == path
    assert names(library.weights) == before
    assert library.trashed() == []
    for wrong in ("../..", "", "nothing"):
        with pytest.raises(LibraryError, match="trash"):
            library.restore(wrong)


def test_a_voice_is_renamed_with_its_files_and_never_over_another(library: Library) -> None:
    path = library.rename(library.weights / "声 one.pth", "two")
    assert names(library.weights) == {"two.pth", "two.index", "two.presets.json", "two.png"}
    shutil.copy(path, library.weights / "three.pth")
    with pytest.raises(LibraryError, match="exists already"):
        library.rename(path, "THREE")
    for wrong in ("../out", "a/b", "con", "a:b", ""):
        with pytest.raises(ValueError, match="cannot be a name"):
            library.rename(path, wrong)


def test_the_shipped_voice_and_files_elsewhere_are_left_alone(library: Library) -> None:
    for path in (library.shipped / "demo.pth", library.logs / "x.pth"):
        with pytest.raises(LibraryError, match="only voices there"):
            library.trash(path)
    assert (library.shipped / "demo.pth").exists()


def test_a_packed_voice_arrives_elsewhere_byte_for_byte(library: Library, tmp_path: Path) -> None:
    voice_zip = pack(library, library.weights / "声 one.pth", tmp_path / "one.zip")
    with zipfile.ZipFile(voice_zip) as archive:
        manifest = json.loads(archive.read("voice.json"))
        assert str(tmp_path) not in archive.read("voice.json").decode()
    assert (manifest["version"], manifest["sample_rate"]) == ("lite", 24000)
    other = Library(tmp_path / "other", tmp_path / "logs", tmp_path / "shipped")
    other.weights.mkdir()
    add_to_library(other, voice_zip)
    assert names(other.weights) == names(library.weights)
    for path in other.weights.iterdir():
        assert path.read_bytes() == (library.weights / path.name).read_bytes()
    (voice, _) = other.voices()
    assert voice.index == other.weights / "声 one.index"
    before = {path: path.read_bytes() for path in other.weights.iterdir()}
    with pytest.raises(LibraryError, match="exists already"):
        add_to_library(other, voice_zip)
    add_to_library(other, voice_zip, name="again")
    add_to_library(other, voice_zip, replace=True)
    assert {path: path.read_bytes() for path in before} == before
    assert len(names(other.weights)) == 8


def test_an_index_in_the_experiment_goes_into_the_zip_under_the_voice_s_name(
    library: Library, tmp_path: Path
) -> None:
    (library.weights / "声 one.index").unlink()
    (library.logs / "声 one").mkdir()
    built = library.logs / "声 one/added_IVF1_Flat_nprobe_1_声 one_lite.index"
    built.write_bytes(index_bytes(count=9))
    voice_zip = pack(library, library.weights / "声 one.pth", tmp_path / "one.zip")
    with zipfile.ZipFile(voice_zip) as archive:
        assert archive.read("声 one.index") == built.read_bytes()


def write_zip(path: Path, entries: dict[str, bytes], **changes: int) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            item = zipfile.ZipInfo(name)
            item.compress_type = zipfile.ZIP_DEFLATED
            for attribute, value in changes.items():
                setattr(item, attribute, value)
            archive.writestr(item, content)
    return path


def refused(library: Library, path: Path, match: str) -> None:
    """Nothing at all was written."""
    before = {each: each.read_bytes() for each in library.weights.rglob("*") if each.is_file()}
    outside = names(library.weights.parent)
    with pytest.raises(LibraryError, match=match):
        add_to_library(library, path)
    after = {each: each.read_bytes() for each in library.weights.rglob("*") if each.is_file()}
    assert after == before
    assert names(library.weights.parent) == outside
    assert not list(library.weights.glob(".incoming*"))


@pytest.mark.parametrize(
    "name", ["../evil.pth", "/evil.pth", "a/../../evil.pth", "C:/evil.pth", "..\\evil.pth"]
)
def test_paths_that_lead_out_are_refused(
    library: Library, untrained_voice: Path, tmp_path: Path, name: str
) -> None:
    path = write_zip(tmp_path / "evil.zip", {name: untrained_voice.read_bytes()})
    refused(library, path, "leads out")


def test_links_bombs_damage_and_devices_are_refused(library: Library, tmp_path: Path) -> None:
    link = (stat.S_IFLNK | 0o777) << 16
    file = tmp_path / "evil.zip"
    refused(library, write_zip(file, {"a.pth": b"/etc/passwd"}, external_attr=link), "link")
    refused(library, write_zip(file, {"a.pth": bytes(2**25)}), "far more")
    refused(library, write_zip(file, {f"{i}.png": b"" for i in range(1001)}), "1001 files")
    refused(library, write_zip(file, {"readme.txt": b"hello"}), "no voice")
    refused(library, write_zip(file, {"a.pth": b"no torch file"}), "^a.pth holds no voice")
    refused(library, write_zip(file, {"a.pth": b"no voice", "a.index": index_bytes()}), "^a.pth")
    (file).write_bytes(b"PK no zip")
    refused(library, file, "no zip")


def test_one_bad_part_of_a_zip_is_told_and_the_rest_arrives(
    library: Library, untrained_voice: Path, tmp_path: Path
) -> None:
    voice = untrained_voice.read_bytes()
    index = index_bytes()
    parts = {
        "a/one.pth": (voice, ""),
        "a/one.index": (b"no index", "^one.index is damaged or not a faiss index"),
        "a/one.png": (b"<svg>", "^one.png is no picture"),
        "b/ONE.pth": (voice, "two files called ONE.pth"),
        "two.safetensors": (b"no voice", "^two.safetensors"),
        "two.index": (index, ""),  # of a voice that did not arrive
        "three.pth": (voice, ""),
        "three.index": (index, ""),
        "three more.index": (index[:-100], "^three more.index is damaged"),
        "three_wide.index": (index_bytes(dim=768), "768 values, the voice needs 513"),
        "three_x.index": (index, "^three_x.index is one index or picture too many"),
        "three.presets.json": (b"[1]", "^three.presets.json holds no presets"),
        "../four.pth": (voice, "leads out"),
        "声 one.pth": (voice, "声 one.pth exists already"),
        "con.pth": (voice, "'con' cannot be a name"),
    }
    before = names(library.weights)
    path = write_zip(tmp_path / "many.zip", {name: part for name, (part, _) in parts.items()})
    arrived = add_to_library(library, path)
    assert {each.name for each in arrived.files} == {"one.pth", "three.pth", "three.index"}
    assert names(library.weights) - before == {"one.pth", "three.pth", "three.index"}
    told = [match for _, match in parts.values() if match]
    said = [str(problem) for problem in arrived.refused]
    assert [match for match in told if not any(re.search(match, line) for line in said)] == []
    assert len(said) == len(told)


def test_a_part_that_was_damaged_on_its_way_is_told_and_the_voice_arrives(
    library: Library, tmp_path: Path
) -> None:
    voice_zip = pack(library, library.weights / "声 one.pth", tmp_path / "one.zip")
    library.trash(library.weights / "声 one.pth")
    whole = bytearray(voice_zip.read_bytes())
    whole[whole.find(PICTURE) + 8] ^= 1  # its checksum tells
    voice_zip.write_bytes(whole)
    arrived = add_to_library(library, voice_zip)
    assert [str(problem) for problem in arrived.refused] == [
        "one.zip: '声 one.png' in it is damaged (Bad CRC-32 for file '声 one.png')"
    ]
    assert names(library.weights) == {"声 one.pth", "声 one.index", "声 one.presets.json"}
    with zipfile.ZipFile(voice_zip, "w") as archive:
        archive.writestr("a.pth", (library.shipped / "demo.pth").read_bytes())
        archive.writestr("voice.json", json.dumps({"files": {"a.pth": "0" * 64}}))
    refused(library, voice_zip, "damaged on its way")


def test_a_zip_of_another_program_gives_its_voice_and_index_and_nothing_else(
    library: Library, untrained_voice: Path, tmp_path: Path
) -> None:
    path = write_zip(
        tmp_path / "shared.zip",
        {
            "Singer/": b"",
            "Singer/singer_e200.pth": untrained_voice.read_bytes(),
            "Singer/added_IVF1_Flat_nprobe_1_singer_v2.index": index_bytes(),
            "Singer/trained_IVF1_Flat_nprobe_1_singer_v2.index": index_bytes(count=0),
            "Singer/total_fea.npy": b"large",
            "Singer/read me.txt": b"hello",
            "Singer/run.bat": b"format c:",
        },
    )
    arrived = add_to_library(library, path, name="singer")
    assert {each.name for each in arrived.files} == {"singer.pth", "singer.index"}
    assert arrived.refused == []
    assert {each for each in names(library.weights) if "声" not in each} == {
        "singer.pth",
        "singer.index",
    }


def test_a_training_state_is_recognised_by_its_content(library: Library, tmp_path: Path) -> None:
    state = tmp_path / "my voice.pth"
    torch.save({"model": {"emb_g.weight": torch.zeros(1, 2)}, "iteration": 3}, state)
    with pytest.raises(TrainingStateError, match="extract"):
        add_to_library(library, state)
    with zipfile.ZipFile(tmp_path / "shared.zip", "w") as archive:
        archive.write(state, state.name)
    refused(library, tmp_path / "shared.zip", "^my voice.pth is a training state")
    alone = tmp_path / "text.pth"
    alone.write_text("hello")
    refused(library, alone, "^text.pth holds no voice")


def test_an_index_alone_joins_the_voice_of_that_name(library: Library, tmp_path: Path) -> None:
    (library.weights / "声 one.index").unlink()
    built = tmp_path / "added_IVF1_Flat.index"
    built.write_bytes(index_bytes())
    assert add_to_library(library, built, name="声 one").files == [library.weights / "声 one.index"]
    built.write_bytes(index_bytes(dim=256))
    with pytest.raises(LibraryError, match="256 values"):
        add_to_library(library, built, name="声 one", replace=True)


def test_the_command_shows_extracts_merges_and_refuses_in_one_line(
    root: Path, tmp_path: Path, untrained_voice: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    assert command.main(["show", "--file", str(root / "assets/lite/base_G.pth")]) == 0
    assert "training state" in capsys.readouterr().out
    made = tmp_path / "made.pth"
    extract = ["extract", "--state", str(root / "assets/lite/base_G.pth"), "--voice", str(made)]
    assert command.main(extract) == 0
    assert "lite, 24000 Hz, with f0, 1 speakers" in capsys.readouterr().out
    assert command.main(extract) == 1
    assert "exists already" in capsys.readouterr().err
    merged = tmp_path / "merged.pth"
    demo = str(root / "assets/lite/demo.pth")
    words = ["merge", "--first", demo, "--second", str(made), "--voice", str(merged)]
    assert command.main([*words, "--share", "0.25"]) == 0
    parts = [load_voice_model(Path(p)).weights for p in (demo, made, merged)]
    name = next(iter(parts[0]))
    wanted = 0.25 * parts[0][name] + 0.75 * parts[1][name]
    assert torch.equal(parts[2][name].half(), wanted.half())
    assert command.main([*words[:3], "--second", str(untrained_voice), *words[5:-1], "x.pth"]) == 1
    assert "cannot be merged" in capsys.readouterr().err
    assert command.main(["pack", "--voice", "no such voice", "--output", "x.zip"]) == 1
    assert "no voice 'no such voice'" in capsys.readouterr().err
    voice_zip = write_zip(tmp_path / "x.zip", {"new.pth": made.read_bytes(), "new.index": b"none"})
    monkeypatch.setattr("config.WEIGHTS", tmp_path / "weights")
    assert command.main(["unpack", "--input", str(voice_zip)]) == 1
    said = capsys.readouterr()
    assert said.out == f"{tmp_path / 'weights/new.pth'}\n"
    assert said.err == "error: not added: new.index is damaged or not a faiss index\n"
    assert command.main(["dance"]) == 2


def test_a_voice_that_is_not_there_and_what_a_mac_adds_do_not_stop_the_rest(
    library: Library, untrained_voice: Path, tmp_path: Path
) -> None:
    (library.weights / "usb.pth").symlink_to(tmp_path / "unplugged" / "usb.pth")
    (library.weights / "folder.pth").mkdir()
    (library.weights / "usb.index").symlink_to(tmp_path / "unplugged" / "usb.index")
    found = {voice.name: voice.problem for voice in library.voices()}
    assert found["声 one"] is None
    assert "no file usb.pth" in str(found["usb"]) and found["folder"] is not None
    assert library.find("声 one") == library.weights / "声 one.pth"
    entries = {
        "My Voice.pth": untrained_voice.read_bytes(),
        "__MACOSX/._My Voice.pth": b"\0\5\26\7",
        ".DS_Store": b"x",
    }
    taken = add_to_library(library, write_zip(tmp_path / "mac.zip", entries)).files
    assert [path.name for path in taken] == ["My Voice.pth"]


def test_a_shipped_index_in_8_bits_is_one_to_share(library: Library, root: Path) -> None:
    for index in (root / "assets/lite").glob("added_*.index"):
        assert check_index(index, 513) == 513


def test_an_index_that_cannot_be_read_and_one_of_a_safetensors_voice_are_no_voices_index(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    lone = library.weights / "声 one two.index"
    (library.weights / "声 one.index").rename(lone)
    assert library.voice(library.weights / "声 one.pth").index == lone
    shutil.copy(library.shipped / "demo.pth", library.weights / "声 one two.safetensors")
    assert library.voice(library.weights / "声 one.pth").index is None
    read = Path.open

    def open_or_refuse(path: Path, *words: str, **more: str) -> object:
        if path.suffix == ".index":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path, *words, **more)

    monkeypatch.setattr(Path, "open", open_or_refuse)
    assert [voice.index for voice in library.voices()] == [None] * 3


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_that_are_no_text_are_rows_and_the_page_can_show_the_others(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LOGS", "WEIGHTS"):
        monkeypatch.setattr(config, name, getattr(library, name.lower()))
    good = library.weights / "声 one.pth"
    odd = [Path(os.fsdecode(os.fsencode(library.weights) + b"/\xff\xfe.pth"))]
    odd += [library.weights / "line\nbreak.pth", Path(f"{odd[0]}".replace(".pth", ".index"))]
    for path in odd:
        shutil.copy(good, path)
    model = load_voice_model(good)
    strange = replace(model, info="\ud800 made", extra={"author": "\udcff"})
    save_voice_model(library.weights / "strange.pth", strange)
    (library.logs / os.fsdecode(b"\xff")).mkdir()
    (library.logs / os.fsdecode(b"\xff") / "config.json").write_text("{}")
    voices = {voice.name: voice for voice in library.voices()}
    assert [name for name in voices if voices[name].problem] == [r"line\nbreak", "\\udcff\\udcfe"]
    assert "rename the file" in str(voices["\\udcff\\udcfe"].problem)
    shown = [
        *choices.voices(), *choices.indexes(), *experiments(library.logs),
        *(f"{voice.name} {voice.header} {voice.problem}" for voice in voices.values()),
    ]  # fmt: skip
    assert json.dumps(shown, ensure_ascii=False).encode()
    names = [name for name, _ in choices.voices()]
    assert "strange" in names and "声 one" in names and "line\nbreak" not in names
