"""What the default separator lacks is known before a song is given to it."""

from __future__ import annotations

from pathlib import Path

import pytest

import config
from tools.machine.assets import DEMUCS
from tools.songs import separation
from tools.songs.separation import missing_separator


@pytest.mark.parametrize("has_package", [False, True])
@pytest.mark.parametrize("has_weights", [False, True])
def test_exactly_what_is_missing_is_told_with_its_command(
    has_package: bool, has_weights: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "DOWNLOADS", tmp_path)
    monkeypatch.setattr(separation, "find_spec", lambda name: name if has_package else None)
    if has_weights:
        DEMUCS.path.parent.mkdir(parents=True)
        DEMUCS.path.touch()
    said = " ".join(map(str, missing_separator()))
    assert ("pip install --no-deps -r requirements-songs.txt" in said) is not has_package
    assert ("tools.cmd.download_assets --what songs" in said) is not has_weights
    assert bool(said) is not (has_package and has_weights)
