"""Applio's vocoders beside the reference's numbers, at every rate, and what is special to them."""

from __future__ import annotations

import hashlib
import json
from itertools import count
from pathlib import Path

import pytest
import torch
from torch import Tensor

from infer.models.families import family
from infer.models.standard.refinegan import low_pass, stretch
from infer.models.standard.synthesizer import Noise, Synthesizer
from infer.voice.hparams import MRF, REFINEGAN, StandardParams, from_legacy_list
from tests.golden.arrays import read_golden
from tests.golden.weights import applio_draw
from tests.infer.applio_voices import applio_shapes, applio_weights

GOLDEN = Path(__file__).resolve().parents[3] / "golden"
TOLERANCES = {REFINEGAN: 5e-5, MRF: 2e-4}  # of the whole; 2e-5 with the reference's source
FAST = {"applio_mrf_48k", "applio_noise_refinegan_32k"}
CASES = [
    pytest.param(path.stem, marks=[] if path.stem in FAST else pytest.mark.slow)
    for path in sorted(GOLDEN.glob("applio_*.npz"))
]
# first digits of the SHA-256 of "name shape" lines of Applio's files, sorted
KEYS = {
    (MRF, 24): "9d49d1e6b68bbc2a",
    (MRF, 48): "a20123dcf09602e4",
    (REFINEGAN, 24): "84e0e7a9b61c1ec5",
    (REFINEGAN, 48): "84e0e7a9b61c1ec5",
}


def applio_params(vocoder: str, config: list) -> StandardParams:
    """The params of a voice with pitch of Applio."""
    return StandardParams(
        **from_legacy_list(
            config, content_encoder="contentvec-768", content_dim=768, use_f0=True, vocoder=vocoder
        )
    )


def read_case(name: str) -> tuple[StandardParams, dict[str, Tensor]]:
    """The params and the arrays of a golden file."""
    arrays = read_golden(name)
    params = applio_params(str(arrays.pop("vocoder")), json.loads(str(arrays.pop("config"))))
    tensors = {key: torch.from_numpy(value) for key, value in arrays.items()}
    return params, {k: v.float() if v.dtype == torch.half else v for k, v in tensors.items()}


def golden_network(params: StandardParams, weights: dict[str, Tensor]) -> Synthesizer:
    """The network that converts."""
    network = Synthesizer(params, for_training=False)
    network.load_state_dict(family("v2").voice_weights(weights))
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize("name", CASES)
def test_every_vocoder_equals_the_reference_at_every_rate(name: str) -> None:
    params, case = read_case(name)
    weights = applio_weights(params)
    frames = case["phone"].shape[1]
    numbers = count()
    noise = Noise(torch.zeros(1, 192, frames),
                  torch.zeros(1, frames * params.hop_length, params.num_harmonics))  # fmt: skip
    if "noise_z" in case:
        starts = case["noise_phase"].clone()
        starts[:, 0] = 0  # the first harmonic begins at 0 whatever was drawn
        noise = Noise(
            case["noise_z"], case["noise_src"], None, starts,
            lambda shape: applio_draw(next(numbers), shape, 0),
        )  # fmt: skip

    def render(weights: dict[str, Tensor]) -> tuple[Synthesizer, Tensor, Tensor, Tensor]:
        network = golden_network(params, weights)
        made = network.infer(case["phone"], case["pitch"], case["pitchf"], case["sid"], noise=noise)
        return network, made.wav[0, 0], made.source[0, 0], made.latent

    network, wav, source, latent = render(weights)
    assert (source - case["source"]).abs().max() <= 5e-5
    assert (wav - case["audio"]).abs().max() <= TOLERANCES[params.vocoder]
    if "audio_half" in case:
        rounded = {key: value.half().float() for key, value in weights.items()}
        assert (render(rounded)[1] - case["audio_half"]).abs().max() <= TOLERANCES[params.vocoder]
    if "noise_z" not in case:
        speaker = network.emb_g(case["sid"])[:, :, None]
        wav = network.dec(latent, case["source"][None, None], speaker)[0, 0]
        assert (wav - case["audio"]).abs().max() <= 2e-5


def test_there_is_a_golden_case_of_every_vocoder_and_rate() -> None:
    assert len(CASES) == 10


@pytest.mark.parametrize(("vocoder", "rate"), KEYS)
def test_names_and_shapes_are_those_of_applios_files(vocoder: str, rate: int) -> None:
    names = {MRF: f"applio_mrf_{rate}k", REFINEGAN: f"applio_refinegan_{rate}k"}
    params, _ = read_case(names[vocoder])
    shapes = applio_shapes(params) | {"emb_g.weight": (109, 256)}
    lines = "".join(sorted(f"{name} {list(shape)}\n" for name, shape in shapes.items()))
    assert hashlib.sha256(lines.encode()).hexdigest()[:16] == KEYS[vocoder, rate]


@pytest.mark.parametrize(
    ("factor", "taps", "middle"),
    [(2, 274, 0.473797), (6, 818, 0.157932), (8, 1090, 0.118449), (10, 1362, 0.094759),
     (12, 1634, 0.078966)],
)  # fmt: skip
def test_the_low_pass_has_no_delay_and_keeps_the_level(
    factor: int, taps: int, middle: float
) -> None:
    kernel = low_pass(factor)
    assert len(kernel) == taps
    assert abs(float(kernel[(taps - factor) // 2]) - middle) < 1e-6
    assert abs(float(kernel.sum()) - 1) < 1e-7


def test_f0_glides_between_the_middles_of_frames_and_is_held_at_the_ends() -> None:
    found = stretch(torch.tensor([[100.0, 200.0, 0.0]]), 4)
    assert found.tolist() == [
        [100, 100, 112.5, 137.5, 162.5, 187.5, 175, 125, 75, 25, 0, 0]
    ]  # fmt: skip


def test_windows_of_refinegan_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    params, case = read_case("applio_refinegan_24k")
    network = golden_network(params, applio_weights(params))
    monkeypatch.setattr("infer.models.standard.refinegan.WINDOW_FRAMES", 7)
    made = network.infer(
        case["phone"], case["pitch"], case["pitchf"], case["sid"],
        noise=Noise(torch.zeros(1, 192, 44), torch.zeros(1, 44 * 240, 1)),
    )  # fmt: skip
    assert (made.wav[0, 0] - case["audio"]).abs().max() <= TOLERANCES[REFINEGAN]
