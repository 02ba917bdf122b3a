"""The standard synthesizer beside the reference's numbers: every voice kind, stream, batch."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from infer.models.ops import fold_weight_norm
from infer.models.standard.generator import Generator
from infer.models.standard.generator_rows import render_rows
from infer.models.standard.synthesizer import Noise, Rendering, Synthesizer
from infer.voice.hparams import StandardParams, read_config
from tests.golden.arrays import read_golden
from tests.golden.weights import golden_tensor

GOLDEN = Path(__file__).resolve().parents[3] / "golden"
TOLERANCES = {"audio": 2e-5, "source": 1e-5, "m_p": 5e-5, "logs_p": 5e-5, "z": 5e-5, "z_p": 5e-5}
FAST = {"synth_v1_f0_48k", "synth_noise_v2_f0_40k", "synth_stream_v2_nof0_40k"}

# first digits of the SHA-256 of "name shape" lines, in the order of public optimiser states
KEYS = {
    "v1_f0_32k": "174d643ce1c0b118",
    "v1_f0_40k": "cedfa27d29d9b903",
    "v1_f0_48k": "2d87d2fa32ee7f6a",
    "v1_nof0_32k": "32ea03eb153013b1",
    "v1_nof0_40k": "665d74d1c800bf8c",
    "v1_nof0_48k": "c3495f61a93e83da",
    "v2_f0_32k": "6bcc0d598a0243c3",
    "v2_f0_40k": "9d64d713192a6237",
    "v2_f0_48k": "c101acf68a62f6d7",
    "v2_nof0_32k": "289c5d7957a0fc32",
    "v2_nof0_40k": "7239ee9e74548482",
    "v2_nof0_48k": "b7414f6d3545dc9c",
}


def params_of(name: str) -> StandardParams:
    """The params of a case whose name ends with version, pitch and rate: ..._v2_f0_40k."""
    version, f0, rate = name.split("_")[-3:]
    groups = read_config(version, int(rate[:-1]) * 1000)
    return StandardParams.from_groups(groups, use_f0=f0 == "f0")


@lru_cache(1)
def golden_network(kind: str) -> Synthesizer:
    """The network that converts, with the golden weights folded."""
    params = params_of(kind)
    with torch.device("meta"):
        trained = Synthesizer(params).state_dict()
    weights = {
        name: golden_tensor(name, value.shape, 0)
        for name, value in trained.items()
        if "enc_q" not in name
    }
    network = Synthesizer(params, for_training=False)
    network.load_state_dict(fold_weight_norm(weights))
    return network.eval().requires_grad_(False)


def read_case(name: str) -> dict[str, Tensor]:
    """The arrays of a golden file; half floats as float."""
    arrays = {key: torch.from_numpy(array) for key, array in read_golden(name).items()}
    return {k: v.float() if v.dtype == torch.half else v for k, v in arrays.items()}


def render(network: Synthesizer, case: dict[str, Tensor], arguments: list[int]) -> Rendering:
    """Run a case with zeros for noise where the case has none."""
    batch, frames = case["phone"].shape[:2]
    skip, length, stretched = arguments or (0, frames, -1)
    noise = Noise(
        case.get("noise_z", torch.zeros(batch, 192, frames - max(skip - 24, 0))),
        case["noise_src"]
        if "noise_src" in case
        else torch.zeros(batch, length * network.params.hop_length, 1),
    )
    return network.infer(
        case["phone"], case.get("pitch"), case.get("pitchf"), case["sid"],
        lengths=case["phone_lengths"], skip_head=skip, return_length=length,
        return_length2=None if stretched < 0 else stretched, noise=noise,
    )  # fmt: skip


CASES = [
    pytest.param(path.stem, marks=[] if path.stem in FAST else pytest.mark.slow)
    for path in sorted(GOLDEN.glob("synth_*.npz"))
]


@pytest.mark.parametrize("name", CASES)
def test_every_output_equals_the_reference(name: str) -> None:
    network = golden_network("_".join(name.split("_")[-3:]))
    case = read_case(name)
    for tag in [key.removeprefix("audio") for key in case if key.startswith("audio")]:
        arguments = case["args" + tag].tolist() if tag else []
        made = render(network, case, arguments)
        found = {
            "audio" + tag: made.wav[:, 0],
            "source": made.source,
            "m_p": made.prior_mean,
            "logs_p": made.prior_log_deviation,
            "z": made.latent,
            "z_p": made.flowed,
        }
        compared = [key for key in found if key in case]
        assert compared
        for key in compared:
            difference = (found[key].reshape(case[key].shape) - case[key]).abs().max()
            assert difference <= TOLERANCES[key.removesuffix(tag)], key


def test_there_is_a_golden_case_of_every_kind() -> None:
    assert len(CASES) == 18


@pytest.mark.parametrize("kind", KEYS)
def test_names_shapes_and_order_of_the_parameters_are_those_of_public_checkpoints(
    kind: str,
) -> None:
    with torch.device("meta"):
        named = Synthesizer(params_of(kind)).named_parameters()
    lines = "".join(f"{name} {list(value.shape)}\n" for name, value in named)
    assert hashlib.sha256(lines.encode()).hexdigest()[:16] == KEYS[kind]


def test_a_seed_decides_the_noise_and_another_speaker_sounds_different() -> None:
    network = tiny_network()
    content = torch.randn(1, 12, 256, generator=torch.Generator().manual_seed(0))
    pitch, f0 = torch.full((1, 12), 60), torch.full((1, 12), 220.0)

    def wav(seed: int, speaker: int = 0) -> Tensor:
        random = torch.Generator().manual_seed(seed)
        made = network.infer(content, pitch, f0, torch.tensor([speaker]), generator=random)
        return made.wav

    assert wav(1).shape == (1, 1, 12 * 320)
    assert torch.equal(wav(1), wav(1))
    assert not torch.equal(wav(1), wav(2))
    assert not torch.equal(wav(1), wav(1, speaker=1))


def tiny_network(for_training: bool = False) -> Synthesizer:
    """A narrow network of the same classes."""
    torch.manual_seed(0)
    params = StandardParams.from_groups(
        read_config("v1", 32000), hidden_dim=16, inter_dim=16, filter_dim=32, num_layers=2,
        upsample_initial_dim=64, speaker_dim=8, num_speakers=2,
    )  # fmt: skip
    return Synthesizer(params, for_training).eval()


def test_folded_weights_sound_like_the_weight_norms_they_stand_for() -> None:
    trained, folded = tiny_network(for_training=True), tiny_network()
    weights = {k: v for k, v in trained.state_dict().items() if not k.startswith("enc_q")}
    folded.load_state_dict(fold_weight_norm(weights))
    inputs = (torch.randn(1, 9, 256), torch.full((1, 9), 9), torch.full((1, 9), 99.0))
    first, second = (
        network.infer(*inputs, torch.tensor([0]), generator=torch.Generator().manual_seed(0)).wav
        for network in (trained, folded)
    )
    assert torch.allclose(first, second, atol=1e-6)


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("rate", [32000, 40000, 48000])
def test_rows_in_pieces_give_what_the_generator_gives(
    version: str, rate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    params = StandardParams.from_groups(
        read_config(version, rate), inter_dim=16, upsample_initial_dim=64, speaker_dim=8
    )
    generator = Generator(params, normed=True).eval().requires_grad_(False)
    z, speaker = torch.randn(2, 16, 23), torch.randn(2, 8, 1)
    source = 0.1 * torch.randn(2, 1, 23 * params.hop_length)
    wanted = generator(z, source, speaker)
    for frames, values in ((512, 2**19), (512, 2000), (2, 2000)):  # whole, and with many edges
        monkeypatch.setattr("infer.models.standard.generator_rows.WINDOW_FRAMES", frames)
        monkeypatch.setattr("infer.models.standard.generator_rows.PIECE_VALUES", values)
        made = render_rows(generator, z, source, speaker)
        assert made.shape == wanted.shape
        assert (made - wanted).abs().max() < 1e-6


def test_training_renders_the_crop_and_every_parameter_gets_a_gradient() -> None:
    network = tiny_network(for_training=True).train()
    random = torch.Generator().manual_seed(0)
    made = network(
        torch.randn(2, 20, 256), torch.full((2, 20), 60), torch.full((2, 20), 220.0),
        torch.rand(2, 513, 20), torch.tensor([20, 12]), torch.tensor([0, 1]),
        segment_frames=8, generator=random,
    )  # fmt: skip
    assert made.wav.shape == (2, 1, 8 * 320)
    assert ((made.starts >= 0) & (made.starts <= torch.tensor([12, 4]))).all()
    assert made.latent[1, :, 12:].abs().max() == 0
    (made.wav.square().mean() + made.flowed.mean() + made.prior_mean.mean()).backward()
    silent = [n for n, p in network.named_parameters() if p.grad is None]
    assert silent == []
