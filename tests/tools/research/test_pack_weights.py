import numpy as np
import pytest
import torch

from infer.converter import VoiceConverter
from infer.voice.checkpoint import load_voice_model, save_voice_model
from infer.voice.tensors import load_weights, unpack
from tools.research.pack_weights import PackWeightsOptions, pack_weights


@pytest.fixture(scope="module")
def plain(tmp_path_factory, root):
    """A shipped voice in float16, as a training writes it."""
    path = tmp_path_factory.mktemp("voices") / "plain.pth"
    save_voice_model(path, load_voice_model(root / "assets/lite/demo_male.pth"))
    return path


def test_a_packed_voice_is_half_as_large_and_sounds_the_same(plain, tmp_path):
    packed = tmp_path / "packed.pth"
    pack_weights(PackWeightsOptions(file=plain, output=packed))
    assert packed.stat().st_size < 0.55 * plain.stat().st_size
    content = np.random.default_rng(0).normal(0, 1, (200, 513)).astype(np.float32)
    f0 = np.full(200, 220, np.float32)
    both = [VoiceConverter(path, "cpu").render(content, f0, 0, 0)() for path in (plain, packed)]
    noise = np.square(both[0] - both[1]).mean() / np.square(both[0]).mean()
    assert noise < 10**-2.5  # 25 dB below
    twice = tmp_path / "twice.pth"  # packing what is packed changes nothing
    pack_weights(PackWeightsOptions(file=packed, output=twice))
    weights = [load_voice_model(path).weights for path in (packed, twice)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_scale_that_fits_no_matrix_is_a_tensor_like_others(tmp_path):
    tensors = {
        "weight": torch.zeros(4, 3, dtype=torch.int8), "weight.scale": torch.ones(5),
        "bias": torch.zeros(4), "bias.scale": torch.ones(4),
    }  # fmt: skip
    assert unpack(tensors).keys() == tensors.keys()
    with pytest.raises(ValueError, match="weight.scale"):
        load_weights(torch.nn.Linear(3, 4), unpack(tensors), tmp_path / "strange.pth")
