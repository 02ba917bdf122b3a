import copy
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from infer.audio.reader import load
from infer.content import FRAME, load_encoder
from infer.content.eight_bits import use_eight_bits
from infer.content.whisper import WhisperContent
from infer.content.whisper_encoder import WINDOW, Memory, WhisperEncoder
from infer.f0 import SAMPLE_RATE

BLOCK, AHEAD, CONTEXT = 4, 4, 75


@pytest.fixture(scope="module")
def whisper() -> WhisperContent:
    return load_encoder("whisper-base-4", torch.device("cpu"))


@pytest.fixture(scope="module")
def speech(english: Path) -> np.ndarray:
    """Six seconds, 16 kHz, whole blocks."""
    audio = load(english, SAMPLE_RATE)[0]
    return audio[: len(audio) // (BLOCK * FRAME) * BLOCK * FRAME]


def heard(whisper: WhisperContent, audio: np.ndarray) -> np.ndarray:
    """Content of audio that comes block by block, (T, dim)."""
    stream = whisper.stream(BLOCK, AHEAD, CONTEXT)
    window, step = (CONTEXT + BLOCK + AHEAD) * FRAME, BLOCK * FRAME
    padded = np.pad(audio, (window - step, AHEAD * FRAME))
    ends = range(window + AHEAD * FRAME, len(padded) + 1, step)
    return np.concatenate([stream.push(padded[end - window : end])[:BLOCK] for end in ends])


def cosine(whisper: WhisperContent, one: np.ndarray, other: np.ndarray) -> float:
    """Mean cosine of both as a voice is given them, where there is speech."""
    statistics = whisper.new_statistics()
    statistics.update(other)
    normalize = statistics.result().normalize
    loud = other[:, -1] > other[:, -1].max() - 3.5
    one, other = normalize(one)[loud, :-1], normalize(other)[loud, :-1]
    cosines = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    return float(cosines.mean())


def test_what_is_remembered_equals_attention_that_sees_no_later_block():
    torch.manual_seed(0)
    encoder = WhisperEncoder(32, 4, 2, WINDOW).eval()
    nn.init.normal_(encoder.positional_embedding)
    x, frames = torch.randn(1, 24, 32), torch.arange(24) // BLOCK
    sees = frames[:, None] >= frames
    with torch.inference_mode(), pytest.MonkeyPatch.context() as patch:
        attention = F.scaled_dot_product_attention
        patch.setattr(F, "scaled_dot_product_attention", lambda *qkv: attention(*qkv, sees))
        whole = encoder.attend(x, 7)
    memories, parts = [Memory(), Memory()], []
    with torch.inference_mode():
        for start in range(0, 24, BLOCK):
            ahead = x[:, start : start + BLOCK + 3]  # what lies ahead is not remembered
            encoder.attend(ahead, 7 + start, memories)
            parts.append(encoder.attend(x[:, start : start + BLOCK], 7 + start, memories))
            for memory in memories:
                memory.length += BLOCK
    assert torch.allclose(torch.cat(parts, 1), whole, atol=1e-5)


def test_a_stream_hears_what_is_heard_in_the_recording(whisper, speech):
    once = whisper(speech)
    assert cosine(whisper, heard(whisper, speech), once) > 0.75
    shuffled = np.random.default_rng(0).permutation(once)
    assert cosine(whisper, shuffled, once) < 0.3


def test_after_ten_seconds_the_context_is_heard_anew_and_nothing_is_lost(whisper, speech):
    audio = np.tile(speech, 4)[: BLOCK * FRAME * (2 * WINDOW // BLOCK + 20)]
    content = heard(whisper, audio)
    assert len(content) == len(audio) // FRAME
    once = whisper(audio)
    for start in range(0, len(content) - 100, 100):  # no two seconds are worse for it
        part = slice(start, start + 100)
        if once[part, -1].max() > once[:, -1].max() - 1:
            assert cosine(whisper, content[part], once[part]) > 0.6, start


def test_noise_that_comes_is_heard_with_ears_for_noise(whisper, speech):
    noise = np.random.default_rng(0).normal(0, speech.std() / 3, len(speech)).astype(np.float32)
    noisy = np.concatenate([speech, speech + noise, speech + noise])
    content, last = heard(whisper, noisy), slice(-len(speech) // FRAME, None)
    clean = whisper(speech)
    deaf = WhisperContent(whisper._path, 8, torch.device("cpu"), in_noise=Path("none"))
    assert not deaf.hears_in_noise
    with_ears, without = (
        cosine(whisper, each[last], clean) for each in (content, heard(deaf, noisy))
    )
    assert with_ears > without + 0.01


def test_eight_bits_are_nearly_as_exact_as_floats():
    if torch.backends.quantized.engine not in ("x86", "fbgemm"):
        pytest.skip("torch has no fast 8-bit products here")
    torch.manual_seed(0)
    linear, conv = nn.Linear(512, 256), nn.Conv1d(512, 256, 3, stride=2, padding=1)
    for layer, x in ((linear, torch.randn(3, 8, 512)), (conv, torch.randn(3, 512, 9))):
        network = nn.Sequential(copy.deepcopy(layer))
        use_eight_bits(network)
        assert type(network[0]) is not type(layer)
        with torch.inference_mode():
            exact, made = layer(x), network(x)
        assert made.shape == exact.shape
        assert (made - exact).std() < 0.02 * exact.std()
