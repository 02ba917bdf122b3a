"""The doctor names what is wrong, and its bundle keeps what is private to itself."""

from __future__ import annotations

import json
import re
import shutil
import socket
import zipfile
from pathlib import Path

import pytest

import config
from errors import translate_value
from tools.cmd import doctor as command
from tools.machine import doctor
from train.experiment import Experiment, Source


@pytest.fixture
def machine(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the program's folders in a folder of its own."""
    home = tmp_path / "Users/Anna Muster"
    for name in ("logs", "weights", "assets/lite"):
        (home / "rvc" / name).mkdir(parents=True)
    shutil.copy(root / "requirements.txt", home / "rvc")
    for name in doctor.LITE_FILES:
        (home / "rvc/assets/lite" / name).touch()
    for name, folder in {
        "ROOT": "", "DATA": "", "LOGS": "logs", "WEIGHTS": "weights", "LITE": "assets/lite",
        "DOWNLOADS": "assets/downloads",
    }.items():  # fmt: skip
        monkeypatch.setattr(config, name, home / "rvc" / folder)
    monkeypatch.setattr(Path, "home", lambda: home)
    return home / "rvc"


def texts(root: Path, language: str = "en") -> dict[str, str]:
    path = root / f"tools/web/i18n/{language}/doctor.json"
    return json.loads(path.read_text(encoding="utf-8"))


def only(check: object) -> doctor.Check:
    (found,) = check()
    return found


def test_every_answer_has_a_text_in_both_languages(root: Path) -> None:
    source = (root / "tools/machine/doctor.py").read_text(encoding="utf-8")
    named = set(re.findall(r'"(doctor_[a-z_]+)"', source))
    assert named == texts(root).keys() == texts(root, "zh-CN").keys()
    values = re.compile(r"{(\w+)}")
    for name, text in texts(root).items():
        assert set(values.findall(text)) == set(values.findall(texts(root, "zh-CN")[name])), name


def test_packages_that_are_missing_or_too_old_are_named(machine: Path) -> None:
    assert only(doctor.check_packages).level == "ok"
    wanted = "numpy>=99\nno-such-package>=1  # why\n\n# a comment\n"
    (machine / "requirements.txt").write_text(wanted, encoding="utf-8")
    found = only(doctor.check_packages)
    assert found.level == "problem"
    said = translate_value(found.values["packages"], "en")
    assert "no-such-package is missing" in said
    assert re.search(r"numpy is [\d.]+, needed is >=99", said)
    assert "缺少 no-such-package" in translate_value(found.values["packages"], "zh-CN")


def test_torch_is_tried_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [check.text for check in doctor.check_torch()][0] == "doctor_torch"
    monkeypatch.setattr(doctor, "TORCH_CODE", "raise OSError('a dll is missing')")
    found = next(doctor.check_torch())
    assert (found.level, found.values["reason"]) == ("problem", "OSError: a dll is missing")


def test_little_memory_and_little_disk_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for gib, level in ((2, "problem"), (4, "warning"), (16, "ok")):
        monkeypatch.setattr(doctor, "total_memory", lambda gib=gib: gib * 2**30)
        assert only(doctor.check_memory).level == level
    assert doctor.total_memory() != 0
    for gib, level in ((1, "problem"), (5, "warning"), (50, "ok")):
        usage = shutil._ntuple_diskusage(100 * 2**30, 0, gib * 2**30)
        monkeypatch.setattr(shutil, "disk_usage", lambda path, usage=usage: usage)
        assert only(doctor.check_disk).level == level


def test_missing_files_and_unusable_voices_are_named(machine: Path) -> None:
    assert [check.level for check in doctor.check_assets()] == ["ok", "warning"]
    (machine / "assets/lite/base_G.pth").unlink()
    assert next(doctor.check_assets()).values["files"] == "base_G.pth"
    (machine / "weights/broken.pth").write_bytes(b"nothing")
    (machine / "logs/mi").mkdir()
    (machine / "logs/mi/added_IVF1_Flat.index").write_bytes(b"nothing")
    found = only(doctor.check_voices)
    assert found.level == "warning"
    said = translate_value(found.values["files"], "en")
    assert "broken.pth holds no voice" in said and "added_IVF1_Flat.index is damaged" in said
    assert "broken.pth 里没有音色" in translate_value(found.values["files"], "zh-CN")


def test_a_proxy_that_httpx_refuses_is_told_and_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.os, "environ", {"all_proxy": "socks://anna:secret@127.0.0.1:7890/"})
    first, *_ = doctor.check_proxies()
    assert (first.level, first.text) == ("warning", "doctor_proxy_unusable")
    assert first.values["proxies"] == "all_proxy (socks)"


