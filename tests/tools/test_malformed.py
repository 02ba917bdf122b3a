"""Malformed files of every kind that tools/ reads: one clear line each, and nothing left behind.

Every reader reads its files in one process of its own, with 1 GB to allocate beside what is loaded.
Run as a module it prints how many files of each reader were read, and what was said of the others.
"""

from __future__ import annotations

import io
import json
import logging
import random
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from errors import UserError, read_noted_error
from infer.f0.curve import read_curve
from infer.options import ConvertOptions
from infer.voice.hparams import read_config
from options import command
from tools.datasets.recordings import take_recordings
from tools.datasets.report import read_report
from tools.jobs.jobs import Job, failure, read_job
from tools.jobs.outcomes import read_outcomes
from tools.jobs.training import read_settings
from tools.voices.library import Library
from tools.voices.presets import read_presets
from tools.voices.zips import add_to_library
from train.experiment import Experiment
from train.metrics import read_metrics

COUNT = 300
SILENT = ("job", "settings", "outcomes", "error", "recordings of an experiment", "metrics")
GIGABYTE = 2**30
SECONDS = 5.0
ODD = [
    None,
    True,
    -1,
    0,
    10**30,
    1e308,
    "",
    "x" * 5000,
    "\u0000",
    "../../x",
    [],
    {},
    [[[]]],
    {"a": 1},
]
ERROR = {"name": "no_such", "values": {"file": "a.wav"}}
JOB = {"commands": [["train.train", "--experiment", "logs/x"]], "state": "failed", "stage": 0,
       "queued": 1.5, "started": None, "exit_code": 1, "error": ERROR, "heavy": True}  # fmt: skip
RECORDING = {"path": "a.wav", "seconds": 1.0, "problems": ["report_file_short"], "error": ERROR,
             "loudness": None, "sample_rate": 48000}  # fmt: skip
REPORT = {
    "dataset": "x", "seconds": 1.0, "usable_minutes": 1.0, "quality": "clean", "loudness": -20.0,
    "snr": 1.0, "clipped": 0.0, "bandwidth": 8000, "f0_low": 1.0, "f0_median": 1.0, "f0_high": 1.0,
    "epochs": [1, 2], "lite_minutes": 3, "recordings": [RECORDING],
    "findings": [{"level": "ok", "text": "t", "values": {"a": "b"}, "files": ["a.wav"]}],
}  # fmt: skip
SOURCE = {"path": "a.wav", "number": 1, "size": 3, "modified": 4, "clips": 2, "seconds": 3.5}
METRICS = {"step": 3, "seconds": 1.5, "loss/mel": 20.0}
MELODY = b"seconds,hz\n" + b"".join(b"%.2f,%d\n" % (i / 100, 200 + i) for i in range(50))
OUTCOME = {"input": "a", "output": "b", "state": "failed", "audio_seconds": 1.0, "seconds": 1.0,
           "error": ERROR, "deaths": 0}  # fmt: skip


def odd_json(generator: random.Random, plain: object) -> bytes:
    """JSON with one value of another kind, or bytes that are damaged."""
    copy = json.loads(json.dumps(plain))
    places: list[tuple[object, object]] = []

    def walk(value: object) -> None:
        each = value.items() if isinstance(value, dict) else enumerate(value)  # type: ignore
        for key, inner in list(each):
            places.append((value, key))
            if isinstance(inner, dict | list):
                walk(inner)

    walk(copy)
    holder, key = generator.choice(places)
    what = generator.randrange(4)
    if what == 0:
        del holder[key]  # type: ignore
    elif what == 1 and isinstance(holder, dict):
        holder[generator.choice(["strange", "__class__", ""])] = generator.choice(ODD)
    else:
        holder[key] = generator.choice(ODD)  # type: ignore
    text = json.dumps(copy).encode()
    if generator.random() < 0.15:
        return b"[" * 100_000
    return odd_bytes(generator, text) if generator.random() < 0.3 else text


