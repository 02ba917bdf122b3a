"""A batch outlives the page and its own process; nothing that is finished is done again."""

from __future__ import annotations

import os
import shutil
import signal
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from infer.options import ConvertOptions
from tools.jobs import results
from tools.jobs.batch import Batch, Batches, _row
from tools.jobs.jobs import Job, JobError, is_held
from train.experiment import Experiment

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes in /proc")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where batches and results go; whatever still runs is stopped at the end."""
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results")
    folder = tmp_path / "results" / ".batches"
    yield folder
    for place in folder.glob("*/job.json"):
        batch = Experiment(place.parent)
        batch.stop_file.write_text("kill")
        while is_held(batch.lock_file("job")):
            time.sleep(0.05)


def wait_for(batches: Batches, name: str, condition: Callable[[Batch], object]) -> Batch:
    deadline = time.monotonic() + 240  # generous: the process imports torch first
    while not condition(batch := batches.find(name)):
        assert time.monotonic() < deadline, batch
        time.sleep(0.05)
    return batch


def converting(name: str) -> int | None:
    """Process number of what converts a batch."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue  # it has just ended
        if b"tools.cmd.infer_cli" in words and name.encode() in words:
            return int(path.parent.name)
    return None


def test_a_batch_survives_page_and_kill_is_stopped_and_goes_on(
    folder: Path, untrained_voice: Path, english: Path, tmp_path: Path
) -> None:
    speech, rate = soundfile.read(english)
    recordings = [tmp_path / f"{name}.flac" for name in ("1 short", "2 长 long", "3 last")]
    shutil.copy(english, recordings[0])
    soundfile.write(recordings[1], np.tile(speech, 60), rate)
    shutil.copy(english, recordings[2])
    recordings += [tmp_path / "broken.wav", tmp_path / "notes.txt"]
    for path in recordings[3:]:
        path.write_text("no sound")
    options = ConvertOptions(voice=untrained_voice, input=english, output=english, f0_method="pm")
    name = Batches(folder).start(options, recordings, "wav")
    for path in recordings:  # the page's uploads may go
        path.unlink()

    batches = Batches(folder)  # as after a restart of the page
    wait_for(batches, name, lambda batch: batch.rows[1].share > 0)
    first = batches.find(name).rows[0]
    made = first.output.stat().st_mtime_ns
    assert (first.state, batches.find(name).is_running) == ("done", True)
    os.kill(killed := converting(name), signal.SIGKILL)
    wait_for(batches, name, lambda batch: converting(name) not in (killed, None))
    wait_for(batches, name, lambda batch: batch.rows[1].share > 0)

    batches.stop(name)
    stopped = wait_for(batches, name, lambda batch: not batch.is_running)
    assert [row.state for row in stopped.rows] == ["done", *3 * ["stopped"], "failed"]
    assert stopped.can_resume and stopped.error is None
    assert zipfile.ZipFile(stopped.zip).namelist() == ["1 short.wav"]
    assert [path.name for path in first.output.parent.iterdir()] == ["1 short.wav"]

    batches.resume(name)
    ended = wait_for(batches, name, lambda batch: not batch.is_running)
    assert [row.state for row in ended.rows] == [*3 * ["done"], "failed", "failed"]
    error = ended.rows[3].error
    assert error.name == "unreadable" and str(error).startswith("broken")
    assert first.output.stat().st_mtime_ns == made
    assert not ended.can_resume and not (folder / name / "recordings").exists()
    with zipfile.ZipFile(ended.zip) as archive:
        assert sorted(archive.namelist()) == ["1 short.wav", "2 长 long.wav", "3 last.wav"]
    assert soundfile.info(ended.rows[1].output).duration == pytest.approx(364, abs=2)
    with pytest.raises(JobError):
        batches.resume(name)


def test_a_voice_that_is_gone_is_said_and_leaves_nothing(
    folder: Path, english: Path, tmp_path: Path
) -> None:
    options = ConvertOptions(voice=tmp_path / "gone.pth", input=english, output=english)
    batches = Batches(folder)
    name = batches.start(options, [english], "wav")
    batch = wait_for(batches, name, lambda batch: not batch.is_running)
    assert "gone.pth" in str(batch.error)
    assert (batch.can_resume, batch.zip) == (True, None)
    assert [path.name for path in results.RESULTS.iterdir()] == [".batches"]


@pytest.mark.parametrize("name", ["", "..", "../results", "a" * 16, "/etc/passwd-12345"])
def test_a_name_that_is_no_batch_finds_nothing(folder: Path, name: str) -> None:
    (folder / "real").mkdir(parents=True)
    assert Batches(folder).find(name) is None
    with pytest.raises(JobError, match="gone"):
        Batches(folder).resume(name)
    Batches(folder).stop(name)


def test_a_recording_without_a_suffix_waits_like_others_and_a_text_is_refused(
    english: Path, tmp_path: Path
) -> None:
    job = Job((("tools.cmd.infer_cli",),), state="running")
    shutil.copy(english, tmp_path / "New Recording 5")
    (tmp_path / "README").write_text("text")
    assert _row(tmp_path / "New Recording 5", None, job, None).state == "waiting"
    assert _row(tmp_path / "README", None, job, None).error.name == "no_audio_name"