def test_proxies_are_told_without_their_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.urllib.request, "getproxies", dict)
    assert only(doctor.check_proxies).text == "doctor_proxy_none"
    proxies = {"http": "http://anna:secret@proxy.example:3128", "no": "localhost"}
    monkeypatch.setattr(doctor.urllib.request, "getproxies", lambda: proxies)
    assert only(doctor.check_proxies).values["proxies"] == "http: proxy.example:3128"


def test_a_taken_port_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        monkeypatch.setattr(doctor.WebOptions, "__init__", lambda self: None)
        monkeypatch.setattr(doctor.WebOptions, "port", port)
        assert only(doctor.check_port).text == "doctor_port_taken"
    assert only(doctor.check_port).text == "doctor_port"


def test_a_folder_that_cannot_be_written_is_named(machine: Path, root: Path) -> None:
    assert only(doctor.check_folders).level == "ok"
    (machine / "weights").rmdir()
    (machine / "weights").touch()
    found = only(doctor.check_folders)
    assert "weights/: cannot be opened" in found.say(texts(root))


def test_the_bundle_holds_the_logs_and_nothing_private(machine: Path, root: Path) -> None:
    experiment = Experiment(machine / "logs/grandma")
    experiment.root.mkdir()
    recording = "/mnt/Private Tapes/Grandma 1987.wav"
    experiment.append_sources([Source(recording, 0, 1, 1)])
    (machine / "weights/uncle-bob.pth").touch()
    log = (
        f"12:00 skipped {recording}: silent (never above -42 dB)\n"
        f"12:01 {machine}/logs/grandma/train.log and C:\\Users\\Anna Muster\\secret diary.txt\n"
        "12:02 voice uncle-bob, proxy http://anna:hunter2@proxy:1, --auth anna:pass, hf_abc123\n"
        "12:03 train 12/345 (3%) 3.4 steps/s, 1:37 left, loss 0.35\n"
    )
    experiment.log_file("train").write_text(log, encoding="utf-8")
    checks = [doctor.Check("warning", "doctor_voices_bad", {"files": "uncle-bob.pth: bad"})]
    path = doctor.write_bundle(machine / "bundle.zip", checks, texts(root))
    with zipfile.ZipFile(path) as archive:
        everything = "\n".join(archive.read(name).decode() for name in archive.namelist())
        names = " ".join(archive.namelist())
    for word in (
        "Grandma", "grandma", "Tapes", "1987", "Muster", "Anna", "diary", "bob", "hunter2",
        "pass,", "hf_abc", str(machine), "anna:",
    ):  # fmt: skip
        assert word not in everything + names, word
    assert "silent (never above -42 dB)" in everything
    assert "train 12/345 (3%) 3.4 steps/s, 1:37 left, loss 0.35" in everything
    assert "warning: Not usable" in everything and "numpy" in everything


def test_the_command_prints_every_check_and_writes_the_bundle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command.main(["--bundle", str(tmp_path / "help.zip")])
    printed = capsys.readouterr().out
    for word in ("Python", "packages", "torch", "memory", "disk", "voices", "Port"):
        assert word in printed
    assert zipfile.is_zipfile(tmp_path / "help.zip")


def test_what_cannot_be_read_is_a_row_and_the_other_checks_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = {name: tmp_path / name.lower() for name in ("WEIGHTS", "LOGS", "LITE")}
    for name, folder in folders.items():
        folder.mkdir()
        monkeypatch.setattr(doctor.config, name, folder)
    (folders["WEIGHTS"] / "usb.pth").symlink_to(tmp_path / "unplugged.pth")
    (folders["WEIGHTS"] / "usb.index").symlink_to(tmp_path / "unplugged.index")
    (folders["LOGS"] / "mi").mkdir()
    (folders["LOGS"] / "mi" / "train.log").symlink_to(tmp_path / "unplugged.log")
    (folders["LOGS"] / "mi" / "sources.jsonl").write_bytes(b"\xff\xfe{}")
    (check,) = doctor.check_voices()
    said = translate_value(check.values["files"], "en")
    assert check.level == "warning" and "usb.pth" in said and "usb.index" in said
    monkeypatch.setattr(doctor.urllib.request, "getproxies", lambda: {"all": "x://a:b:c"})
    assert [each.level for each in doctor.check_proxies()] == ["ok"]
    assert doctor.write_bundle(tmp_path / "b.zip", [], {}).is_file()
