"""What the page says of a job in each of its states."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from errors import UserError
from tools.jobs.jobs import Job
from tools.web.views.curves import MOST_POINTS, curve_svg, held_out_html, losses_html, thinned
from tools.web.views.job_view import JobView
from train.worker import parse_progress

JOB = Job(
    commands=tuple((f"train.{name}",) for name in ("preprocess", "train", "verify")),
    state="running", stage=1, queued=1.0, started=2.0,
)  # fmt: skip
LINE = "train 312/900 (34%) 1.0 s/s, 9:48 left, step 310, epoch 4, mel loss 0.412"


def english(html: str) -> str:
    """What is read in English, on one line."""
    html = re.sub(r'<span class="translated" lang="zh-CN">.*?</span>', "", html)
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_a_running_job_tells_step_share_and_time_left() -> None:
    html = JobView(JOB, parse_progress(LINE), "log").html()
    text = english(html)
    assert "Step 2 of 3: Training the voice" in text
    assert "5:12 / 15:00 · 9:48 left · step 310 · pass 4 over the recordings" in text
    assert 'aria-valuenow="35"' in html
    assert re.findall(r'class="(step-\w+)"', html) == ["step-done", "step-now", "step-next"]
    assert "第 2 / 3 步" in html
    assert "in all" not in text
    text = english(JobView(JOB, parse_progress(LINE), left=700).html())
    assert "Training the voice · about 11:40 left in all" in text
    starting = JobView(JOB, parse_progress("x 0/111 (0%) 0 clips/s, ? left"))
    assert "0 of 111 clips · time left not known yet" in english(starting.html())


@pytest.mark.parametrize("unit", ["files", "clips", "vectors", "checks", "steps"])
def test_amounts_of_every_worker_are_said_in_both_languages(root: Path, unit: str) -> None:
    assert any(f'"{unit}"' in path.read_text("utf-8") for path in (root / "train").glob("*.py"))
    html = JobView(JOB, parse_progress(f"x 3/9 (33%) 0.996 {unit}/s, 0:06 left"), "").html()
    assert f"3 of 9 {unit} · 1 {unit} a second · 6.0 s left" in english(html)
    assert f"{unit}/s" not in html


def test_a_failed_job_names_the_step_the_reason_and_the_way_out() -> None:
    error = UserError("no_clips", folder="<b>mi</b>").to_json()
    view = JobView(replace(JOB, state="failed", exit_code=1, error=error), None, "")
    text = english(view.html())
    assert "Failed in step 2 of 3: Training the voice" in text
    assert "&lt;b&gt;mi&lt;/b&gt; holds no clips" in text and "Go on repeats" in text
    assert view.can_resume
    fell = replace(view, job=replace(view.job, error=None), log="Traceback\nValueError: <3 bins\n")
    assert "<code>ValueError: &lt;3 bins</code>" in fell.html()
    killed = english(replace(view, job=replace(view.job, exit_code=-9)).html())
    assert "memory ran out" in killed


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("stopped", "Nothing is lost"),
        ("interrupted", "Everything up to the last save is kept"),
        ("waiting", "Waiting for other, more."),
        ("done", "The voice weights/a.pth and its index logs/a/added.index are ready"),
    ],
)
def test_every_end_says_what_to_do_next(state: str, said: str) -> None:
    job = replace(JOB, state=state, stage=3 if state == "done" else 1)
    view = JobView(
        job, ahead=("other", "more"), voice="weights/a.pth", index="logs/a/added.index"
    )  # fmt: skip
    assert said in english(view.html())
    assert view.can_resume == (state in ("stopped", "interrupted"))


def test_a_stop_says_what_a_second_press_does() -> None:
    assert "Pressed once more" in english(JobView(JOB, is_stopping=True).html())


def test_the_best_save_is_marked_and_named() -> None:
    entries = [
        {"step": 10 * n, "seconds": 60.0 * n, "held_out": loss, "loss/mel": loss}
        for n, loss in enumerate([0.9, 0.5, 0.7], start=1)
    ]
    html = held_out_html(entries)
    assert "Best so far: a difference of 0.5000 at step 20, after 2.0 minutes." in english(html)
    assert "No better for 1 saves" in english(html)
    points = re.search(r'<polyline points="([^"]+)"', html)[1].split()
    x, y = re.search(r'<circle cx="([\d.]+)" cy="([\d.]+)"', html).groups()
    assert points[1] == f"{x},{y}"
    assert max(points, key=lambda point: float(point.split(",")[1])) == points[1]  # lowest loss
    assert "mel" in english(losses_html(entries))
    assert "After the first save" in english(held_out_html([{"step": 1, "loss/mel": 1.0}]))
    assert "fewer than ten clips" in english(held_out_html([{"step": 1, "seconds": 1.0}]))


def test_long_curves_stay_small_and_flat_ones_are_drawn() -> None:
    points = [(float(n), 1.0) for n in range(100_000)]
    assert len(thinned(points)) <= MOST_POINTS
    assert len(curve_svg(points, "flat")) < 10_000
    assert curve_svg([], "nothing") == ""
    assert "<circle" in curve_svg([(0.0, 1.0)], "one")


def test_times_below_a_curve_need_no_language_and_stay_inside() -> None:
    drawn = curve_svg([(0.5, 1.0), (90.0, 0.5)], "loss")
    labels = re.findall(r'text-anchor="(\w+)" fill="currentColor">(\d+:[\d:]+)<', drawn)
    assert labels == [("start", "0:00"), ("middle", "45:00"), ("end", "1:30:00")]


def test_the_axis_of_words_ends_where_all_are_said() -> None:
    entries = [{"step": n, "held_out": 0.5, "words": 0.9 + n / 100} for n in range(10)]
    *_, words = held_out_html(entries).split("<svg")
    assert ">1</text>" in words and ">1.05</text>" not in words
