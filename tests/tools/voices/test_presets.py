"""Presets that several pages or programs change at the same moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tools.voices.presets import delete_preset, read_presets, save_preset


def test_presets_saved_at_the_same_moment_are_all_kept(tmp_path: Path) -> None:
    voice = tmp_path / "声.pth"
    with ThreadPoolExecutor(8) as pool:
        saved = [pool.submit(save_preset, voice, str(i), {"semitones": i}) for i in range(80)]
    assert [each.result() for each in saved] == [None] * 80
    assert read_presets(voice) == {str(i): {"semitones": i} for i in range(80)}
    with ThreadPoolExecutor(8) as pool:
        gone = [pool.submit(delete_preset, voice, str(i)) for i in range(80)]
    assert [each.result() for each in gone] == [None] * 80
    assert list(tmp_path.iterdir()) == []
