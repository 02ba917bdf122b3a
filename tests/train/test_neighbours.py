"""Clips mixed with the speaker's other clips."""

from __future__ import annotations

import numpy as np

from infer.retrieval import inverse_square
from train.neighbours import Neighbours


def test_a_clip_is_mixed_with_other_clips_never_with_itself() -> None:
    random = np.random.default_rng(0)
    clips = {name: random.standard_normal((20, 6)).astype(np.float32) for name in "abc"}
    found = Neighbours(clips.items()).blend("a", clips["a"], 1.0)
    others = np.concatenate([clips["b"], clips["c"]])
    for frame, mixed in zip(clips["a"], found, strict=True):
        distances = np.square(others - frame).sum(1)
        nearest = np.argsort(distances)[:8]
        weights = inverse_square(distances[None, nearest].astype(np.float64))[0]
        np.testing.assert_allclose(mixed, weights @ others[nearest], atol=1e-5)


def test_rate_zero_and_a_lone_clip_change_nothing() -> None:
    content = np.random.default_rng(1).standard_normal((20, 6)).astype(np.float32)
    pair = Neighbours([("a", content), ("b", content + 1)])
    np.testing.assert_array_equal(pair.blend("a", content, 0.0), content)
    np.testing.assert_array_equal(Neighbours([("a", content)]).blend("a", content, 1.0), content)
