"""The command: groups, what is told without internet, taking files from a folder or .zip."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

import config
from options import command, parse_options
from tests.tools.bad_server import Server, fail, send
from tools.cmd import download_assets as module
from tools.cmd.download_assets import main
from tools.machine import fetch as fetch_module
from tools.machine.assets import assets
from tools.machine.fetch import open_client
from tools.options import ASSET_GROUPS, HUB, DownloadAssetsOptions

CONTENTS = {
    "hubert_base.pt": b"hubert" * 1000,
    "rmvpe.pt": b"rmvpe" * 3000,
    "pretrained/f0G40k.pth": b"one" * 500,
    "pretrained_v2/f0G40k.pth": b"two" * 500,
    "pretrained_v2/G40k.pth": b"no pitch" * 700,
}


@pytest.fixture
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty assets/downloads, and a table of small files; the last one's size is not known."""
    lines = [
        f"{name} {'-' if name.endswith('/G40k.pth') else len(content)} "
        f"{hashlib.sha256(content).hexdigest()}"
        for name, content in CONTENTS.items()
    ]
    monkeypatch.setattr("tools.machine.assets.TABLE", "\n".join(["", *lines, ""]))
    monkeypatch.setattr("config.DOWNLOADS", tmp_path / "downloads")
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    return tmp_path / "downloads"


def places(downloads: Path) -> dict[str, bytes]:
    """Everything that lies in a folder."""
    files = [path for path in downloads.rglob("*") if path.is_file()]
    return {path.relative_to(downloads).as_posix(): path.read_bytes() for path in files}


ALL_PLACES = {
    "hubert/hubert_base.pt": CONTENTS["hubert_base.pt"],
    "rmvpe/rmvpe.pt": CONTENTS["rmvpe.pt"],
    **{name: content for name, content in CONTENTS.items() if "/" in name},
}


def test_the_table_has_what_the_program_looks_for() -> None:
    names = {asset.name for asset in assets()}
    assert len(names) == len(assets()) == 27
    for folder in ("pretrained", "pretrained_v2"):
        for kind in ("G", "D", "f0G", "f0D"):
            assert {f"{folder}/{kind}{rate}k.pth" for rate in (32, 40, 48)} <= names
    assert all(len(bytes.fromhex(asset.sha256)) == 32 for asset in assets())
    default = {asset.name for asset in assets("v2")}
    assert len(default) == 8 and {"hubert_base.pt", "rmvpe.pt"} < default
    groups = [group for group in ASSET_GROUPS if group != "songs"]
    assert {each.name for group in groups for each in assets(group)} == names
    assert len(bytes.fromhex(assets("songs")[0].sha256)) == 32
    from infer.content import CONTENTVEC_FILES
    from infer.f0 import RMVPE_FILES

    told = {asset.path.relative_to(config.DOWNLOADS).as_posix() for asset in assets()}
    assert {CONTENTVEC_FILES[0], *RMVPE_FILES} <= told


