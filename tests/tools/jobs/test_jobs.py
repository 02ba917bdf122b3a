"""Jobs as the page uses them: real runners, real workers on real speech, real kills."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.train.tiny_standard import make_experiment, tiny_options
from tools.jobs.jobs import Job, JobError, Jobs, is_held, read_job, write_job
from train.experiment import Experiment
from train.job_folder import JobFolder
from train.options import (
    LAUNCHER,
    ExtractF0Options,
    ExtractFeaturesOptions,
    PreprocessOptions,
    TrainOptions,
)

WAIT_SECONDS = 120.0  # generous: a worker imports torch first
RECORDINGS = 150

pytestmark = pytest.mark.skipif(os.name == "nt", reason="kills by POSIX signals")


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    jobs = Jobs(tmp_path / "logs")
    yield jobs
    for name in jobs.all():
        experiment = Experiment(tmp_path / "logs" / name)
        (experiment.stop_file).write_text("kill")
        wait_until(lambda e=experiment: not is_held(e.lock_file("job")))


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    return Experiment(tmp_path / "logs" / "some one 声")


@pytest.fixture
def recordings(tmp_path: Path, english: Path) -> Path:
    """So many recordings that cutting them takes seconds."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    for number in range(RECORDINGS):
        shutil.copy(english, folder / f"{number}.flac")
    return folder


def cutting(experiment: Experiment, dataset: Path) -> PreprocessOptions:
    return PreprocessOptions(experiment=experiment.root, dataset=dataset)


