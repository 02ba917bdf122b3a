"""Bulk work on Ray: workers that live long, on this machine or on all machines of a cluster."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

import config
from errors import UserError, as_user_error, from_json
from tools.bulk.options import LOCAL, BulkOptions
from tools.bulk.tasks import Task, Tasks, find_tasks
from tools.bulk.work import open_work, suffix_of
from train.worker import Progress

INSTALL = "python -m pip install -r requirements-bulk.txt"
STORE_BYTES = 2**27  # of Ray's own memory: only names and numbers are sent
MOST_STARTS = 3  # of each worker in a row, before any recording is done


class Worker:
    """A process of the cluster: loads its models once, and does one batch after the other."""

    def __init__(self, options: BulkOptions) -> None:
        self._options = options

    def load(self) -> dict[str, Any] | None:
        """Load the models; returns an error as JSON."""
        try:
            self._work = open_work(self._options)
        except (ValueError, OSError, MemoryError) as error:
            return as_user_error(error).to_json()
        return None

    def run(self, batch: list[tuple[Path, Path]]) -> Iterator[dict[str, Any]]:
        """Yield what became of each recording, as `Tasks.finish` takes it."""
        for source, target in batch:
            started, audio_seconds, problem = time.monotonic(), 0.0, None
            try:
                audio_seconds = self._work(source, target)
            except (ValueError, OSError, MemoryError) as error:
                problem = as_user_error(error).to_json()
            seconds = round(time.monotonic() - started, 3)
            yield {"audio_seconds": audio_seconds, "seconds": seconds, "error": problem}


@dataclass
class _Slot:
    """The place of a worker; answers: what it is waited for, the batch's rest lies in tasks."""

    actor: Any
    answers: Any
    is_loaded: bool = False
    tasks: list[Task] = field(default_factory=list)


def run_bulk(options: BulkOptions) -> Tasks:
    """Do everything that is not done yet; returns the counts. UserError, WorkerError."""
    try:
        ray = import_module("ray")
    except ModuleNotFoundError as error:
        raise UserError("no_ray", command=INSTALL) from error
    pairs = find_tasks(options.input, options.output, lambda source: suffix_of(options, source))
    options.manifest.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(options.manifest.with_name(f".{options.manifest.name}.lock"))
    try:
        with lock.acquire(timeout=1):
            tasks = Tasks(pairs, options.manifest, options.workers)
            if tasks.left:
                _join(ray, options)
                try:
                    _Bulk(ray, options, tasks).run()
                finally:
                    ray.shutdown()
            return tasks
    except Timeout as error:
        raise UserError("busy", folder=options.manifest) from error


def _join(ray: Any, options: BulkOptions) -> None:
    """Join a cluster, or make one of this machine."""
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if options.address == LOCAL:
        cpus = max(1, round(options.workers * options.cpus_per_worker))
        settings |= {"num_cpus": cpus, "object_store_memory": STORE_BYTES}
        settings["include_dashboard"] = False
    try:
        ray.init(options.address, **settings)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UserError("no_cluster", address=options.address, detail=str(error)) from error
    gpus = ray.cluster_resources().get("GPU", 0)
    if options.address == LOCAL and options.gpus_per_worker * options.workers > gpus:
        wanted = options.gpus_per_worker * options.workers
        raise UserError("bulk_gpus", wanted=wanted, found=gpus)


class _Bulk:
    """One run: every worker has one batch, and gets the next when it is through with that."""

    def __init__(self, ray: Any, options: BulkOptions, tasks: Tasks) -> None:
        self._ray, self._tasks = ray, tasks
        environment = {
            "PYTHONPATH": str(config.ROOT),
            "RVC_DATA": str(config.DATA),
            "OMP_NUM_THREADS": str(max(1, int(options.cpus_per_worker))),
        }
        self._remote = ray.remote(Worker).options(
            num_cpus=options.cpus_per_worker,
            num_gpus=options.gpus_per_worker,
            runtime_env={"env_vars": environment},
        )
        self._options = ray.put(options)
        self._starts, self._most = 0, MOST_STARTS * options.workers
        self._slots = [self._start() for _ in range(options.workers)]

    def run(self) -> None:
        """Give batches out until nothing is left and nobody works."""
        while not any(slot.is_loaded for slot in self._slots):
            self._listen()
        tasks, started = self._tasks, time.monotonic()
        with Progress(tasks.all, "files", "bulk", done=tasks.done) as progress:
            while tasks.left or any(slot.tasks for slot in self._slots):
                for slot in self._slots:
                    if slot.is_loaded and not slot.tasks and tasks.left:
                        slot.tasks = tasks.take()
                        batch = [(task.source, task.target) for task in slot.tasks]
                        slot.answers = slot.actor.run.options(num_returns="streaming").remote(batch)
                self._listen()
                speed = tasks.audio_seconds / (time.monotonic() - started)
                working = sum(slot.is_loaded for slot in self._slots)
                progress.advance(
                    tasks.done + tasks.failed - progress.done,
                    f"{speed:.3g} x real time, {working} workers, {tasks.failed} failed",
                )

    def _start(self) -> _Slot:
        """Start a worker somewhere in the cluster."""
        self._starts += 1
        if self._starts > self._most:
            raise UserError("bulk_starts", count=self._starts - 1)
        actor = self._remote.remote(self._options)
        return _Slot(actor, actor.load.remote())

    def _listen(self) -> None:
        """Take the next answers, if there are any within a second."""
        waited = {slot.answers: slot for slot in self._slots if slot.tasks or not slot.is_loaded}
        for answers in self._ray.wait(list(waited), timeout=1)[0]:
            self._receive(waited[answers])

    def _receive(self, slot: _Slot) -> None:
        """Take an answer of a worker; one that died is replaced."""
        try:
            answer = self._ray.get(next(slot.answers) if slot.is_loaded else slot.answers)
        except StopIteration:
            self._tasks.give_back(slot.tasks, is_death=False)
            slot.tasks = []
        except self._ray.exceptions.RayTaskError as error:  # a fault of the program, at this one
            problem = UserError("unexpected", kind=type(error.cause).__name__, message=error.cause)
            if not slot.is_loaded:
                raise problem from error
            self._tasks.finish(slot.tasks.pop(0), 0.0, 0.0, problem)
            self._tasks.give_back(slot.tasks, is_death=False)
            slot.tasks = []
        except self._ray.exceptions.RayError:
            self._ray.kill(slot.actor)  # or it is only out of reach
            self._tasks.give_back(slot.tasks, is_death=True)
            self._slots[self._slots.index(slot)] = self._start()
        else:
            if not slot.is_loaded and answer is not None:
                raise from_json(answer)
            if slot.is_loaded:
                error = answer["error"] and from_json(answer["error"])
                self._tasks.finish(slot.tasks.pop(0), **{**answer, "error": error})
                self._starts = 0
            slot.is_loaded = True
