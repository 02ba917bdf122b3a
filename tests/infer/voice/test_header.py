"""Labels of torch files, read without torch, and never running what is in them."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from errors import CheckpointError
from infer.voice.checkpoint import load_voice_model
from infer.voice.header import STATE, VOICE, read_header


def test_the_header_of_the_shipped_voice_says_what_loading_it_says(root: Path) -> None:
    path = root / "assets/lite/demo.pth"
    header, model = read_header(path), load_voice_model(path)
    assert (header.kind, header.problem) == (VOICE, None)
    assert (header.version, header.sample_rate) == (model.version, model.sample_rate)
    assert header.content_dim == model.params["content_dim"]
    assert header.num_speakers == len(model.weights["emb_g.weight"])
    assert (header.info, header.f0_median) == (model.info, model.f0_median)
    base = read_header(root / "assets/lite/base_G.pth")
    assert base.vocoder == header.vocoder == ""  # a lite synthesizer ends in none


@pytest.mark.parametrize("name", ["v1_f0_40k", "v1_nof0_32k", "v2_f0_48k"])
def test_files_written_by_the_reference_are_recognised(
    root: Path, tmp_path: Path, name: str
) -> None:
    told = json.loads((root / f"tests/golden/model_file_{name}.json").read_text(encoding="utf-8"))
    items = told["content"]["items"]
    weights = {
        key: torch.zeros(value["shape"], dtype=torch.float16)
        for key, value in items["weight"]["items"].items()
    }
    config = [0.0] * 18
    config = items["config"]["value"]
    file = OrderedDict(weight=weights, config=config, info="37epoch", sr="x", f0=1, version="v1")
    torch.save(file, tmp_path / "voice.pth")
    header = read_header(tmp_path / "voice.pth")
    version, f0, rate = name.split("_")
    assert (header.kind, header.problem, header.version) == (VOICE, None, version)
    assert header.use_f0 == (f0 == "f0")
    assert header.sample_rate == int(rate[:-1]) * 1000
    assert header.num_speakers == 109
    assert header.vocoder == "HiFi-GAN"


def test_the_epoch_of_a_state_is_read_and_one_without_is_none(tmp_path: Path) -> None:
    for content, epoch in (({"iteration": 37}, 37), ({}, 0), ({"iteration": "x"}, 0)):
        torch.save({"model": {"emb_g.weight": torch.zeros(2, 3)}, **content}, tmp_path / "G_9.pth")
        header = read_header(tmp_path / "G_9.pth")
        assert (header.kind, header.epoch, header.num_speakers) == (STATE, epoch, 2)


def test_base_models_are_states_and_discriminators_are_said_to_be_none(root: Path) -> None:
    assert read_header(root / "assets/lite/base_G.pth").kind == STATE
    assert read_header(root / "assets/lite/base_G.pth").problem is None
    assert "no synthesizer" in str(read_header(root / "assets/lite/base_D.pth").problem)


class Harmful:
    """Runs a command when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.target,))


def test_a_file_that_would_run_something_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    path = tmp_path / "voice.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("voice/data.pkl", pickle.dumps({"weight": Harmful(touched), "config": []}))
    with pytest.raises(CheckpointError, match="asks for pathlib"):
        read_header(path)
    assert not touched.exists()


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 broken"])
def test_files_that_are_no_torch_files_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "voice.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match="voice.pth"):
        read_header(tmp_path / "voice.pth")
    with pytest.raises(FileNotFoundError, match="none.pth"):
        read_header(tmp_path / "none.pth")


def test_reading_a_header_needs_no_torch(root: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from infer.voice.header import read_header;"
        "print(read_header(Path('assets/lite/demo.pth')).version, 'torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert ran.stdout.split() == ["lite", "False"], ran.stderr
