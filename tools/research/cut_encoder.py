"""Make assets/lite/whisper-*.safetensors: cut Whisper's encoder and measure what it adds by itself.

A maintainer's tool. Besides the weights the file holds the mean of the last hidden state at each
position (a trace of Whisper's absolute positions) and the statistics of an average voice.
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from config import replacing
from infer.audio.reader import load
from infer.content import FRAME
from infer.content.statistics import RunningStatistics, Statistics
from infer.content.whisper import WhisperContent
from infer.content.whisper_encoder import WINDOW
from infer.f0 import SAMPLE_RATE
from infer.voice.tensors import pack
from options import Options, option, parse_options

SMOOTHING = 41  # frames; the position mean is smooth but for its first frames
EDGE = 3


@dataclass(frozen=True, kw_only=True)
class CutEncoderOptions(Options):
    """Cut a Whisper encoder after some blocks and measure its position mean and its prior."""

    MODULE = "tools.research.cut_encoder"

    encoder: Path = option("Whisper encoder, .safetensors")
    output: Path = option("file to write")
    corpus: Path = option("folder with manifest.tsv; its train split is measured")
    blocks: int = option("transformer blocks kept", 4)
    heads: int = option("attention heads of the encoder", 8)
    seconds: int = option("speech measured per speaker", 300)


def cut_encoder(options: CutEncoderOptions) -> None:
    """Write the cut encoder, its matrices in 8 bits."""
    tensors = {
        name: value
        for name, value in load_file(options.encoder).items()
        if not name.startswith("ln_post")
        and not (name.startswith("blocks.") and int(name.split(".")[1]) >= options.blocks)
    }
    tensors["positional_embedding"] = tensors["positional_embedding"][:WINDOW]
    dim = tensors["conv1.bias"].shape[0]
    tensors["position_mean"] = torch.zeros(WINDOW, dim)
    tensors["prior_mean"], tensors["prior_std"] = torch.zeros(dim + 1), torch.ones(dim + 1)
    _save(tensors, options.output)

    speech = _speech(options.corpus, options.seconds)
    encoder = WhisperContent(options.output, options.heads, torch.device("cpu"))
    tensors["position_mean"] = _position_mean(encoder, speech)
    _save(tensors, options.output)

    encoder = WhisperContent(options.output, options.heads, torch.device("cpu"))
    speakers = [_statistics(encoder, clips) for clips in speech.values()]
    tensors["prior_mean"] = torch.from_numpy(np.mean([s.mean for s in speakers], axis=0))
    tensors["prior_std"] = torch.from_numpy(np.mean([s.std for s in speakers], axis=0))
    _save(tensors, options.output)


def _speech(corpus: Path, seconds: int) -> dict[str, list[np.ndarray]]:
    """Clips of each speaker of the train split, in random order, 16 kHz."""
    random = np.random.default_rng(0)
    rows = defaultdict(list)
    with (corpus / "manifest.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["split"] == "train":
                rows[row["speaker"]].append(row)
    speech = defaultdict(list)
    for speaker, clips in rows.items():
        total = 0.0
        for number in random.permutation(len(clips)):
            if total < seconds:
                audio, _ = load(corpus / clips[number]["file"], SAMPLE_RATE)
                speech[speaker].append(audio)
                total += len(audio) / SAMPLE_RATE
    return speech


def _position_mean(encoder: WhisperContent, speech: dict[str, list[np.ndarray]]) -> Tensor:
    """Mean of the hidden state at each position, less the mean over all positions: (WINDOW, C)."""
    clips = [clip for speaker in speech.values() for clip in speaker]
    order = np.random.default_rng(1).permutation(len(clips))
    joined = np.concatenate([clips[number] for number in order])
    step = WINDOW * FRAME
    windows = [
        encoder(joined[i : i + step])[:, :-1] for i in range(0, len(joined) - step + 1, step)
    ]
    mean = np.mean(windows, axis=0)
    padded = np.pad(mean, ((SMOOTHING // 2, SMOOTHING // 2), (0, 0)), "edge")
    smooth = np.lib.stride_tricks.sliding_window_view(padded, SMOOTHING, axis=0).mean(-1)
    smooth[:EDGE] = mean[:EDGE]
    return torch.from_numpy((smooth - mean.mean(0)).astype(np.float32))


def _statistics(encoder: WhisperContent, clips: list[np.ndarray]) -> Statistics:
    """One speaker's statistics alone, without a prior."""
    zeros = np.zeros(encoder.dim)
    running = RunningStatistics(Statistics(zeros, zeros), prior_frames=0)
    for clip in clips:
        running.update(encoder(clip))
    return running.result()


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    with replacing(path) as temporary:
        save_file(pack(tensors), temporary)


if __name__ == "__main__":
    cut_encoder(parse_options(CutEncoderOptions, sys.argv[1:]))
