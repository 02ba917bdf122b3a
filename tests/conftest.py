"""What several tests share."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WRITTEN = ("logs", "weights", "datasets", "results", "assets/downloads", "assets/lite")
# before anything imports config: tests, and the processes they start, write to a folder of theirs
DATA = Path(tempfile.mkdtemp(prefix="rvc-tests-")).resolve()
os.environ["RVC_DATA"] = str(DATA)
# threads that wait for each other in a loop make a busy machine ten times slower
os.environ.setdefault("OMP_NUM_THREADS", "1")
for name in ("logs", "weights"):
    (DATA / name).mkdir()
SLOW_SECONDS = 1800
LONG = ("tests/tools/web", "tests/tools/jobs", "tests/train")  # they begin: none is left at the end


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the longest begin; give slow tests the time that they may need on a busy machine."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SLOW_SECONDS))


def names_in(folder: str) -> set[str]:
    """What lies in one of the program's folders."""
    return {path.name for path in (ROOT / folder).glob("*")}


@pytest.fixture(scope="session", autouse=True)
def nothing_is_written_to_the_program() -> Iterator[None]:
    """Every test leaves the folders of the checkout as they were; the data root goes."""
    before = {folder: names_in(folder) for folder in WRITTEN}
    yield
    shutil.rmtree(DATA, ignore_errors=True)
    assert {folder: names_in(folder) for folder in WRITTEN} == before


@pytest.fixture(scope="session")
def data() -> Path:
    """Where this run keeps what users make: logs/, weights/, datasets/ and results/."""
    return DATA


@pytest.fixture(scope="session")
def root() -> Path:
    """The program's folder."""
    return ROOT


@pytest.fixture(scope="session")
def english(root: Path) -> Path:
    """Six seconds of English speech, 16 kHz mono."""
    return root / "assets/examples/english.flac"


@pytest.fixture(scope="session")
def untrained_voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small lite voice whose weights are as they were made: it hums, and converts fast."""
    import torch

    from infer.models.families import family, plain
    from infer.voice.checkpoint import VoiceModel, save_voice_model
    from infer.voice.hparams import LiteParams, read_config

    params = LiteParams.from_groups(
        read_config("lite", 24000), hidden_dim=32, inner_dim=64, num_blocks=2
    )
    torch.manual_seed(0)
    weights = family("lite").build(params).state_dict()
    path = tmp_path_factory.mktemp("voices") / "untrained.pth"
    save_voice_model(path, VoiceModel(weights, plain(params), params.sample_rate, "lite"))
    return path
