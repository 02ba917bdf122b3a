import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import train.worker
from errors import ERROR_FILE
from train.worker import Progress, parse_progress

ROOT = Path(train.worker.__file__).parents[1]
TOY = """
import time
from pathlib import Path
from train.options import BuildIndexOptions
from train.worker import Progress, WorkerError, run_worker

def toy(options):
    {body}

if __name__ == "__main__":
    run_worker(toy, BuildIndexOptions(experiment=Path({folder!r})))
"""


def start(folder, body):
    script = TOY.format(body=body, folder=str(folder))
    return subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(folder, body):
    process = start(folder, body)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved."""
    now = [100.0]
    monkeypatch.setattr("train.worker.time.monotonic", lambda: now[0])
    return now


def test_a_progress_line_reads_well_and_is_read_back(clock):
    progress = Progress(345, "files", "extract_f0")
    clock[0] += 24
    progress.advance(4)
    clock[0] += 10
    progress.advance(30, "loss/mel 0.512, really")
    line = progress.line()
    assert line == "extract_f0 34/345 (9%) 3.0 files/s, 1:44 left, loss/mel 0.512, really"
    parsed = parse_progress(f"2026-01-01 10:00:00,123 INFO {line}\n")
    assert (parsed.name, parsed.done, parsed.total) == ("extract_f0", 34, 345)
    assert (parsed.unit, parsed.rate, parsed.seconds_left) == ("files", 3.0, 104)
    assert parsed.note == "loss/mel 0.512, really"


def test_work_of_an_earlier_run_does_not_count_for_the_rate(clock):
    progress = Progress(100, "clips", "extract_features", done=90)
    assert "90/100 (90%) 0 clips/s, ? left" in progress.line()
    assert parse_progress(progress.line()).seconds_left is None
    progress.advance(1)
    assert "91/100 (91%) 0 clips/s, ? left" in progress.line()
    clock[0] += 400
    progress.advance(4)
    assert "95/100 (95%) 0.01 clips/s, 8:20 left" in progress.line()
    clock[0] += 100_000
    assert "34:51:40 left" in progress.line()
    assert parse_progress(progress.line()).seconds_left == 125_500


def test_the_time_left_is_that_of_the_last_minute(clock):
    progress = Progress(111, "clips", "extract_features")
    clock[0] += 24  # until its libraries and its encoder are there
    progress.advance()
    assert parse_progress(progress.line()).seconds_left is None
    for _ in range(10):
        clock[0] += 0.6
        progress.advance()
    assert parse_progress(progress.line()).seconds_left == 60
    for _ in range(20):  # something else came to use the processor
        clock[0] += 6
        progress.advance()
    assert parse_progress(progress.line()).seconds_left == 480


def test_work_that_lasts_as_long_as_it_was_told_to_shows_clocks(clock):
    progress = Progress(900, "s", "train", done=60)
    clock[0] += 60
    progress.advance(60, lambda: "step 7, epoch 1, mel loss 1.204")
    line = progress.line()
    assert line == "train 2:00/15:00 (13%), 13:00 left, step 7, epoch 1, mel loss 1.204"
    parsed = parse_progress(line)
    assert (parsed.done, parsed.total, parsed.unit, parsed.seconds_left) == (120, 900, "s", 780)
    assert parsed.note == "step 7, epoch 1, mel loss 1.204"


def test_nothing_to_do_is_finished_work():
    assert "0/0 (100%)" in Progress(0, "files", "preprocess").line()


def test_lines_without_progress_are_not_progress():
    assert parse_progress("") is None
    assert parse_progress("skipped a 3/4 (5%).wav: silent") is None


def test_lines_come_at_most_once_a_second_but_the_last_one_always(clock, capsys):
    with Progress(100, "files", "toy") as progress:
        for _ in range(100):
            clock[0] += 0.1
            progress.advance()
    lines = capsys.readouterr().out.splitlines()
    assert 10 <= len(lines) <= 12
    assert parse_progress(lines[0]).done == 0
    assert parse_progress(lines[-1]).done == 100


def test_a_terminal_gets_one_line_that_is_written_over(clock, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    with Progress(2, "files", "toy") as progress:
        clock[0] += 2
        progress.advance(note="a long note")
        clock[0] += 2
        progress.advance()
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert parse_progress(out).done == 2


def test_a_finished_worker_exits_with_0_and_keeps_a_log(tmp_path):
    code, out, err = run(tmp_path, "with Progress(1, 'files', 'toy') as p: p.advance()")
    log = (tmp_path / "toy.log").read_text()
    assert code == 0, err
    assert parse_progress(out.splitlines()[-1]).done == 1
    assert "toy finished in" in err
    assert "--experiment" in log  # the command
    assert "1/1 (100%)" in log


def test_a_worker_removes_what_a_killed_one_left_half_written(tmp_path):
    left = [tmp_path / "0_gt_wavs/1_0.wav.0a1b2c3d.part", tmp_path / "G_5.pth.0a1b2c3d.part"]
    by_the_page = tmp_path / "job.json.0a1b2c3d.part"
    left[0].parent.mkdir()
    for path in (*left, by_the_page):
        path.touch()
    code, _, err = run(tmp_path, "pass")
    assert code == 0, err
    assert not any(path.exists() for path in left)
    assert by_the_page.exists()  # it may be writing at this moment


def test_an_error_is_one_line_with_its_traceback_in_the_log(tmp_path):
    code, _, err = run(tmp_path, "raise WorkerError('no_voice_yet', path='a\\nb.pth')")
    assert code == 1
    assert err == "error: no voice a b.pth; run train.train first\n"
    log = (tmp_path / "toy.log").read_text()
    assert "ERROR error: no voice a\nb.pth" in log and "Traceback" in log


def test_an_error_is_noted_by_name_for_the_process_that_started_the_worker(tmp_path, monkeypatch):
    monkeypatch.setenv(ERROR_FILE, str(tmp_path / "error.json"))
    run(tmp_path, "raise WorkerError('no_voice_yet', path='b.pth')")
    noted = json.loads((tmp_path / "error.json").read_text())
    assert noted == {"name": "no_voice_yet", "values": {"path": "b.pth"}}
    run(tmp_path, "return {}['missing']")
    noted = json.loads((tmp_path / "error.json").read_text())
    assert noted["name"] == "unexpected" and noted["values"]["kind"] == "KeyError"


def test_an_unexpected_error_is_one_line_too(tmp_path):
    code, _, err = run(tmp_path, "return {}['missing']")
    assert code == 1
    assert err.startswith("error: KeyError: 'missing'")
    assert err.count("\n") == 1
    assert "Traceback" in (tmp_path / "toy.log").read_text()


def test_an_error_makes_no_experiment_folder(tmp_path):
    code, _, err = run(tmp_path / "typo", "raise FileNotFoundError('no experiment')")
    assert (code, err) == (1, "error: no experiment\n")
    assert not (tmp_path / "typo").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to catch")
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_stop_signal_lets_the_worker_save_and_exit_with_its_own_code(name, code, tmp_path):
    body = f"""
    try:
        print("ready", flush=True)
        time.sleep(120)
    except KeyboardInterrupt:
        print("saving", flush=True)
        time.sleep(0.5)
        Path({str(tmp_path / "saved")!r}).touch()
        raise
    """
    process = start(tmp_path, body.strip())
    assert process.stdout.readline() == "ready\n"
    process.send_signal(getattr(signal, name))
    assert process.stdout.readline() == "saving\n"
    process.send_signal(getattr(signal, name))  # impatience does not break into the saving
    _, err = process.communicate(timeout=120)
    assert process.returncode == code
    assert err == "stopped; run the same command to go on\n"
    assert (tmp_path / "saved").exists()


def test_work_goes_on_without_a_console(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)  # as where stdout was closed, or under pythonw
    with Progress(2, "clips", "toy") as progress:
        progress.advance(2)
    assert progress.done == 2
