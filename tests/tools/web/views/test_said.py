"""What training says in its own words is shown in plain ones, in both languages."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from infer.voice.header import read_header
from tests.tools.web.views.test_job_view import english
from tools.web.views.said import said_html
from train.train import _note, _Recent


def test_a_singer_reads_distance_where_training_says_loss(root: Path, shipped_voice: None) -> None:
    recent = _Recent()
    recent.add({"loss/mel": 0.5})
    state: Any = SimpleNamespace(step=7, epoch=2)
    for said in (read_header(root / "assets/lite/demo.pth").info, _note(state, recent)):
        assert "loss" in said
        shown = said_html(said)
        assert "loss" not in shown and "lower is closer" in english(shown) and "距离" in shown
    unmeasured = said_html("26 steps, held-out loss nan")  # fewer than ten clips
    assert english(unmeasured) == "trained 26 steps" and "nan" not in unmeasured
    assert said_html("my <b>own</b> words") == "my &lt;b&gt;own&lt;/b&gt; words"
