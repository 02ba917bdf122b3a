"""The real loading code with a small network of the same class and random weights."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import config
from errors import CheckpointError, NoFile
from infer.audio.reader import AudioReader
from tests.tools.bad_server import Server, send
from tools.cmd import download_assets
from tools.machine import assets
from tools.options import DownloadAssetsOptions
from tools.songs.cover import make_cover
from tools.songs.options import CoverOptions

htdemucs = pytest.importorskip("demucs_infer.htdemucs", reason="requirements-songs.txt")
demucs = pytest.importorskip("tools.songs.separation.demucs")

RATE = 44100
SMALL = {
    "sources": ["drums", "bass", "other", "vocals"], "channels": 8, "depth": 4, "growth": 2,
    "t_layers": 1, "t_heads": 2, "bottom_channels": 16, "segment": Fraction(1), "nfft": 1024,
    "samplerate": RATE, "no_such_argument": 3,
}  # fmt: skip


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as Demucs writes it: the class by its name, arguments and tensors, as halves."""
    path = tmp_path_factory.mktemp("weights") / "small.th"
    write_small(path)
    return path


def write_small(path: Path) -> None:
    torch.manual_seed(0)
    known = {name: value for name, value in SMALL.items() if name != "no_such_argument"}
    state = {name: value.half() for name, value in htdemucs.HTDemucs(**known).state_dict().items()}
    torch.save({"klass": htdemucs.HTDemucs, "args": (), "kwargs": SMALL, "state": state}, path)


@pytest.fixture
def song(tmp_path: Path) -> Path:
    music = 0.1 * np.random.default_rng(0).normal(size=(round(2.5 * RATE), 2))
    soundfile.write(tmp_path / "song.wav", music, RATE, "PCM_24")
    return tmp_path / "song.wav"


def read(path: Path) -> np.ndarray:
    with AudioReader(path, channels=2) as reader:
        return np.concatenate(list(reader.blocks()))


def test_a_network_is_read_without_running_anything_of_its_file(weights: Path) -> None:
    separator = demucs.Demucs(weights, "cpu")
    assert separator.stems == ("drums", "bass", "other", "vocals")
    assert separator.sample_rate == RATE
    assert separator.segment == int(demucs.SEGMENT * RATE)  # a fraction is a class, not read
    for length in (4000, RATE):  # shorter ones, too: memory may want them
        stems = separator(np.random.default_rng(0).normal(size=(2, length)).astype(np.float32))
        assert stems.shape == (4, 2, length)
        assert np.isfinite(stems).all() and np.abs(stems).max() > 0


def test_another_file_is_refused_by_what_it_is(tmp_path: Path, weights: Path) -> None:
    torch.save({"weight": {}}, tmp_path / "voice.pth")
    package = torch.load(weights, weights_only=False)
    torch.save({**package, "klass": torch.nn.Linear}, tmp_path / "linear.th")
    state = dict(list(package["state"].items())[1:])
    torch.save({**package, "state": state}, tmp_path / "lacks.th")
    (tmp_path / "page.th").write_text("<html>")
    for name in ("voice.pth", "linear.th", "lacks.th", "page.th"):
        with pytest.raises(CheckpointError):
            demucs.Demucs(tmp_path / name, "cpu")


def test_missing_weights_say_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "DOWNLOADS", tmp_path)
    with pytest.raises(NoFile, match="download_assets --what songs"):
        demucs.Demucs(None, "cpu")


@pytest.fixture
def known(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> assets.Asset:
    """The table tells of the small network; nothing is downloaded yet."""
    small = replace(
        assets.DEMUCS, sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
        home="http://127.0.0.1:9/nobody",
    )  # fmt: skip
    monkeypatch.setattr(assets, "DEMUCS", small)
    monkeypatch.setattr(demucs, "DEMUCS", small)
    monkeypatch.setattr(config, "DOWNLOADS", tmp_path / "downloads")
    return small


def taken_from_a_folder(weights: Path, server: Server) -> DownloadAssetsOptions:
    (weights.parent / assets.DEMUCS.path.name).write_bytes(weights.read_bytes())
    return DownloadAssetsOptions(what="songs", from_=weights.parent)


def fetched_in_two_parts(weights: Path, server: Server) -> DownloadAssetsOptions:
    content = weights.read_bytes()
    server.script = [send(content[:1]), send(content, sent=len(content) // 2), send(content)]
    return DownloadAssetsOptions(what="songs", mirror=server.url)


@pytest.mark.parametrize("way", [taken_from_a_folder, fetched_in_two_parts])
def test_weights_come_and_take_a_song_apart(
    way: Callable[[Path, Server], DownloadAssetsOptions],
    known: assets.Asset,
    weights: Path,
    server: Server,
    song: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(config, "RESULTS", tmp_path / "results")
    assert download_assets.main(way(weights, server)) == 0
    assert known.path.read_bytes() == weights.read_bytes()
    options = CoverOptions(
        input=song, voice=config.LITE / "demo.pth", output=tmp_path / "cover.wav",
        semitones=0, transpose=2.0, device="cpu",
    )  # fmt: skip
    cover = make_cover(options)
    assert cover.made == ("separate", "convert", "transpose", "voice")
    folder = cover.parts["vocals"].parent
    vocals, rest, drums = (
        read(folder / f"{name}.wav") for name in ("vocals", "accompaniment", "drums")
    )
    assert np.abs(vocals + rest - read(song)).max() < 1e-5
    assert drums.shape == vocals.shape and np.abs(drums).max() > 0
    assert len(read(options.output)) == len(read(song))