def wait_until(condition: Callable[[], object], seconds: float = WAIT_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def ended(jobs: Jobs, experiment: Experiment) -> Job:
    wait_until(lambda: not jobs.read(experiment).is_active)
    return jobs.read(experiment)


def done(jobs: Jobs, experiment: Experiment, name: str = "") -> int:
    """How much of its work a command tells that it has done; 0 while the last line is another's."""
    progress, _ = jobs.log(experiment)
    return progress.done if progress and progress.name.startswith(name) else 0


def signal_worker(experiment: Experiment, sign: int = signal.SIGKILL) -> None:
    os.kill(int(experiment.pid_file.read_text()), sign)


def runner_of(experiment: Experiment) -> int:
    """Process number of the runner: the parent of its worker."""
    status = Path(f"/proc/{experiment.pid_file.read_text()}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("PPid")))


def test_commands_run_in_order_and_every_view_tells_the_same(
    jobs: Jobs, experiment: Experiment, english: Path, tmp_path: Path
) -> None:
    jobs.start(
        experiment,
        [
            PreprocessOptions(experiment=experiment.root, dataset=english),
            ExtractF0Options(experiment=experiment.root, method="pm"),
        ],
    )
    other_view = Jobs(tmp_path / "logs")
    assert other_view.read(experiment).state in ("waiting", "running")
    with pytest.raises(JobError, match="already"):
        other_view.start(experiment, [ExtractF0Options(experiment=experiment.root)])
    job = ended(other_view, experiment)
    assert (job.state, job.stage, job.exit_code) == ("done", 2, 0)
    assert len(job.took) == 2
    assert job == jobs.read(experiment)
    progress, log = jobs.log(experiment)
    assert (progress.name, progress.done) == ("extract_f0", progress.total)
    commands = [line for line in log.splitlines() if line.startswith("$ ")]
    assert ["preprocess" in commands[0], "extract_f0" in commands[1]] == [True, True]
    assert len(list(experiment.f0_hz.glob("*.npy"))) == len(experiment.clips()) > 0


def test_a_failed_step_is_named_and_resuming_goes_on_from_it(
    jobs: Jobs, experiment: Experiment, english: Path, tmp_path: Path
) -> None:
    dataset = tmp_path / "missing"
    jobs.start(experiment, [cutting(experiment, english), cutting(experiment, dataset)])
    job = ended(jobs, experiment)
    assert (job.state, job.stage, job.exit_code) == ("failed", 1, 1)
    assert f"error: no dataset {dataset}" in jobs.log(experiment)[1].splitlines()[-1]
    dataset.mkdir()
    shutil.copy(english, dataset)
    jobs.resume(experiment)
    assert ended(jobs, experiment).state == "done"
    assert sum("$ " in line for line in jobs.log(experiment)[1].splitlines()) == 3
    with pytest.raises(JobError, match="nothing to go on with"):
        jobs.resume(experiment)


def test_a_second_heavy_job_waits_and_a_light_one_does_not(
    jobs: Jobs, experiment: Experiment, recordings: Path, english: Path, tmp_path: Path
) -> None:
    jobs.start(experiment, [cutting(experiment, recordings)])
    second, third, light = (Experiment(tmp_path / "logs" / name) for name in ("2", "1", "light"))
    for waiting in (second, third):
        jobs.start(waiting, [cutting(waiting, english)])
    assert jobs.ahead(third) == [experiment.name, "2"]
    jobs.start(light, [cutting(light, english)], heavy=False)
    assert ended(jobs, light).state == "done"
    assert jobs.read(second).state == jobs.read(third).state == "waiting"
    jobs.stop(third)
    assert ended(jobs, third).state == "stopped"
    jobs.stop(experiment)
    assert ended(jobs, second).state == "done"
    assert jobs.read(experiment).state == "stopped"
    assert jobs.read(second).started >= jobs.read(experiment).ended


def test_a_second_press_ends_a_worker_that_does_not_react(
    jobs: Jobs, experiment: Experiment, recordings: Path
) -> None:
    jobs.start(experiment, [cutting(experiment, recordings)])
    wait_until(lambda: done(jobs, experiment) >= 1)
    signal_worker(experiment, signal.SIGSTOP)
    jobs.stop(experiment)
    jobs.stop(experiment)  # a double click is one press
    time.sleep(1.2)
    assert jobs.read(experiment).state == "running"
    assert jobs.is_stopping(experiment)
    jobs.stop(experiment)
    job = ended(jobs, experiment)
    assert (job.state, job.exit_code) == ("stopped", -9)
    assert not jobs.is_stopping(experiment)


def test_a_killed_worker_is_started_again_and_goes_on(
    jobs: Jobs, experiment: Experiment, recordings: Path
) -> None:
    jobs.start(experiment, [cutting(experiment, recordings)])
    wait_until(lambda: done(jobs, experiment) >= 5)
    killed = experiment.pid_file.read_text()
    signal_worker(experiment)
    wait_until(lambda: experiment.pid_file.read_text() != killed)
    job = ended(jobs, experiment)
    assert (job.state, job.exit_code) == ("done", 0)
    assert "was killed (exit code -9); starting it again" in jobs.log(experiment)[1]
    sources = experiment.read_sources().values()
    assert len(sources) == RECORDINGS
    assert len(experiment.clips()) == sum(source.clips for source in sources)


def test_work_outlives_its_runner_can_be_stopped_and_goes_on(
    jobs: Jobs, experiment: Experiment, recordings: Path, english: Path, tmp_path: Path
) -> None:
    jobs.start(experiment, [cutting(experiment, recordings)])
    wait_until(lambda: done(jobs, experiment) >= 1)
    os.kill(runner_of(experiment), signal.SIGKILL)
    wait_until(lambda: not is_held(experiment.lock_file("job")))
    reached = done(jobs, experiment)
    wait_until(lambda: done(jobs, experiment) > reached)
    assert jobs.read(experiment).state == "running"
    with pytest.raises(JobError, match="already"):
        jobs.resume(experiment)
    waiting = Experiment(tmp_path / "logs" / "waiting")
    jobs.start(waiting, [cutting(waiting, english)])
    assert jobs.read(waiting).state == "waiting"
    jobs.stop(experiment)
    assert ended(jobs, experiment).state == "interrupted"
    assert len(experiment.clips()) < 3 * RECORDINGS
    assert ended(jobs, waiting).state == "done"
    jobs.resume(experiment)
    assert ended(jobs, experiment).state == "done"


def test_a_job_outlives_the_page_that_started_it(
    jobs: Jobs, experiment: Experiment, recordings: Path, root: Path
) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from tools.jobs.jobs import Jobs; from train.experiment import Experiment\n"
        "from train.options import PreprocessOptions\n"
        "experiment, dataset = Experiment(Path(sys.argv[1])), Path(sys.argv[2])\n"
        "options = PreprocessOptions(experiment=experiment.root, dataset=dataset)\n"
        "Jobs(experiment.root.parent).start(experiment, [options])\n"
        "print('started', flush=True); time.sleep(600)\n"
    )
    page = subprocess.Popen(
        [sys.executable, "-c", code, experiment.root, recordings],
        cwd=root, stdout=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert page.stdout.readline() == b"started\n"
    os.killpg(page.pid, signal.SIGKILL)  # with everything in its group, as a closed window does
    page.wait()
    assert jobs.read(experiment).is_active
    assert ended(jobs, experiment).state == "done"


def test_training_that_is_stopped_and_killed_loses_seconds_and_reaches_its_end(
    jobs: Jobs, experiment: Experiment, english: Path
) -> None:
    folder = experiment.root
    training = TrainOptions(
        experiment=folder, voice=folder / "voice.pth", batch_size=1, steps=60, minutes=0.0,
        use_base=False, save_minutes=0.1, device="cpu", threads=1,
    )  # fmt: skip
    features = ExtractFeaturesOptions(experiment=folder, device="cpu", perturbations=1)
    jobs.start(
        experiment,
        [
            cutting(experiment, english),
            ExtractF0Options(experiment=folder, method="pm"),
            features,
            training,
        ],
    )
    wait_until(lambda: done(jobs, experiment, "train") >= 2)
    jobs.stop(experiment)
    job = ended(jobs, experiment)
    assert (job.state, job.stage, job.exit_code) == ("stopped", 3, 143)
    (saved,) = experiment.saved_steps()
    assert 2 <= saved < 60
    jobs.resume(experiment)
    wait_until(lambda: jobs.read(experiment).state == "running")
    wait_until(lambda: done(jobs, experiment) > saved)
    signal_worker(experiment)
    assert ended(jobs, experiment).state == "done"
    assert experiment.saved_steps()[-1] == 60
    log = jobs.log(experiment)[1]
    assert "was killed (exit code -9); starting it again" in log
    assert log.count("going on from step") == 2


@pytest.mark.slow
def test_training_on_two_devices_is_a_job_that_stops_with_its_state_saved_and_goes_on(
    jobs: Jobs, tmp_path: Path
) -> None:
    experiment = make_experiment(tmp_path / "logs" / "two")
    jobs.start(experiment, [tiny_options(experiment, steps=10_000, batch_size=1, device="cpu,cpu")])
    wait_until(lambda: done(jobs, experiment) >= 3)
    job = jobs.read(experiment)
    assert (job.commands[0][0], job.module) == (LAUNCHER, "train.train")
    jobs.stop(experiment)
    assert ended(jobs, experiment).state == "stopped"
    (step,) = experiment.saved_steps()
    jobs.resume(experiment)
    wait_until(lambda: done(jobs, experiment) > step)
    assert f"going on from step {step}" in jobs.log(experiment)[1]


def test_a_job_whose_processes_are_gone_is_interrupted(
    jobs: Jobs, experiment: Experiment, english: Path
) -> None:
    experiment.root.mkdir(parents=True)
    words = ("train.preprocess", "--experiment", str(experiment.root), "--dataset", str(english))
    write_job(experiment, Job(commands=(words,), state="running", queued=1.0))
    assert jobs.read(experiment).state == "interrupted"
    jobs.resume(experiment)
    assert ended(jobs, experiment).state == "done"


def test_a_job_of_the_first_version_is_read_and_gone_on_with(
    jobs: Jobs, experiment: Experiment, english: Path
) -> None:
    dataset = ["--experiment", str(experiment.root), "--dataset", str(english)]
    experiment.root.mkdir(parents=True)
    experiment.job_file.write_text(
        json.dumps(
            {
                "commands": [["train.preprocess", *dataset]],
                "heavy": True,
                "state": "stopped",
                "stage": 0,
                "queued": 1763996000.5,
                "started": 1763996001.5,
                "ended": 1763996010.5,
                "exit_code": 143,
            },
            indent=4,
        )
    )
    assert jobs.all() == {experiment.name: jobs.read(JobFolder(experiment.root))}
    assert jobs.read(experiment).state == "stopped"
    jobs.resume(experiment)
    assert ended(jobs, experiment).state == "done"
    assert experiment.clips()


def test_a_folder_for_one_user_is_found_by_its_whole_name_only(jobs: Jobs) -> None:
    folder = jobs.new_folder()
    assert jobs.folder(folder.name) == folder
    for guess in ("", ".", "..", folder.name[:-1], f"{folder.name}/", f"x/../{folder.name}"):
        assert jobs.folder(guess) is None


@pytest.mark.parametrize(
    "text",
    [
        '{"commands": [["os", "-c"]]}',
        '{"commands": [["tools.cmd.voices", "--output", "x"]]}',
        '{"commands": [[]]}',
        '{"commands": [["torch.distributed.run", "train.py"]]}',
        '{"commands": [["torch.distributed.run", "--nproc-per-node", "2", "-m", "pdb"]]}',
        '{"commands": [["torch.distributed.run", "--nproc-per-node", "2", "train.train"]]}',
        '{"commands": [["train.train"]], "stage": 2}',
        '{"commands": [["train.train"]], "more": 1}',
        "[1]",
        "{",
    ],
)
def test_a_job_file_that_is_not_of_this_program_is_ignored(
    jobs: Jobs, experiment: Experiment, text: str
) -> None:
    experiment.root.mkdir(parents=True)
    experiment.job_file.write_text(text)
    assert read_job(experiment) is None
    assert jobs.all() == {}
    with pytest.raises(JobError):
        jobs.resume(experiment)
