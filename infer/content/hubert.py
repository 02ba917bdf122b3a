"""HuBERT base and its descendants: ContentVec and others (Hsu et al. 2021, arXiv:2106.07447;
Qian et al. 2022, arXiv:2204.09224)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

import config
from errors import CheckpointError
from infer.content import FRAME, PROJECTED_LAYER
from infer.content.hubert_files import HubertFile, read_hubert
from infer.content.statistics import NoStatistics
from infer.content.windows import encode_windows
from infer.voice.tensors import load_weights

if TYPE_CHECKING:
    from infer.content import ContentEncoder, ContentStream

RECEPTIVE_FIELD = 400  # samples that a frame is computed from
STRIDES = (5, 2, 2, 2, 2, 2, 2)  # of the convolutions; their product is FRAME
CONV_FRAMES = 500  # frames (10 s) whose convolutions are in memory at once
WINDOW = 2000  # frames (40 s) that attention sees at once
CONTEXT = 250  # frames (5 s) on each side of a window that are computed and thrown away


class Layer(nn.Module):
    """Transformer layer, normalised after each sum. (B, T, C) -> (B, T, C)."""

    def __init__(self, dim: int, inner_dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        names = ("q_proj", "k_proj", "v_proj", "out_proj")
        self.self_attn = nn.ModuleDict({name: nn.Linear(dim, dim) for name in names})
        self.self_attn_layer_norm = nn.LayerNorm(dim)
        self.fc1, self.fc2 = nn.Linear(dim, inner_dim), nn.Linear(inner_dim, dim)
        self.final_layer_norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """mask: (B, 1, 1, T), True for frames that are attended to; None = all."""
        batch, frames, dim = x.shape
        query, key, value = (
            self.self_attn[name](x).view(batch, frames, self.num_heads, -1).transpose(1, 2)
            for name in ("q_proj", "k_proj", "v_proj")
        )
        mixed = F.scaled_dot_product_attention(query, key, value, mask).transpose(1, 2)
        x = self.self_attn_layer_norm(x + self.self_attn["out_proj"](mixed.reshape(x.shape)))
        return self.final_layer_norm(x + self.fc2(F.gelu(self.fc1(x))))


class Hubert(nn.Module):
    """HuBERT up to the layer that is wanted; the names are the keys of fairseq's checkpoints."""

    def __init__(self, file: HubertFile, num_layers: int) -> None:
        super().__init__()
        shape = {name: value.shape for name, value in file.weights.items()}
        channels, _, first_kernel = shape["feature_extractor.conv_layers.0.0.weight"]
        kernels = [shape[f"feature_extractor.conv_layers.{i}.0.weight"][2] for i in range(1, 7)]
        convs = [nn.ModuleDict({"0": nn.Conv1d(1, channels, first_kernel, bias=False)})]
        convs[0]["2"] = nn.GroupNorm(channels, channels)
        for kernel in kernels:
            conv = nn.Conv1d(channels, channels, kernel, bias=False)
            convs.append(nn.ModuleDict({"0": conv}))
        self.feature_extractor = nn.ModuleDict({"conv_layers": nn.ModuleList(convs)})
        self.layer_norm = nn.LayerNorm(channels)
        dim, per_group, position_kernel = shape["encoder.pos_conv.0.weight"]
        self.post_extract_proj = nn.Linear(channels, dim)
        position = nn.Conv1d(
            dim, dim, position_kernel, padding=position_kernel // 2, groups=dim // per_group
        )
        inner_dim = shape["encoder.layers.0.fc1.weight"][0]
        layers = [Layer(dim, inner_dim, file.num_heads) for _ in range(num_layers)]
        self.encoder = nn.ModuleDict(
            {
                "pos_conv": nn.ModuleList([position]),
                "layer_norm": nn.LayerNorm(dim),
                "layers": nn.ModuleList(layers),
            }
        )

    def features(self, wav: Tensor) -> Tensor:
        """What the convolutions make of (N,) audio: ((N - 80) // 320, channels), N >= 400.

        Computed in pieces, so the memory does not grow with the audio beyond the result's own.
        """
        layers = self.feature_extractor["conv_layers"]
        weight, bias = self._normalized_first(wav)
        frames = (len(wav) - RECEPTIVE_FIELD) // FRAME + 1
        parts = []
        for start in range(0, frames, CONV_FRAMES):
            end = min(frames, start + CONV_FRAMES)
            piece = wav[start * FRAME : (end - 1) * FRAME + RECEPTIVE_FIELD]
            x = F.gelu(F.conv1d(piece[None, None], weight, bias, STRIDES[0]))
            for layer, stride in zip(layers[1:], STRIDES[1:], strict=True):
                x = F.gelu(F.conv1d(x, layer["0"].weight, stride=stride))
            parts.append(x[0].mT)
        return torch.cat(parts)

    def _normalized_first(self, wav: Tensor) -> tuple[Tensor, Tensor]:
        """Weight and bias of the first convolution with the group norm that follows it.

        That norm has a channel's mean and variance over the whole recording, which follow from the
        first and second moments of the audio under the kernel: no output has to be kept for it.
        """
        conv, norm = (self.feature_extractor["conv_layers"][0][name] for name in "02")
        kernel = conv.weight.shape[2]
        frames = wav.unfold(0, kernel, STRIDES[0])
        place = torch.device("cpu") if wav.device.type == "mps" else wav.device  # it has no float64
        mean = torch.zeros(kernel, dtype=torch.float64, device=place)
        square = torch.zeros(kernel, kernel, dtype=torch.float64, device=place)
        for part in frames.split(1 << 16):
            part = part.to(place).double()
            mean += part.sum(0) / len(frames)
            square += part.mT @ part / len(frames)
        weight = conv.weight[:, 0].to(place).double()
        covariance = square - mean[:, None] * mean
        variance = ((weight @ covariance) * weight).sum(1).clamp_min(0)
        scale = norm.weight.to(place).double() / (variance + norm.eps).sqrt()
        bias = norm.bias.to(place).double() - scale * (weight @ mean)
        device, kind = conv.weight.device, conv.weight.dtype
        return (weight * scale[:, None])[:, None].to(device, kind), bias.to(device, kind)

    def forward(self, features: Tensor, lengths: list[int] | None = None) -> Tensor:
        """(B, T, channels) of the convolutions -> (B, T, C) after the last layer.

        lengths: frames of each item; what is behind them plays no part. None = all.
        """
        x = self.post_extract_proj(self.layer_norm(features))
        mask = None
        if lengths is not None:
            ends = torch.tensor(lengths, device=x.device)[:, None]
            inside = torch.arange(x.shape[1], device=x.device) < ends
            x, mask = x * inside[..., None], inside[:, None, None]
        position = self.encoder["pos_conv"][0](x.mT)[:, :, : x.shape[1]]
        x = self.encoder["layer_norm"](x + F.gelu(position).mT)
        for layer in self.encoder["layers"]:
            x = layer(x, mask)
        return x


