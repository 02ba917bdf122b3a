"""The vocoders that a standard synthesizer can end in, by the names that voices carry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

import config
from infer.models.standard.generator import Generator
from infer.models.standard.generator_rows import render_rows
from infer.models.standard.refinegan import RefineGenerator, render_windows
from infer.voice.hparams import HIFIGAN, MRF, REFINEGAN, StandardParams


@dataclass(frozen=True)
class Vocoder:
    """build: params, and whether weights are normed, as training has them -> network.

    render: that network, latent, source, speaker and draw (see synthesizer.Noise) -> waveform,
    without gradients and at the device's best speed.
    """

    build: Callable[[StandardParams, bool], nn.Module]
    render: Callable[..., Tensor]


def render_generator(
    generator: Generator, z: Tensor, source: Tensor | None, speaker: Tensor, draw: object = None
) -> Tensor:
    """Arguments and result as of Generator.forward."""
    render = render_rows if z.device.type == "cpu" else render_half
    return render(generator, z, source, speaker)


def render_half(generator: Generator, z: Tensor, source: Tensor | None, speaker: Tensor) -> Tensor:
    """Arguments and result as of Generator.forward; all but the last layer as config.half says."""
    with config.half(z.device):
        x = generator.body(z, source, speaker)
    return generator.finish(x.float())


VOCODERS = {
    HIFIGAN: Vocoder(Generator, render_generator),
    MRF: Vocoder(Generator, render_generator),
    REFINEGAN: Vocoder(RefineGenerator, render_windows),
}