def test_everything_missing_is_fetched_and_then_nothing(
    downloads: Path,
    server: Server,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def by_name(handler) -> None:
        name = handler.path.split("/resolve/main/")[1]
        assert handler.path.startswith("/lj1995/VoiceConversionWebUI/resolve/main/")
        send(CONTENTS[name])(handler)

    server.script = [by_name]
    options = DownloadAssetsOptions(what="all", mirror=server.url + "/")
    assert main(options) == 0
    assert places(downloads) == ALL_PLACES
    assert "5 files came" in capsys.readouterr().out
    asked = len(server.ranges)
    assert main(options) == 0
    assert len(server.ranges) == asked


def test_one_file_that_the_mirror_lacks_does_not_keep_the_others_away(
    downloads: Path,
    server: Server,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def by_name(handler) -> None:
        name = handler.path.rsplit("/", 1)[-1]
        (fail(404) if name == "hubert_base.pt" else send(CONTENTS[name]))(handler)

    server.script = [by_name]
    assert main(DownloadAssetsOptions(what="base", mirror=server.url)) == 1
    assert list(places(downloads)) == ["rmvpe/rmvpe.pt"]
    told = capsys.readouterr().err
    assert "hubert_base.pt does not exist" in told
    assert f"-> {downloads / 'hubert/hubert_base.pt'}" in told
    assert "rmvpe.pt" not in told.split("Missing:")[1]


def test_without_internet_it_says_soon_what_belongs_where(root: Path) -> None:
    started = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-m", "tools.cmd.download_assets", "--what", "all"]
        + ["--mirror", "http://127.0.0.1:9"],
        cwd=root, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert time.monotonic() - started < 10 + 20  # the 20 are for starting Python beside others
    assert ran.returncode == 1
    for asset in assets():
        if not asset.path.exists():
            assert asset.urls("http://127.0.0.1:9")[0] in ran.stderr
            assert f"-> {asset.path}" in ran.stderr
    assert "189.5 MB" in ran.stderr or (config.DOWNLOADS / "hubert").exists()
    assert "--mirror https://hf-mirror.com" in ran.stderr
    assert "--from FOLDER" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_the_environment_names_the_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    assert DownloadAssetsOptions().mirror == HUB
    monkeypatch.setenv("HF_ENDPOINT", "https://hf-mirror.com")
    options = DownloadAssetsOptions(from_=Path("a b.zip"), list_=True)
    assert options.mirror == "https://hf-mirror.com"
    assert command(options)[-3:] == ["--from", "a b.zip", "--list"]
    assert parse_options(DownloadAssetsOptions, command(options)[3:]) == options
    with pytest.raises(ValueError, match="must begin with https"):
        DownloadAssetsOptions(mirror="hf-mirror.com")


def test_a_proxy_of_the_environment_is_used(
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.url)
    monkeypatch.delenv("http_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY")
    asked = []
    server.script = [lambda handler: (asked.append(handler.path), send(b"by proxy")(handler))]
    with open_client() as client:
        assert client.get("http://hub.invalid/file").content == b"by proxy"
    assert asked == ["http://hub.invalid/file"]


def test_list_tells_what_is_there(downloads: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for asset in assets("base"):
        asset.path.parent.mkdir(parents=True)
    first, second = assets("base")
    first.part.write_bytes(bytes(5))
    second.path.write_bytes(b"cut")
    assert main(DownloadAssetsOptions(what="all", list_=True)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert "0.0 MB there" in lines[0]
    assert "3 bytes and not 15000; delete it" in lines[1]
    assert "missing" in lines[2]
    assert set(places(downloads)) == {"hubert/hubert_base.pt.part", "rmvpe/rmvpe.pt"}


def write_source(folder: Path, is_zip: bool) -> Path:
    """The files under other names and in other places than they belong, beside others."""
    files = {f"x/{i}.bin": content for i, content in enumerate(CONTENTS.values())}
    files = {
        "x/y/hubert_base.pt": CONTENTS["hubert_base.pt"],
        "renamed by a browser (1).bin": CONTENTS["rmvpe.pt"],
        "f0G40k.pth": CONTENTS["pretrained/f0G40k.pth"],
        "v2/f0G40k.pth": CONTENTS["pretrained_v2/f0G40k.pth"],
        "G40k.pth": CONTENTS["pretrained_v2/G40k.pth"],
        "song.mp3": b"la" * 100,
    }
    if is_zip:
        with zipfile.ZipFile(folder / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(f"../../{name}", content)
        return folder / "all.zip"
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("is_zip", [False, True])
def test_files_are_taken_from_a_folder_or_zip_by_their_hash(
    downloads: Path, tmp_path: Path, is_zip: bool
) -> None:
    (tmp_path / "usb").mkdir()
    source = write_source(tmp_path / "usb", is_zip)
    before = places(tmp_path)
    assert main(DownloadAssetsOptions(what="all", from_=source)) == 0
    assert places(downloads) == ALL_PLACES
    # nothing was written elsewhere, wherever the names in the .zip point
    assert {k: v for k, v in places(tmp_path).items() if not k.startswith("downloads/")} == before


def test_a_file_that_only_bears_the_name_is_not_taken(
    downloads: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "usb"
    source.mkdir()
    (source / "rmvpe.pt").write_bytes(b"x" * len(CONTENTS["rmvpe.pt"]))
    (source / "hubert_base.pt").write_bytes(CONTENTS["hubert_base.pt"])
    assert main(DownloadAssetsOptions(what="base", from_=source)) == 1
    assert list(places(downloads)) == ["hubert/hubert_base.pt"]
    told = capsys.readouterr()
    assert "1 files came" in told.out
    told = told.err
    assert "rmvpe.pt is not the file that is known by this name" in told


def test_what_is_there_is_never_overwritten(downloads: Path, tmp_path: Path) -> None:
    mine = assets("base")[1].path
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"my own")
    (tmp_path / "usb").mkdir()
    assert main(DownloadAssetsOptions(what="all", from_=write_source(tmp_path / "usb", True))) == 0
    assert mine.read_bytes() == b"my own"


def test_hostile_zips_do_no_harm(
    downloads: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rmvpe.pt", bytes(20_000_000))
    monkeypatch.setattr(module, "LARGEST", 1_000_000)
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("it was unpacked"))
    assert main(DownloadAssetsOptions(what="base", from_=bomb)) == 1
    monkeypatch.undo()
    monkeypatch.setattr("config.DOWNLOADS", downloads)
    damaged = tmp_path / "damaged.zip"
    with zipfile.ZipFile(damaged, "w") as archive:
        archive.writestr("rmvpe.pt", CONTENTS["rmvpe.pt"])
    raw = damaged.read_bytes()
    damaged.write_bytes(raw.replace(b"rmvpermvpe", b"rmvpXrmvpe", 1))
    assert main(DownloadAssetsOptions(what="base", from_=damaged)) == 1
    assert "CRC" in capsys.readouterr().err
    (tmp_path / "not.zip").write_bytes(b"PK")
    for source in (tmp_path / "not.zip", tmp_path / "nowhere"):
        assert main(DownloadAssetsOptions(what="base", from_=source)) == 1
        assert "neither a folder nor a .zip" in capsys.readouterr().err
    assert places(downloads) == {}


def test_a_full_disk_is_told_before_anything_is_fetched(
    downloads: Path, server: Server, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    server.script = [send()]
    monkeypatch.setattr(module, "SPARE_BYTES", 10**18)
    assert main(DownloadAssetsOptions(what="base", mirror=server.url)) == 1
    assert "are free" in capsys.readouterr().err
    assert server.ranges == []


def test_ctrl_c_keeps_what_came_and_says_how_to_go_on(
    downloads: Path, server: Server, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def receive(*arguments: object) -> int:
        if calls:
            raise KeyboardInterrupt
        calls.append(arguments)
        return original(*arguments)

    calls: list[object] = []
    original = fetch_module._receive
    server.script = [send(CONTENTS["hubert_base.pt"]), send(CONTENTS["hubert_base.pt"], sent=1000)]
    monkeypatch.setattr(fetch_module, "_receive", receive)
    assert main(DownloadAssetsOptions(what="base", mirror=server.url)) == 130
    assert "goes on from here" in capsys.readouterr().err
    assert assets("base")[0].part.read_bytes() == CONTENTS["hubert_base.pt"][:1000]
