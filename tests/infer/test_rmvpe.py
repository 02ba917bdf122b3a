"""RMVPE against the reference's numbers, its files, long audio, and being the default."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from infer.f0 import HOP_LENGTH, default_f0_method, load_f0_method
from infer.f0 import rmvpe as rmvpe_module
from infer.f0 import windows as windows_module
from infer.f0.rmvpe import GRID, Rmvpe, RmvpeF0
from infer.options import ConvertOptions
from infer.voice.checkpoint import CheckpointError
from options import command, parse_options
from tests.golden.arrays import read_golden
from tests.golden.weights import golden_tensor

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


@pytest.fixture(scope="module")
def method(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RmvpeF0]:
    """RMVPE with the golden weights, read from a file as the public one is made."""
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in Rmvpe().state_dict().items()}
    downloads = tmp_path_factory.mktemp("downloads")
    path = downloads / "rmvpe/rmvpe.pt"
    path.parent.mkdir()
    torch.save({name: golden_tensor(name, shape, 0) for name, shape in shapes.items()}, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("config.DOWNLOADS", downloads)
        loaded = load_f0_method("rmvpe")
    path.unlink()  # 360 MB
    yield loaded


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    return read_golden("rmvpe_net")


def test_the_mel_spectrogram_is_the_references(
    method: RmvpeF0, golden: dict[str, np.ndarray]
) -> None:
    mel = method.mel(torch.from_numpy(golden["wav"])[None])[0]
    assert mel.shape == golden["mel"].shape
    assert np.abs(mel.numpy() - golden["mel"]).max() < 1e-4


@torch.inference_mode()
def test_the_networks_output_is_the_references(
    method: RmvpeF0, golden: dict[str, np.ndarray]
) -> None:
    salience = method.salience(torch.from_numpy(golden["mel"])[None])[0]
    assert salience.shape == golden["salience"].shape
    assert np.abs(salience.numpy() - golden["salience"]).max() < 2e-5
    best = np.sort(golden["salience"], axis=1)
    clear = best[:, -1] - best[:, -2] > 1e-4
    f0 = method.decode(salience).numpy()
    assert clear.sum() > 90
    assert np.abs(f0 - golden["f0"])[clear].max() < 5e-3


@pytest.mark.parametrize(
    ("threshold", "name"), [(0.03, "f0_thr003"), (0.05, "f0_thr005"), (0.3, "f0_thr03")]
)
def test_peaks_are_decoded_as_the_reference_does(
    method: RmvpeF0, monkeypatch: pytest.MonkeyPatch, threshold: float, name: str
) -> None:
    golden = np.load(GOLDEN / "rmvpe_decode.npz")
    monkeypatch.setattr(method, "voicing_threshold", threshold)
    f0 = method.decode(torch.from_numpy(golden["salience"])).numpy()
    assert np.array_equal(f0 > 0, golden[name] > 0)
    assert np.abs(f0 - golden[name]).max() < 5e-3


@torch.inference_mode()
def test_what_it_returns_is_the_decoded_output_within_range(
    method: RmvpeF0, golden: dict[str, np.ndarray]
) -> None:
    wav = golden["wav"]
    f0 = method(wav)
    assert (f0.shape, f0.dtype) == ((len(wav) // HOP_LENGTH,), np.float32)
    decoded = method.decode(torch.from_numpy(golden["salience"])).numpy()[: len(f0)]
    expected = decoded  # notes outside the pitch bins are kept
    assert np.isclose(f0, expected, atol=5e-3).mean() > 0.9  # but for bins that nearly tie
    assert (expected > 0).sum() > 10


@pytest.mark.parametrize("samples", [0, 1, 159, 160, 512, 513, 5119, 5120, 5121])
def test_every_length_gives_one_frame_per_160_samples(method: RmvpeF0, samples: int) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, samples).astype(np.float32)
    f0 = method(noise)
    assert f0.shape == (samples // HOP_LENGTH,)
    assert np.isfinite(f0).all()


def test_long_audio_in_windows_gives_what_one_window_gives(
    method: RmvpeF0, monkeypatch: pytest.MonkeyPatch
) -> None:
    audio = np.random.default_rng(0).normal(0, 0.1, 200_077).astype(np.float32)
    whole = method(audio)
    sizes = []

    def salience(mel: torch.Tensor) -> torch.Tensor:
        sizes.append(len(mel))
        return original(mel)

    original = method.salience
    monkeypatch.setattr(method, "salience", salience)
    monkeypatch.setattr(windows_module, "WINDOW", 10 * GRID * HOP_LENGTH)
    monkeypatch.setattr(rmvpe_module, "CONTEXT", 8 * GRID * HOP_LENGTH)
    monkeypatch.setattr(method, "at_once", 2 * 26 * GRID * HOP_LENGTH)  # as on a GPU
    pieces = method(audio)
    assert sizes == [1, 1, 2]  # the last and the first have context on one side
    assert ((whole > 0) == (pieces > 0)).mean() > 0.995
    both = (whole > 0) & (pieces > 0)
    assert both.sum() > 100
    assert (np.abs(whole - pieces)[both] < 0.01).mean() > 0.995


def test_clips_together_have_the_f0_that_they_have_alone_in_bounded_memory(
    method: RmvpeF0, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    lengths = [9600, 400, 9759, 21000, 0, 20480, 9700, 25600, 21500, 9601]
    clips = [random.normal(0, 0.1, samples).astype(np.float32) for samples in lengths]
    clips[2][:] = 0
    alone = [method(clip) for clip in clips]
    shapes = []

    def salience(mel: torch.Tensor) -> torch.Tensor:
        shapes.append((len(mel), mel.shape[2]))
        return original(mel)

    original = method.salience
    monkeypatch.setattr(method, "salience", salience)
    monkeypatch.setattr(method, "at_once", 45_000)
    together = method.many(clips)
    assert sorted(shapes) == [(1, 32), (1, 160), (1, 192), (2, 160), (3, 64)]
    for expected, found in zip(alone, together, strict=True):
        assert (found.shape, found.dtype) == (expected.shape, np.float32)
        assert np.allclose(found, expected, atol=1e-2)
    assert sum((f0 > 0).sum() for f0 in together) > 100


def test_the_onnx_file_is_taken_where_only_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its network gives the sigmoid of mel band k for bins k, k + 128, k + 256."""
    monkeypatch.setattr("config.DOWNLOADS", tmp_path)
    path = tmp_path / "rmvpe/rmvpe.onnx"
    path.parent.mkdir()
    path.write_bytes((GOLDEN / "rmvpe_tiny.onnx").read_bytes())
    assert default_f0_method() == "rmvpe"
    method = RmvpeF0()
    mel = torch.randn(2, 128, 45, generator=torch.Generator().manual_seed(0))
    salience = method.salience(mel)
    expected = torch.sigmoid(torch.cat([mel.mT] * 3, dim=2)[..., :360])
    assert (salience - expected).abs().max() < 1e-6
    assert len(method(np.full(3200, 0.1, np.float32))) == 20
    path.write_bytes(b"no network")
    with pytest.raises(ValueError, match=r"rmvpe\.onnx is damaged"):
        RmvpeF0()
    (tmp_path / "rmvpe/rmvpe.pt").write_bytes(b"preferred, but damaged")
    with pytest.raises(CheckpointError, match=r"rmvpe\.pt"):
        RmvpeF0()


def test_a_file_that_is_not_rmvpe_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("config.DOWNLOADS", tmp_path)
    (tmp_path / "rmvpe").mkdir()
    for content in ([1], {"cnn.weight": torch.zeros(3)}):
        torch.save(content, tmp_path / "rmvpe/rmvpe.pt")
        with pytest.raises(CheckpointError, match=r"rmvpe\.pt"):
            RmvpeF0()


def test_it_is_the_default_exactly_when_its_weights_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("config.DOWNLOADS", tmp_path)
    paths = {"voice": Path("a.pth"), "input": Path("b.wav"), "output": Path("c.wav")}
    before = ConvertOptions(**paths)
    assert before.f0_method == "swift"
    with pytest.raises(FileNotFoundError, match=r"download_assets.*rmvpe\.pt"):
        load_f0_method("rmvpe")
    (tmp_path / "rmvpe").mkdir()
    (tmp_path / "rmvpe/rmvpe.pt").touch()
    assert ConvertOptions(**paths).f0_method == "rmvpe"
    # a command that was printed before means what it meant
    assert parse_options(ConvertOptions, command(before)[3:]) == before