def odd_bytes(generator: random.Random, content: bytes) -> bytes:
    """Content cut short, with flipped bytes, with a hole, or with something in between."""
    data, at = bytearray(content), generator.randrange(len(content))
    what = generator.randrange(4)
    if what == 0:
        return bytes(data[:at])
    if what == 1:
        for _ in range(generator.randrange(1, 8)):
            data[generator.randrange(len(data))] = generator.randrange(256)
    elif what == 2:
        data[at : at + 40] = generator.choice([bytes(40), b"\xff" * 40, b""])
    else:
        data[at:at] = generator.choice([b"NaN", b"1e999", b"\x80\xff", b'"', b"\r\n"])
    return bytes(data)


def zipped(generator: random.Random, entries: dict[str, bytes]) -> bytes:
    """A zip with one odd entry, or a damaged one."""
    names = [
        "../{}", "/{}", "C:/{}", "..\\{}", "a/../../{}", "__MACOSX/._{}", "{}/", ".{}", "{}\0x",
        "{}" * 60, "CON/{}", "{}\ud800",
    ]  # fmt: skip
    buffer, odd = io.BytesIO(), generator.choice(sorted(entries))
    kind = generator.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
    with zipfile.ZipFile(buffer, "w", kind) as archive:
        for name, content in entries.items():
            item = zipfile.ZipInfo(name)
            item.compress_type = kind
            if name == odd and generator.random() < 0.7:
                shown = generator.choice(names).format(*[name] * 60)
                item = zipfile.ZipInfo(shown.encode("utf-8", "replace").decode())
                item.external_attr = generator.choice([0, 0o120777 << 16, 0o020666 << 16])
                content = generator.choice(
                    [content, bytes(3_000_000), odd_bytes(generator, content)]
                )
            archive.writestr(item, content)
    content = buffer.getvalue()
    return odd_bytes(generator, content) if generator.random() < 0.5 else content


def wav_bytes() -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(2000), 16000, format="WAV")
    return buffer.getvalue()


def voice_bytes() -> bytes:
    buffer = io.BytesIO()
    torch.save({"weight": {"a": torch.zeros(3)}, "config": {"sample_rate": 24000}}, buffer)
    return buffer.getvalue()


def no_job(experiment: Experiment) -> None:
    job = read_job(experiment)
    if job is not None:
        assert isinstance(job, Job) and str(failure(job) or "x")
        assert isinstance(job.module, str) and isinstance(job.queued, float)


READERS: dict[str, tuple[str, Callable[[random.Random], bytes], Callable[[Path], object]]] = {
    "job": ("job.json", lambda g: odd_json(g, JOB), lambda p: no_job(Experiment(p.parent))),
    "settings": (
        "settings.json",
        lambda g: odd_json(g, {"kind": "lite 24k", "epochs": 3, "minutes": 1.0, "device": "cpu"}),
        lambda p: read_settings(Experiment(p.parent)),
    ),
    "report": ("report.json", lambda g: odd_json(g, REPORT), read_report),
    "outcomes": ("o.jsonl", lambda g: odd_json(g, OUTCOME), read_outcomes),
    "error": ("error", lambda g: odd_json(g, ERROR), lambda p: str(read_noted_error(p))),
    "melody": ("f0.csv", lambda g: odd_bytes(g, MELODY), read_curve),
    "experiment": (
        "config.json",
        lambda g: odd_json(g, {"version": "v2", "sample_rate": 48000, **read_config("v2", 48000)}),
        lambda p: Experiment(p.parent).read_config(),
    ),
    "recordings of an experiment": (
        "sources.jsonl",
        lambda g: odd_json(g, SOURCE),
        lambda p: Experiment(p.parent).read_sources(),
    ),
    "metrics": (
        "metrics.jsonl",
        lambda g: odd_json(g, METRICS) + b"\n" + odd_json(g, METRICS),
        lambda p: read_metrics(Experiment(p.parent)),
    ),
    "presets": (
        "v.presets.json",
        lambda g: odd_json(g, {"low": {"semitones": -3, "index_rate": 0.5}}),
        lambda p: read_presets(p.with_name("v.pth")),
    ),
    "zip of recordings": (
        "in.zip",
        lambda g: zipped(g, {"a.wav": wav_bytes(), "b/take": wav_bytes(), "c.txt": b"text"}),
        lambda p: take_recordings([p], p.parent / "dataset"),
    ),
    "zip of voices": (
        "in.zip",
        lambda g: zipped(
            g, {"v.pth": voice_bytes(), "v.index": bytes(200), "voice.json": b'{"files": 3}'}
        ),
        lambda p: add_to_library(Library(p.parent / "weights", p.parent, p.parent), p),
    ),
    "voice": (
        "in.pth",
        lambda g: odd_bytes(g, voice_bytes()),
        lambda p: add_to_library(Library(p.parent / "weights", p.parent, p.parent), p),
    ),
}


