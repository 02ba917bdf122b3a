"""Band-split and mel-band RoFormers (Lu et al. 2023, arXiv:2309.02612; Wang et al. 2023,
arXiv:2310.01809), by pymss-core: what takes vocals from a song, or a room from vocals."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from pymss_core.modules.bs_roformer import BSRoformer, MelBandRoformer

import config
from errors import CheckpointError, NoFile, UserError, as_user_error
from infer.voice.safe_file import is_safe_file, read_safe_voice
from infer.voice.tensors import load_weights, read_tensors

LARGEST_SETTINGS = 1_000_000  # bytes
LEAST_SECONDS = 0.5
LARGEST = {"dim": 2048, "depth": 64, "num_bands": 512, "stft_n_fft": 2**15}  # no model has more
WRAPPERS = ("state_dict", "state", "model")  # names under which trainers put the weights


class Roformer:
    """Takes a song apart into the stems that its settings name."""

    def __init__(self, weights: Path | None, device: str) -> None:
        """weights: .ckpt, .pth or .safetensors, with its settings beside it as .yaml."""
        if weights is None:
            raise UserError("roformer_weights")
        if not weights.is_file():
            raise NoFile("no_file", file=weights)
        settings = weights.with_suffix(".yaml")
        if not settings.is_file():
            raise NoFile("roformer_settings", file=settings)
        self._device = config.pick_device(device)
        self._network, self.stems, self.sample_rate, self.segment = _build(settings)
        load_weights(self._network, _weights(weights), weights)
        self._network.to(self._device).eval().requires_grad_(False)
        self.least_segment = round(LEAST_SECONDS * self.sample_rate)

    @torch.inference_mode()
    def __call__(self, audio: np.ndarray) -> np.ndarray:
        made = self._network(torch.from_numpy(audio)[None].to(self._device))
        stems = made.float().cpu().numpy().reshape(len(self.stems), 2, -1)
        missing = audio.shape[1] - stems.shape[2]
        return np.pad(stems, ((0, 0), (0, 0), (0, max(0, missing))))[..., : audio.shape[1]]


class _Settings(yaml.SafeLoader):
    """Plain values, and the tuples that these files have; nothing of them is run."""


_Settings.add_constructor(
    "tag:yaml.org,2002:python/tuple",
    lambda loader, node: tuple(loader.construct_sequence(node, deep=True)),
)


def _build(path: Path) -> tuple[torch.nn.Module, tuple[str, ...], int, int]:
    """Network, names of its stems, sample rate and segment, as a .yaml says. CheckpointError."""
    try:
        if path.stat().st_size > LARGEST_SETTINGS:
            raise UserError("no_roformer")
        read = yaml.load(path.read_text(encoding="utf-8"), _Settings)
        model, training = dict(read["model"]), read["training"]
        target = training.get("target_instrument")
        names = [target] if target else training["instruments"]
        stems = tuple(str(name).lower() for name in names)
        rate = int(read["audio"].get("sample_rate", model.get("sample_rate", 44100)))
        segment = int(read["audio"]["chunk_size"])
        is_usual = 8000 <= rate <= 192_000 and 0 < segment <= 60 * rate
        is_usual &= all(0 < model.get(name, 1) <= most for name, most in LARGEST.items())
        is_stereo = bool(model.get("stereo")) and int(model.get("num_stems", 1)) == len(stems)
        if not (stems and is_usual and is_stereo):
            raise UserError("no_roformer")
        kind = BSRoformer if "freqs_per_bands" in model else MelBandRoformer
        return kind(**model), stems, rate, segment
    except (
        OSError, ValueError, TypeError, KeyError, AttributeError, AssertionError, RuntimeError,
        RecursionError, yaml.YAMLError,
    ) as error:  # fmt: skip
        raise CheckpointError("damaged", file=path, reason=as_user_error(error)) from error


def _weights(path: Path) -> Mapping[str, Any]:
    if is_safe_file(path):
        return read_safe_voice(path)["weight"]
    content = read_tensors(path)
    if not isinstance(content, Mapping):
        raise CheckpointError("damaged", file=path, reason=UserError("no_table"))
    inner = [content[name] for name in WRAPPERS if isinstance(content.get(name), Mapping)]
    return inner[0] if inner else content
