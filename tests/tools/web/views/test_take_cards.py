"""What a card tells of how its take was made."""

from __future__ import annotations

from tests.tools.web.views.test_job_view import english
from tools.jobs.takes import BY_HAND, Take
from tools.web.views.take_cards import settings_html


def test_a_shift_of_nothing_is_told_where_somebody_set_it() -> None:
    def said(semitones: float, pitch: str) -> str:
        settings = {"semitones": semitones, "index_rate": 0.5}
        take = Take("a.wav", "v.pth", "s.wav", settings, 1.0, pitch=pitch)
        return english(settings_html(take))

    assert said(0.0, BY_HAND).startswith("Semitones 0")
    assert "Semitones" not in said(0.0, "speech") and "Semitones" not in said(0.0, "")
    assert said(3.0, "speech").startswith("Semitones 3")
