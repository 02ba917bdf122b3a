"""The page shows what was measured, and nothing where nothing was."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.datasets.learning_curves import Point
from tools.research.learning_curves import append_row
from tools.web.views import data_charts as module


def test_measured_curves_are_shown_in_both_languages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    assert module.data_charts("minutes") == ""
    settings = {"data_minutes": 10.0, "speaker": "<mi>", "steps": 300}
    figures = {"similarity target, levelled": 0.8, "similarity source clip, levelled": 0.6}
    for minutes in (1, 5):
        append_row(tmp_path / "points.jsonl", settings, Point(minutes), figures)
    shown = module.data_charts("minutes", "noise")
    assert shown.count("<svg") == 1  # only likeness was measured, and only over minutes
    assert "to the voice" in shown and "与目标声音" in shown
    assert "&lt;mi&gt;" in shown and "<mi>" not in shown
