"""Whole files of other programs, from the command line to the recording that it writes."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from infer.audio.reader import load
from infer.voice.hparams import HIFIGAN, MRF, REFINEGAN
from tests.infer.standard_voices import install_contentvec, narrow_voice
from tests.infer.voice.test_public import applio_file
from tools.cmd import infer_cli, voices


def filled(content: dict[str, Any]) -> dict[str, Any]:
    """The same file with random weights."""
    random = torch.Generator().manual_seed(0)
    content["weight"] = {
        name: (0.3 * torch.randn(value.shape, generator=random)).half()
        for name, value in content["weight"].items()
    }
    return content


def ddpn08_file() -> dict[str, Any]:
    """A v1 voice of ddPn08/rvc-webui: 19 values in config, the width of the content among them."""
    config = [513, 32, 16, 16, 32, 2, 2, 3, 0, "1", [3, 7, 11], [[1, 3, 5]] * 3, [10, 4, 2, 2, 2],
              64, [16, 16, 4, 4, 4], 109, 8, 256, 32000]  # fmt: skip
    return OrderedDict(
        weight=narrow_voice("v1").weights, config=config, version="v1", sr="32k", f0=1,
        embedder_name="contentvec", embedder_output_layer=8, speaker_info={"0": "Mi"},
    )  # fmt: skip


FILES = {
    MRF: (lambda: applio_file(MRF, 40000), 768, 40000, "author: Mi"),
    REFINEGAN: (lambda: applio_file(REFINEGAN, 24000), 768, 24000, "model_name: demo"),
    HIFIGAN: (lambda: applio_file(HIFIGAN, 24000), 768, 24000, "speakers_id: 1"),
    "ddPn08": (ddpn08_file, 256, 32000, "content_encoder: contentvec-256-layer8"),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_of_another_program_is_shown_and_converts(
    tmp_path: Path,
    english: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: str,
) -> None:
    make, width, rate, noted = FILES[kind]
    monkeypatch.setattr("config.DOWNLOADS", tmp_path / "downloads")
    install_contentvec(tmp_path / "downloads", width)
    torch.save(filled(make()), tmp_path / "voice.pth")
    assert voices.main(["show", "--file", str(tmp_path / "voice.pth")]) == 0
    shown = capsys.readouterr().out
    vocoder = kind if kind in (MRF, REFINEGAN) else HIFIGAN
    for line in (noted, f"sample_rate: {rate}", f"vocoder: {vocoder}"):
        assert f"  {line}\n" in shown
    speech, speech_rate = load(english)
    soundfile.write(tmp_path / "in.wav", speech[: int(1.5 * speech_rate)], speech_rate)
    words = ["--voice", str(tmp_path / "voice.pth"), "--input", str(tmp_path / "in.wav")]
    words += ["--output", str(tmp_path / "out.wav"), "--device", "cpu", "--rms-mix-rate", "1"]
    assert infer_cli.main([*words, "--f0-method", "pm", "--index-rate", "0"]) == 0
    low, found = load(tmp_path / "out.wav")
    assert (found, len(low)) == (rate, 1.5 * rate)
    assert np.isfinite(low).all() and low.std() > 1e-4
    assert infer_cli.main([*words, "--f0-method", "pm", "--semitones", "7"]) == 0
    assert not np.array_equal(load(tmp_path / "out.wav")[0], low)  # it follows the melody
