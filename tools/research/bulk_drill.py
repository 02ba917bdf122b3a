"""Bulk work under fire: throughput by workers, then workers and the command itself are killed.

Needs requirements-bulk.txt, and Linux: workers are found in /proc.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile

import config
from errors import UserError
from options import Options, option, parse_options
from tools.bulk.options import BulkConvertOptions, bulk_command
from tools.cmd.terminal import exit_code, say
from tools.jobs.outcomes import DONE
from train.worker import parse_progress

SECONDS = (0.5, 1.5)  # length of a recording
WAIT_SECONDS = 300.0  # for the next result


@dataclass(frozen=True, kw_only=True)
class BulkDrillOptions(Options):
    """Convert many short recordings on one worker and on two; then again, with deaths."""

    MODULE = "tools.research.bulk_drill"

    folder: Path = option("empty folder for the recordings and the results")
    voice: Path = option("voice model", config.LITE / "demo.pth")
    files: int = option("how many recordings", 2000, within=(10, 1_000_000))
    kills: int = option("how often a worker is killed", 10, within=(0, 1000))
    stops: int = option("how often the command itself is killed", 2, within=(0, 100))


@dataclass(frozen=True)
class Drill:
    """What came out; rates: files a second of one worker and of two."""

    rates: tuple[float, float]
    kills: int
    stops: int
    lost: int  # recordings without a result
    differing: int  # results other than those of an undisturbed run
    twice: int  # recordings that were noted as done more than once
    begun_again: int
    left_over: int  # unfinished files


def drill(options: BulkDrillOptions) -> Drill:
    """Run the drill. UserError where the folder is not empty, or a run fails."""
    if options.folder.is_dir() and any(options.folder.iterdir()):
        raise UserError("exists", name=options.folder)
    recordings = options.folder / "recordings"
    write_recordings(recordings, options.files)
    bulk = BulkConvertOptions(
        input=recordings, output=options.folder / "1", voice=options.voice, device="cpu",
        semitones=0.0, index_rate=0.0,
    )  # fmt: skip
    rates = []
    for workers in (1, 2):
        bulk = replace(bulk, output=options.folder / str(workers), workers=workers)
        ran = subprocess.run(
            bulk_command(bulk), cwd=config.ROOT, stdout=subprocess.PIPE, text=True, check=True
        )
        lines = [parse_progress(line) for line in ran.stdout.splitlines()]
        rates.append([line.rate for line in lines if line][-1])
        say(f"{workers} workers: {rates[-1]:g} files/s")
    bulk = replace(bulk, output=options.folder / "killed")
    _kill(bulk, options)
    return _compare(bulk, options, (rates[0], rates[1]))


def write_recordings(folder: Path, number: int) -> None:
    """Cut a recording of speech into short ones."""
    audio, rate = soundfile.read(config.EXAMPLE, dtype="float32")
    draw = np.random.default_rng(0)
    for i in range(number):
        length = int(draw.uniform(*SECONDS) * rate)
        start = int(draw.integers(len(audio) - length))
        place = folder / str(i % 20) / f"{i}.wav"
        place.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(place, audio[start : start + length], rate)


def _kill(bulk: BulkConvertOptions, options: BulkDrillOptions) -> None:
    """Run with deaths spread over the whole of it; the last run ends by itself."""
    draw = random.Random(0)
    deaths = ["worker"] * options.kills + ["command"] * options.stops
    draw.shuffle(deaths)
    process = subprocess.Popen(bulk_command(bulk), cwd=config.ROOT, stdout=subprocess.DEVNULL)
    for number, victim in enumerate(deaths, start=1):
        _wait(bulk, number * options.files // (len(deaths) + 1), process)
        if victim == "worker":
            while not (found := workers_of(process.pid)):
                time.sleep(0.1)
            with suppress(ProcessLookupError):  # it was through
                os.kill(draw.choice(found), signal.SIGKILL)
        else:
            process.kill()
            process.wait()
            process = subprocess.Popen(
                bulk_command(bulk), cwd=config.ROOT, stdout=subprocess.DEVNULL
            )
        say(f"{victim} killed at {len(_noted(bulk, DONE))} of {options.files}")
    if process.wait() != 0:
        raise UserError("exit_code", code=process.returncode)


def _wait(bulk: BulkConvertOptions, done: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until so many recordings are done."""
    until = time.monotonic() + WAIT_SECONDS
    while (now := len(_noted(bulk, DONE))) < done:
        if process.poll() is not None:
            raise UserError("exit_code", code=process.returncode)
        if time.monotonic() > until:
            raise UserError("other", message=f"stuck at {now} of {done}")
        time.sleep(0.2)


def workers_of(process: int) -> list[int]:
    """The processes of Ray's workers below another process."""
    parents = {
        int(folder.name): _parent(int(folder.name))
        for folder in Path("/proc").iterdir()
        if folder.name.isdecimal()
    }

    def is_below(each: int) -> bool:
        while each in parents and each != process:
            each = parents[each]
        return each == process

    return [
        each for each in parents
        if is_below(each) and any("ray::Worker" in field for field in _status(each))
    ]  # fmt: skip


def _status(process: int) -> list[str]:
    try:
        return Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    except OSError:  # it has ended
        return []


def _parent(process: int) -> int:
    return next((int(f.split()[1]) for f in _status(process) if f.startswith("PPid:")), 0)


def _noted(bulk: BulkConvertOptions, state: str) -> list[str]:
    """The recordings of all lines of the manifest that tell this state."""
    if not bulk.manifest.is_file():
        return []
    lines = bulk.manifest.read_text(encoding="ascii").split("\n")[:-1]
    return [told["input"] for told in map(json.loads, lines) if told["state"] == state]


def _compare(
    bulk: BulkConvertOptions, options: BulkDrillOptions, rates: tuple[float, float]
) -> Drill:
    """Hold the results against those of the undisturbed run."""
    wanted = {
        path.relative_to(options.folder / "1") for path in (options.folder / "1").rglob("*.wav")
    }
    found = {path.relative_to(bulk.output) for path in bulk.output.rglob("*.wav")}
    done = Counter(_noted(bulk, DONE))
    return Drill(
        rates=rates,
        kills=options.kills,
        stops=options.stops,
        lost=options.files - len(done) + len(wanted - found),
        differing=sum(
            (options.folder / "1" / name).read_bytes() != (bulk.output / name).read_bytes()
            for name in wanted & found
        ),
        twice=sum(count > 1 for count in done.values()) + len(found - wanted),
        begun_again=len(_noted(bulk, "begun")) - options.files,
        left_over=len(list(bulk.output.rglob(config.UNFINISHED_AUDIO))),
    )


def main() -> int:
    """Read the command line and run the drill; 1 where something was lost or done twice."""
    found = drill(parse_options(BulkDrillOptions))
    print(f"throughput of two workers: {found.rates[1] / found.rates[0]:.2f} x that of one")
    print(json.dumps(vars(found)))
    return int(bool(found.lost or found.differing or found.twice or found.left_over))


if __name__ == "__main__":
    raise SystemExit(exit_code(main))