class HubertContent:
    """16 kHz audio -> hidden states of HuBERT, or their projection, 50 frames/s.

    dim picks what is given: the size of the hidden states, after the last layer (RVC v2), or that
    of the file's projection, after layer 9 (RVC v1). layer: another one, None for these.
    CheckpointError if the file has neither, or not so many layers.
    """

    perturbations = 1  # it is trained on unaltered clips only, as RVC's base models were

    def __init__(
        self, path: Path, dim: int, device: torch.device, layer: int | None = None
    ) -> None:
        file = read_hubert(path)
        projected_dim = file.projection.out_features if file.projection else None
        if dim not in (file.hidden_dim, projected_dim):
            offered = [size for size in (projected_dim, file.hidden_dim) if size]
            raise CheckpointError("encoder_dim", file=path, found=offered, needed=dim)
        is_projected = dim != file.hidden_dim
        num_layers = layer or (PROJECTED_LAYER if is_projected else file.num_layers)
        if num_layers > file.num_layers:
            raise CheckpointError(
                "encoder_layer", file=path, found=file.num_layers, needed=num_layers
            )
        with torch.device("meta"):
            network = Hubert(file, num_layers)
        self.network = network.to_empty(device="cpu")
        load_weights(self.network, file.up_to_layer(num_layers), path)
        self.network.eval().requires_grad_(False).to(device)
        self.projection = file.projection.to(device) if is_projected else nn.Identity()
        self.device = device
        self.dim = dim

    def stream(self, block: int, look_ahead: int, context: int) -> ContentStream:
        """Content of sound that is still coming: the context is heard anew with every block."""
        return HeardAnew(self, block + look_ahead)

    def new_statistics(self) -> NoStatistics:
        """HuBERT's values are used as they are."""
        return NoStatistics(self.dim)

    @torch.inference_mode()
    def __call__(self, audio: np.ndarray, offset: int = 0) -> np.ndarray:
        """audio: (N,) float32 at 16 kHz -> (N // 320, dim) float32, not normalised.

        offset is ignored: HuBERT's positions are relative. The last frame is repeated where it
        would need up to 80 samples more than there are.
        """
        frames = len(audio) // FRAME
        if frames == 0:
            return np.zeros((0, self.dim), np.float32)
        features = self._features(audio)

        def encode(start: int, end: int) -> Tensor:
            return self._encode(features[None, start:end])[0]

        content = encode_windows(len(features), WINDOW, CONTEXT, encode).cpu().numpy()
        return content[np.minimum(np.arange(frames), len(content) - 1)]

    @torch.inference_mode()
    def many(self, audios: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The same of each, at once where all fit into a window.

        The convolutions, which are normalised over a whole recording, take one after the other.
        """
        frames = [len(audio) // FRAME for audio in audios]
        if not 0 < min(frames) <= max(frames) < WINDOW:
            return [self(audio) for audio in audios]
        features = [self._features(audio) for audio in audios]
        lengths = [len(each) for each in features]
        contents = self._encode(pad_sequence(features, batch_first=True), lengths).cpu().numpy()
        return [
            content[np.minimum(np.arange(count), length - 1)]
            for content, count, length in zip(contents, frames, lengths, strict=True)
        ]

    def _features(self, audio: np.ndarray) -> Tensor:
        """What the convolutions make of (N,) audio, see Hubert.features; at least one frame."""
        wav = torch.from_numpy(np.asarray(audio, np.float32)).to(self.device)
        with config.half(self.device):
            return self.network.features(F.pad(wav, (0, max(0, RECEPTIVE_FIELD - len(wav)))))

    def _encode(self, features: Tensor, lengths: list[int] | None = None) -> Tensor:
        """(B, T, channels) -> (B, T, dim), see Hubert.forward."""
        with config.half(self.device):
            return self.projection(self.network(features, lengths)).float()


class HeardAnew:
    """The stream of an encoder whose every frame looks at all the others."""

    def __init__(self, encoder: ContentEncoder, frames: int) -> None:
        self._encoder, self._frames = encoder, frames

    def push(self, audio: np.ndarray) -> np.ndarray:
        """See ContentStream."""
        return self._encoder(audio)[-self._frames :]
