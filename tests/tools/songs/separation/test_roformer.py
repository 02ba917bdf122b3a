"""RoFormers by the real loading code, with small networks of the same classes, random weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import yaml
from safetensors.torch import save_file

import config
from errors import CheckpointError, UserError
from tests.tools.songs.song import RATE, stereo, write_stems
from tools.songs.cover import make_cover
from tools.songs.options import CoverOptions
from tools.songs.separation import load_separator

networks = pytest.importorskip("pymss_core.modules.bs_roformer", reason="requirements-songs.txt")
SMALL = {
    "dim": 8, "depth": 1, "stereo": True, "dim_head": 4, "heads": 2, "stft_n_fft": 256,
    "stft_hop_length": 64, "stft_win_length": 256, "mask_estimator_depth": 1,
}  # fmt: skip
BANDS = (2,) * 60 + (9,)  # 129 frequencies
Settings = dict[str, Any]


def write(path: Path, model: Settings, training: Settings, wrapper: str | None = None) -> Path:
    """Write weights and settings as trainers of such networks do."""
    torch.manual_seed(0)
    kind = networks.BSRoformer if "freqs_per_bands" in model else networks.MelBandRoformer
    weights = kind(**model).state_dict()
    if path.suffix == ".safetensors":
        save_file({name: value.clone() for name, value in weights.items()}, path)
    else:
        torch.save({wrapper: weights} if wrapper else weights, path)
    audio = {"chunk_size": RATE, "sample_rate": RATE}
    text = yaml.dump({"audio": audio, "model": model, "training": training})
    path.with_suffix(".yaml").write_text(text)
    return path


@pytest.fixture
def vocals_model(tmp_path: Path) -> Path:
    model = {**SMALL, "freqs_per_bands": BANDS, "num_stems": 1}
    return write(
        tmp_path / "bs.ckpt", model,
        {"instruments": ["Vocals", "other"], "target_instrument": "Vocals"}, "state_dict",
    )  # fmt: skip


@pytest.fixture
def dry_model(tmp_path: Path) -> Path:
    model = {**SMALL, "num_bands": 12, "num_stems": 2}
    return write(tmp_path / "mel.safetensors", model, {"instruments": ["noreverb", "reverb"]})


def test_both_kinds_are_read_with_their_settings(vocals_model: Path, dry_model: Path) -> None:
    assert "!!python/tuple" in vocals_model.with_suffix(".yaml").read_text()
    noise = np.random.default_rng(0).normal(size=(2, RATE)).astype(np.float32)
    for path, stems in ((vocals_model, ("vocals",)), (dry_model, ("noreverb", "reverb"))):
        separator = load_separator("roformer", path, "cpu")
        assert (separator.stems, separator.sample_rate, separator.segment) == (stems, RATE, RATE)
        for length in (RATE, separator.least_segment, 30001):
            made = separator(noise[:, :length])
            assert made.shape == (len(stems), 2, length)
            assert np.isfinite(made).all() and np.abs(made).max() > 0


def test_a_song_is_taken_apart_and_the_room_from_its_vocals(
    vocals_model: Path, dry_model: Path, untrained_voice: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(config, "RESULTS", tmp_path / "results")
    song = 0.1 * np.random.default_rng(0).normal(size=(round(2.5 * RATE), 2))
    soundfile.write(tmp_path / "song.wav", song, RATE, "PCM_24")
    asked = CoverOptions(
        input=tmp_path / "song.wav", voice=untrained_voice, output=tmp_path / "cover.wav",
        separator="roformer", weights=vocals_model, dereverb=dry_model, device="cpu",
    )  # fmt: skip
    cover = make_cover(asked)
    assert cover.made == ("separate", "dereverb", "convert", "voice")
    vocals, rest = (
        stereo(cover.parts["vocals"].with_name(f"{name}.wav"))
        for name in ("vocals", "accompaniment")
    )
    assert np.abs(vocals + rest - stereo(tmp_path / "song.wav")).max() < 1e-5
    (dry,) = cover.folder.glob("dereverb-*/vocals.wav")
    assert stereo(dry).shape == vocals.shape and not np.allclose(stereo(dry), vocals)
    with pytest.raises(UserError, match="gives no vocals, only noreverb, reverb"):
        make_cover(replace(asked, weights=dry_model))
    with pytest.raises(UserError, match="gives no dry, only vocals"):
        make_cover(replace(asked, dereverb=vocals_model))


def test_backing_vocals_stay_as_they_are(
    untrained_voice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "RESULTS", tmp_path / "results")
    model = write(
        tmp_path / "karaoke.ckpt", {**SMALL, "num_bands": 12, "num_stems": 1},
        {"instruments": ["karaoke", "other"], "target_instrument": "karaoke"},
    )  # fmt: skip
    vocals, rest = write_stems(tmp_path, config.ASSETS / "examples/english.flac", 4.0)
    asked = CoverOptions(
        vocals=vocals, accompaniment=rest, voice=untrained_voice, output=tmp_path / "cover.wav",
        stems=tmp_path / "stems", backing=model, device="cpu", f0_method="pm",
    )  # fmt: skip
    cover = make_cover(asked)
    assert cover.made == ("backing", "convert", "voice")
    lead = stereo(cover.parts["vocals"])
    assert np.abs(lead).max() > 0.01 and not np.allclose(lead, stereo(vocals), atol=1e-3)
    music = stereo(asked.stems / "accompaniment.wav")
    backing = music - stereo(rest)
    assert np.abs(lead + backing - stereo(vocals)).max() < 1e-3  # nothing of the song is lost
    assert make_cover(replace(asked, lead_db=3.0)).made == ()


def test_what_is_no_roformer_is_refused_by_what_it_is(vocals_model: Path, tmp_path: Path) -> None:
    settings = vocals_model.with_suffix(".yaml")
    good = settings.read_text()
    for text in (
        "", "[1", "- 1", "audio: {}", good.replace("44100", "1e99"),
        good.replace("stereo: true", "stereo: false"), good.replace("dim: 8", "dim: -8"),
        good.replace("dim: 8", "dim: 1000000"),
        "a: !!python/object/apply:os.system [touch /tmp/never]", "&a [*a]" * 3,
        good.replace("dim: 8", "no_such_setting: 8"), good + "#" * 2_000_000,
    ):  # fmt: skip
        settings.write_text(text)
        with pytest.raises(CheckpointError):
            load_separator("roformer", vocals_model, "cpu")
    settings.write_text(good.replace("dim: 8", "dim: 16"))
    with pytest.raises(CheckpointError, match="expected"):
        load_separator("roformer", vocals_model, "cpu")
    settings.unlink()
    with pytest.raises(UserError, match="lie beside its weights"):
        load_separator("roformer", vocals_model, "cpu")
    with pytest.raises(UserError, match="needs its weights"):
        load_separator("roformer", None, "cpu")
