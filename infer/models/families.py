"""Voice families by version: how a synthesizer is made, rendered with, and fitted to a base."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from errors import UserError
from infer.models.exported import ExportedLite, ExportedStandard
from infer.models.lite.synthesizer import LiteSynthesizer
from infer.models.ops import fold_weight_norm
from infer.models.standard.generator import generator_names
from infer.models.standard.synthesizer import Synthesizer
from infer.voice.hparams import LiteParams, StandardParams


@dataclass(frozen=True)
class Family:
    """What one family of voices is made of.

    build makes the network that is trained. build_voice makes the one that converts, which may be
    simpler; voice_weights turns a voice file's weights into its own. render: that network, content
    (1, T, dim) at 100 frames/s, f0 (1, T) Hz and pitch (1, T) in 1..255 or None, speaker (1,), a
    generator of noise, the phase (1,) in cycles where the source starts and the noise (1, N), if it
    has these, and how many frames at the beginning are only looked back at -> (N,) in -1..1,
    without those. exported: that network -> the same as infer.models.exported has it, for ONNX.
    advance: that phase so many frames later, None where there is none. adapt fits a base model's
    weights to a network. cuts: how long recordings are cut, a name in infer.chunking.CUTTERS.
    """

    params: type[LiteParams] | type[StandardParams]
    build: Callable[[Any], nn.Module]
    build_voice: Callable[[Any], nn.Module]
    voice_weights: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
    render: Callable[..., Tensor]
    exported: Callable[[Any], nn.Module]
    adapt: Callable[[dict[str, Tensor], nn.Module], dict[str, Tensor]]
    base: str  # folder of the base models, in assets/ or among the downloads
    cuts: str
    advance: Callable[..., float] | None = None


def render_lite(
    synthesizer: LiteSynthesizer,
    content: Tensor,
    f0: Tensor,
    pitch: Tensor,
    speaker: Tensor,
    generator: torch.Generator,
    phase: Tensor | None = None,
    noise: Tensor | None = None,
    first: int = 0,
) -> Tensor:
    """See Family; the lite synthesizer reads the pitch from f0."""
    return synthesizer(
        content, f0, speaker, generator=generator, phase=phase, noise=noise, first=first
    )[0]


def advance_lite(synthesizer: LiteSynthesizer, f0: Tensor, phase: Tensor, frames: int) -> float:
    """See Family."""
    _, cycles = synthesizer.source.count_cycles(f0, phase)
    return float(cycles[0, frames * synthesizer.params.hop_length - 1].frac())


def render_standard(
    synthesizer: Synthesizer,
    content: Tensor,
    f0: Tensor | None,
    pitch: Tensor | None,
    speaker: Tensor,
    generator: torch.Generator,
    phase: Tensor | None = None,
    noise: Tensor | None = None,
    first: int = 0,
) -> Tensor:
    """See Family; its source starts where it will, and its noise is always drawn."""
    wav = synthesizer.infer(content, pitch, f0, speaker, generator=generator).wav[0, 0]
    return wav[first * (len(wav) // content.shape[1]) :]


def fit_standard_weights(weights: dict[str, Tensor], synthesizer: nn.Module) -> dict[str, Tensor]:
    """A base model's weights for a network with fewer speakers: the first ones are kept."""
    speakers = len(synthesizer.state_dict()["emb_g.weight"])
    return {
        name: value[:speakers] if name == "emb_g.weight" else value
        for name, value in weights.items()
    }


def fit_lite_weights(weights: dict[str, Tensor], synthesizer: nn.Module) -> dict[str, Tensor]:
    """A base model's weights for another sample rate or another number of speakers.

    A bin is 25 Hz wide at every rate, so rows are cut off, or the highest row is repeated, each
    bin a little quieter; every speaker starts from the base's average voice.
    """
    fitted = {}
    for name, wanted in synthesizer.state_dict().items():
        value = weights[name]
        if value.shape[1:] == wanted.shape[1:] and len(value) != len(wanted):
            if name == "emb_g.weight":
                value = value.mean(0, keepdim=True).expand(len(wanted), -1)
            else:
                missing = max(0, len(wanted) - len(value))
                fall = torch.arange(1, missing + 1) / 200 if name.endswith("gain.bias") else 0
                top = value[-20:].mean(0, keepdim=True).expand(missing, *value.shape[1:]) - fall
                value = torch.cat([value, top])[: len(wanted)]
        fitted[name] = value.clone()
    return fitted


def _standard_voice(params: StandardParams) -> nn.Module:
    """Without storage: the voice's weights take their places, or do not fit."""
    with torch.device("meta"):
        return Synthesizer(params, for_training=False)


def _standard(base: str) -> Family:
    return Family(
        StandardParams,
        build=Synthesizer,
        build_voice=_standard_voice,
        voice_weights=lambda weights: generator_names(fold_weight_norm(weights)),
        render=render_standard,
        exported=ExportedStandard,
        adapt=fit_standard_weights,
        base=base,
        cuts="centers",
    )


FAMILIES = {
    "lite": Family(
        LiteParams,
        build=LiteSynthesizer,
        build_voice=LiteSynthesizer,
        voice_weights=dict,
        render=render_lite,
        exported=ExportedLite,
        adapt=fit_lite_weights,
        base="lite",
        cuts="quietest",
        advance=advance_lite,
    ),
    "v1": _standard("pretrained"),
    "v2": _standard("pretrained_v2"),
}


def family(version: str) -> Family:
    """The family of that version; ValueError lists the known ones."""
    if version not in FAMILIES:
        raise UserError("unknown_version", name=version, known=list(FAMILIES))
    return FAMILIES[version]


def plain(params: Any) -> dict[str, Any]:
    """Params as plain values, for a voice file."""
    return asdict(params)
