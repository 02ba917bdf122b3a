"""Three hundred damaged files for every reader: one line each, soon, and nothing is left behind.

They are read in processes of their own, with 1 GB of memory to allocate beside what is loaded: a
reader that dies, hangs or takes too much fails.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import faiss
import numpy as np
import pytest

from infer.audio.writer import ENCODERS, AudioWriter
from tests.infer.voice.odd_files import lite_content, odd_voices, saved, spoiled, standard_content

ROOT = Path(__file__).resolve().parents[2]
TINY_HUBERT = ROOT / "tests/golden/hubert_tiny.pt"
SECONDS = 5.0
COUNT = 300
LISTS = [  # of files and addresses, named as sound
    b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\ngood.wav\n",
    b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nhttp://127.0.0.1:9/a.ts\n",
    b"ffconcat version 1.0\nfile good.wav\n",
    b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    b"<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'></MPD>",
    b"[playlist]\nFile1=good.wav\nNumberOfEntries=1\n",
    b"RTSPtext\r\nrtsp://127.0.0.1/",
]

READ_ALL = """
import json, logging, sys, time
from pathlib import Path
reader, folder = sys.argv[1], Path(sys.argv[2])
logging.disable()
if reader in ("voice", "state", "hubert"):
    import torch
    from infer.content.hubert_files import read_hubert
    from infer.models.families import family
    from infer.voice.checkpoint import load_voice_model
    from infer.voice.extract import extract_voice
    from infer.voice.header import read_header
if reader == "index":
    import faiss, numpy as np
    from infer.retrieval import Retrieval
if reader == "audio":
    import av
    from infer.audio.reader import load
def voice(path):
    try:
        read_header(path)
    finally:
        model = load_voice_model(path)
        family(model.version).params(**model.params)
def index(path):
    Retrieval(path, 16).blend(np.zeros((3, 16), np.float32), 0.5)
def read(path):
    {"voice": voice, "state": lambda p: extract_voice(p), "index": index,
     "hubert": lambda p: read_hubert(p), "audio": lambda p: load(p, 16000)}[reader](path)
if sys.platform == "linux":
    import resource
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, -1))
for path in sorted(folder.iterdir()):
    print(json.dumps({"at": path.name}), flush=True)
    started, problem, kind = time.process_time(), "", ""
    try:
        read(path)
    except Exception as error:
        problem = str(error)
        problem, kind = str(error), type(error).__mro__[-4].__name__ if False else ""
        from errors import UserError
        kind = "" if isinstance(error, UserError) else type(error).__name__
    spent = time.process_time() - started
    print(json.dumps({"name": path.name, "problem": problem, "kind": kind, "spent": spent}))
"""


def good_index(folder: Path, kind: str) -> bytes:
    vectors = np.random.default_rng(0).random((300, 16), np.float32)
    index = faiss.index_factory(16, kind)
    index.train(vectors)
    if kind.startswith("IDMap"):
        index.add_with_ids(vectors, np.arange(300))
    else:
        index.add(vectors)
    faiss.write_index(index, str(folder / "good"))
    return (folder / "good").read_bytes()


def good_audio(folder: Path, suffix: str) -> bytes:
    path = folder / f"good{suffix}"
    with AudioWriter(path, 24000) as writer:
        writer.write(0.5 * np.sin(np.arange(36000) / 20).astype(np.float32))
    return path.read_bytes()


def files(reader: str, folder: Path) -> dict[str, bytes]:
    """Return name -> content of what a reader is given."""
    if reader == "voice":
        made = {
            f"odd_{i}.pth": c for i, (c, _) in enumerate(odd_voices(str(folder / "ran")).values())
        }
        good = [saved(lite_content()), saved(standard_content())]
        good.append(saved(lite_content(), _use_new_zipfile_serialization=False))
        return made | {f"{s}.pth": spoiled(good[s % 3], s) for s in range(COUNT - len(made))}
    if reader == "state":
        state = saved({"model": standard_content()["weight"], "iteration": 3})
        return {f"{s}.pth": spoiled(state, s) for s in range(COUNT)}
    if reader == "hubert":
        return {f"{s}.pt": spoiled(TINY_HUBERT.read_bytes(), s) for s in range(COUNT)}
    if reader == "index":
        kinds = ("Flat", "IVF4,Flat", "IVF4,SQ8", "IDMap,Flat", "HNSW8", "PCA8,Flat")
        good = [good_index(folder, kind) for kind in kinds]
        return {f"{s}.index": spoiled(good[s % len(good)], s // 6) for s in range(COUNT)}
    good = [(suffix, good_audio(folder, suffix)) for suffix in ENCODERS]
    made = {f"list{i}{s}": text for i, text in enumerate(LISTS) for s in (".mp3", ".wav", ".m3u8")}
    for seed in range(COUNT - len(made)):
        suffix, content = good[seed % len(good)]
        made[f"{seed}{suffix}"] = spoiled(content, seed // len(good))
    return made


@pytest.mark.parametrize("reader", ["voice", "state", "hubert", "index", "audio"])
def test_damaged_files_give_one_line_each_and_leave_nothing(reader: str, tmp_path: Path) -> None:
    folder, others = tmp_path / "files", tmp_path / "others"
    folder.mkdir()
    others.mkdir()
    made = files(reader, others)
    for name, content in made.items():
        (folder / name).write_bytes(content)
    ran = subprocess.run(
        [sys.executable, "-c", READ_ALL, reader, str(folder)],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert ran.returncode == 0, (lines[-1:], ran.stderr[-2000:])
    answers = [line for line in lines if "name" in line]
    assert len(answers) == len(made)
    assert [a for a in answers if a["kind"]] == []  # no error of a library's own
    assert [a for a in answers if "\n" in a["problem"] or len(a["problem"]) > 600] == []
    assert [a for a in answers if a["spent"] > SECONDS] == []
    assert [a for a in answers if a["problem"] and a["name"] not in a["problem"]] == []
    assert sum(bool(a["problem"]) for a in answers) > len(made) / 4
    assert not (others / "ran").exists()
    assert sorted(path.name for path in folder.iterdir()) == sorted(made)
