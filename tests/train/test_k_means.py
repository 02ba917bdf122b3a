"""The grouping of a GPU, on a processor: as good as faiss's, and the same every time."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import faiss
import numpy as np
import pytest
import torch

from infer.retrieval import Retrieval
from train import build_index as module
from train import k_means
from train.experiment import Experiment
from train.options import BuildIndexOptions

CPU = torch.device("cpu")
DIM = 24
improve = partial(k_means.improve, device=CPU)


def speech(count: int) -> np.ndarray:
    """Vectors as content has them: around some hundred sounds, gliding from one to the next."""
    random = np.random.default_rng(0)
    sounds = random.standard_normal((100, DIM))[random.integers(100, size=count // 10 + 2)]
    path = np.arange(count) / 10
    before, share = path.astype(int), (path % 1)[:, None]
    glided = sounds[before] * (1 - share) + sounds[before + 1] * share
    return (glided + random.normal(0, 0.1, glided.shape)).astype(np.float32)


def inertia(sample: np.ndarray, centres: np.ndarray) -> float:
    index = faiss.IndexFlatL2(DIM)
    index.add(centres)
    return float(index.search(sample, 1)[0].mean())


def test_it_groups_as_well_as_faiss_and_the_same_way_every_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(k_means, "ROWS", 1000)  # several products
    sample = speech(6000)
    first = sample[np.random.default_rng(1).choice(len(sample), 200, replace=False)]
    ours, again, theirs = first, first, first
    for _ in range(5):
        ours, again = improve(sample, ours), improve(sample, again)
        theirs = module._improve(sample, theirs)
    assert ours.dtype == np.float32 and np.array_equal(ours, again)
    assert inertia(sample, ours) == pytest.approx(inertia(sample, theirs), rel=0.01)
    assert inertia(sample, ours) < 0.6 * inertia(sample, first)


def test_a_centre_that_nothing_is_near_takes_a_share_of_a_large_group() -> None:
    sample = speech(600) + 5
    centres = np.concatenate([sample[:2], np.full((3, DIM), 1e3, np.float32)])
    for _ in range(8):
        centres = improve(sample, centres)
    assert np.abs(centres).max() < 15
    index = faiss.IndexFlatL2(DIM)
    index.add(centres)
    assert np.bincount(index.search(sample, 1)[1][:, 0], minlength=5).min() > 20


@pytest.mark.parametrize("max_vectors", [200_000, 2000])
def test_an_index_grouped_that_way_is_one_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_vectors: int
) -> None:
    asked = []

    def on_gpu(operations: float, device: str) -> object:
        asked.append(device)
        return improve

    monkeypatch.setattr(module, "_improve_on_gpu", on_gpu)
    monkeypatch.setattr(module, "REDUCED_VECTORS", 500)
    experiment = Experiment(tmp_path / "mi")
    experiment.content(DIM).mkdir(parents=True)
    experiment.write_config("lite", 24000, {"train": {}, "data": {}, "model": {"content_dim": DIM}})
    vectors = speech(4000)
    np.save(experiment.content_file("0_0", DIM), vectors)
    options = BuildIndexOptions(
        experiment=experiment.root, max_vectors=max_vectors, device="cuda:1"
    )
    path = module.build_index(options)
    assert set(asked) == {"cuda:1"}
    assert len(Retrieval(path, DIM)) == (4000 if max_vectors > 4000 else 500)
    with path.open("rb") as file:
        index = faiss.read_index(faiss.PyCallbackIOReader(file.read))
    assert isinstance(index, faiss.IndexIVFFlat)
    found, exact = index.search(vectors[::40], 8)[0], faiss.IndexFlatL2(DIM)
    index.make_direct_map()
    exact.add(index.reconstruct_n(0, index.ntotal))
    assert np.sqrt(found).mean() < 1.05 * np.sqrt(exact.search(vectors[::40], 8)[0]).mean()


@pytest.mark.parametrize(
    ("operations", "kind", "gib", "is_taken"),
    [
        (2e12, "cuda", 8.0, True),
        (2e12, "cuda", 0.5, False),
        (2e12, "cpu", np.inf, False),
        (2e12, "mps", 8.0, False),
        (2e11, None, 8.0, False),  # too little to ask for a GPU at all
    ],
)
def test_a_gpu_is_taken_for_large_sets_where_it_has_memory(
    monkeypatch: pytest.MonkeyPatch, operations: float, kind: str | None, gib: float, is_taken: bool
) -> None:
    monkeypatch.setattr(module, "pick_device", lambda name: torch.device(kind or name))
    monkeypatch.setattr(module, "free_memory", lambda device: gib)
    assert (module._improve_on_gpu(operations, "no device") is not None) == is_taken