def read_all(name: str, root: Path) -> dict[str, object]:
    """Read every malformed file of a reader; returns what is said of them, and the worst of it."""
    file_name, make, read = READERS[name]
    said: Counter[str] = Counter()
    faults: list[str] = []
    slowest = 0.0
    limit_memory()
    for seed in range(COUNT):
        folder = root / f"{seed}"
        folder.mkdir()
        (folder / file_name).write_bytes(make(random.Random(seed)))
        started = time.process_time()
        try:
            read(folder / file_name)
            said["read"] += 1
        except UserError as error:
            said[error.name] += 1
            if not str(error).strip() or "\n" in str(error):
                faults.append(f"{seed}: {error!r}")
            taken = {each.name for each in folder.iterdir() if each.name != file_name}
            if not taken <= {"dataset", "weights"} or any(folder.rglob("*/*")):
                faults.append(f"{seed} left {taken}")
        except Exception as error:  # of a library's own: what the test is about
            faults.append(f"{seed}: {type(error).__name__} {error}")
        slowest = max(slowest, time.process_time() - started)
        if any(folder.rglob(".incoming*")):
            faults.append(f"{seed} left what came in")
    outside = sorted(each.name for each in root.iterdir() if not each.name.isdecimal())
    return {"said": said, "faults": faults, "outside": outside, "slowest": slowest}


def limit_memory() -> None:
    """Refuse to give this process more than 1 GB beside what is loaded."""
    if sys.platform == "linux":
        import resource

        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + GIGABYTE, -1))


@pytest.fixture(scope="module")
def answers(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """What every reader's process said, one after the other."""
    folder = tmp_path_factory.mktemp("malformed")
    ran = subprocess.run(
        [sys.executable, "-m", "tests.tools.test_malformed", str(folder)],
        cwd=root, capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-2000:]
    return {
        name: json.loads(line) for name, line in zip(READERS, ran.stdout.splitlines(), strict=True)
    }


@pytest.mark.parametrize("name", READERS)
def test_every_malformed_file_is_one_line_and_leaves_nothing(
    name: str, answers: dict[str, dict]
) -> None:
    found = answers[name]
    assert (found["faults"], found["outside"]) == ([], [])
    assert found["slowest"] < SECONDS
    assert sum(found["said"].values()) == COUNT
    assert len(found["said"]) > 1 or name in SILENT  # what is odd is left out


def test_options_say_what_is_odd_in_one_line() -> None:
    generator, refused = random.Random(0), 0
    base = {"voice": Path("v.pth"), "input": Path("a.wav"), "output": Path("b.wav")}
    ranged = ["semitones", "index_rate", "protect", "rms_mix_rate", "resample_rate", "speaker"]
    for _ in range(COUNT):
        odd = [float("nan"), float("inf"), -1e30, 10**30, "x", "", None, -1, 0.5, []]
        values = {generator.choice(ranged): generator.choice(odd)}
        try:
            command(ConvertOptions(**base, **values))
        except UserError as error:
            refused += 1
            assert "\n" not in str(error) and str(error).startswith("--"), error
        except ValueError as error:
            assert "which a command line cannot say" in str(error)
    assert refused > COUNT / 3


if __name__ == "__main__":
    logging.disable()
    parent = Path(sys.argv[1])
    for reader in READERS:
        (parent / reader).mkdir(parents=True)
        print(json.dumps(read_all(reader, parent / reader)), flush=True)
