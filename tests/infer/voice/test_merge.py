"""Merging beside the reference's numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from infer.models.families import plain
from infer.models.standard.synthesizer import Synthesizer
from infer.voice.checkpoint import VoiceModel, load_voice_model
from infer.voice.hparams import StandardParams, read_config
from infer.voice.merge import merge_voices
from tests.golden.weights import golden_tensor
from tests.infer.standard_voices import narrow_voice

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
# the 20 weights that the reference's result is described by, in this order
NAMES = """
dec.cond.bias dec.resblocks.0.convs2.0.weight_g dec.resblocks.1.convs2.2.weight_v
dec.resblocks.11.convs1.2.weight_g dec.resblocks.2.convs2.1.weight_v dec.resblocks.4.convs1.1.bias
dec.resblocks.5.convs2.0.weight_v dec.resblocks.7.convs1.0.bias dec.resblocks.8.convs1.2.weight_g
dec.resblocks.9.convs2.2.bias enc_p.encoder.attn_layers.0.conv_v.bias
enc_p.encoder.attn_layers.3.conv_k.weight enc_p.encoder.attn_layers.5.conv_v.weight
enc_p.encoder.ffn_layers.5.conv_2.bias enc_p.encoder.norm_layers_2.5.gamma flow.flows.0.pre.bias
flow.flows.2.pre.bias flow.flows.4.pre.bias flow.flows.6.pre.weight emb_g.weight
""".split()


def golden_voice(seed: int, num_speakers: int = 109) -> VoiceModel:
    """Those weights of a v1 voice as they come out of a file."""
    params = StandardParams.from_groups(read_config("v1", 40000), num_speakers=num_speakers)
    with torch.device("meta"):
        shapes = {n: v.shape for n, v in Synthesizer(params).state_dict().items()}
    weights = {name: golden_tensor(name, shapes[name], seed).half().float() for name in NAMES}
    return VoiceModel(weights, plain(params), 40000, "v1")


@pytest.mark.parametrize(
    ("case", "share", "speakers"),
    [("equal", 0.3, 109), ("unequal", 0.3, 5), ("alpha1", 1.0, 109), ("alpha0", 0.0, 109)],
)
def test_a_blend_equals_the_reference(case: str, share: float, speakers: int) -> None:
    golden = np.load(GOLDEN / "merge.npz")
    made = merge_voices(golden_voice(0), golden_voice(1, speakers), share)
    assert made.params["num_speakers"] == speakers
    for row, name in enumerate(NAMES):
        value = made.weights[name].half().double().flatten().numpy()
        assert value.sum() == pytest.approx(golden[f"{case}_sum"][row], rel=1e-6)
        assert np.abs(value).sum() == pytest.approx(golden[f"{case}_abs_sum"][row], rel=1e-6)
        first = golden[f"{case}_first4"][row][: len(value)]
        assert np.abs(value[:4] - first).max() <= np.spacing(np.abs(first).max().astype(np.half))


def test_voices_of_different_kinds_are_refused_by_what_differs() -> None:
    first = narrow_voice("v1")
    with pytest.raises(ValueError, match="version is v1 and v2"):
        merge_voices(first, narrow_voice("v2"), 0.5)
    with pytest.raises(ValueError, match="use_f0 is True and False"):
        merge_voices(first, narrow_voice("v1", use_f0=False), 0.5)
    other = replace(first, params={**first.params, "content_encoder": "spin-256"})
    with pytest.raises(ValueError, match="differ in content_encoder"):
        merge_voices(first, other, 0.5)
    lacking = replace(first, weights=dict(list(first.weights.items())[1:]))
    with pytest.raises(ValueError, match="only one of them has enc_p"):
        merge_voices(first, lacking, 0.5)
    with pytest.raises(ValueError, match="between 0 and 1"):
        merge_voices(first, first, 1.5)


def test_a_blend_knows_the_notes_that_both_voices_know(untrained_voice: Path) -> None:
    new = load_voice_model(untrained_voice)
    assert new.params["f0_known"] == 1100.0
    old = replace(new, params={**new.params, "f0_known": 360.0})
    for pair in ((old, new), (new, old)):
        assert merge_voices(*pair, 0.5).params["f0_known"] == 360.0


def test_a_blends_pitch_lies_between_those_of_both_in_octaves() -> None:
    told = {"f0_median": {0: 100.0, 1: 90.0}, "f0_range": {0: (80.0, 200.0), 1: (80.0, 100.0)}}
    first = replace(narrow_voice("v2"), **told)
    second = replace(first, f0_median={0: 400.0}, f0_range={0: (320.0, 800.0)})
    blend = merge_voices(first, second, 0.5)
    assert blend.f0_median == {0: pytest.approx(200)}
    assert blend.f0_range == {0: (pytest.approx(160), pytest.approx(400))}


def test_a_blend_keeps_what_both_voices_have_noted_alike_and_both_makers() -> None:
    alike = {"embedder_model": "spin", "dataset_length": "00:10:00"}
    notes = [
        {"author": "Mi", "model_name": "a", "model_hash": "12", "speakers_id": 3, "step": 5},
        {"author": "Li", "model_name": "b", "model_hash": "34", "speakers_id": 1},
    ]
    first, second = (replace(narrow_voice("v2"), extra={**each, **alike}) for each in notes)
    assert merge_voices(first, second, 0.5).extra == {
        **alike, "author": "Mi + Li", "model_name": "a + b", "model_hash": "12 + 34",
        "speakers_id": 1,
    }  # fmt: skip
