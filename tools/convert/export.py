"""Write a voice for other programs: as .safetensors, or its network as .onnx."""

from __future__ import annotations

import json
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from config import replacing
from errors import UserError
from infer.converter import load_synthesizer
from infer.models.families import family
from infer.voice.checkpoint import VoiceModel, load_voice_model, save_voice_model
from infer.voice.safe_file import VOICE_SUFFIXES
from tools.voices.library import LibraryError

ONNX = ".onnx"
INSTALL = "python -m pip install -r requirements-export.txt"
OPSET = 17
TRACED, CHECKED = 40, (40, 97)  # frames
LARGEST_DIFFERENCE = 1e-3  # between ONNX and torch


def export(voice: Path, output: Path) -> None:
    """Write a voice in the format of the output's ending: complete, or not at all.

    LibraryError, CheckpointError, UserError where the exporter is missing or errs.
    """
    suffix = output.suffix.lower()
    if suffix not in (*VOICE_SUFFIXES, ONNX):
        raise LibraryError("export_kind", file=output)
    if output.exists():
        raise LibraryError("exists", name=output)
    if suffix == ONNX:
        write_onnx(voice, output)
    else:
        save_voice_model(output, load_voice_model(voice))


def write_onnx(voice: Path, output: Path) -> None:
    """Write a voice's network as ONNX, after onnxruntime has found it equal to torch's."""
    if find_spec("onnx") is None:
        raise UserError("export_needs", command=INSTALL)
    model, params, synthesizer = load_synthesizer(voice)
    network = family(model.version).exported(synthesizer).eval().requires_grad_(False)
    output.parent.mkdir(parents=True, exist_ok=True)
    with replacing(output) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an exporter that traces: lengths are checked below
        names = network.input_names
        torch.onnx.export(
            network,
            network.make_inputs(TRACED, seed=0),
            str(temporary),
            input_names=names,
            output_names=["audio"],
            dynamic_axes=_dynamic_axes(names),
            opset_version=OPSET,
            dynamo=False,
        )
        _note(temporary, model, params)
        difference = _compare(network, temporary)
        if not difference <= LARGEST_DIFFERENCE:
            raise UserError("export_differs", file=output, difference=difference)


def _dynamic_axes(names: list[str]) -> dict[str, dict[int, str]]:
    """Which sizes follow the length of what is converted."""
    frames = {name: 1 for name in names} | {"rnd": 2}
    fixed = ("phone_lengths", "ds", "speaker")
    axes = {name: {frames[name]: "frames"} for name in names if name not in fixed}
    return {**axes, "audio": {1 if "content" in names else 2: "samples"}}


@torch.inference_mode()
def _compare(network: Any, path: Path) -> float:
    """The largest difference between what onnxruntime and torch make of the same inputs."""
    from onnxruntime import InferenceSession

    session = InferenceSession(path, providers=["CPUExecutionProvider"])
    largest = 0.0
    for frames in CHECKED:
        inputs = network.make_inputs(frames, seed=frames)
        fed = {name: x.numpy() for name, x in zip(network.input_names, inputs, strict=True)}
        (audio,) = session.run(["audio"], fed)
        wanted = network.run_network(*inputs)
        if audio.shape != tuple(wanted.shape):
            return float("inf")
        largest = max(largest, float((torch.from_numpy(audio) - wanted).abs().max()))
    return largest


def _note(path: Path, model: VoiceModel, params: Any) -> None:
    """Put the facts into the file that voice changers look for."""
    import onnx

    content = onnx.load(path)
    facts = {
        "samplingRate": params.sample_rate,
        "f0": model.use_f0,
        "embChannels": params.content_dim,
        "embedder": params.content_encoder,
        "version": model.version,
        "speakers": params.num_speakers,
    }
    onnx.helper.set_model_props(content, {"metadata": json.dumps(facts), "info": model.info})
    onnx.save(content, path)
