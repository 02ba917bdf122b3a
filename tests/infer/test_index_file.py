"""Feature indexes of every kind: those that people have are used, others are refused by name."""

from __future__ import annotations

import struct
from pathlib import Path

import faiss
import numpy as np
import pytest

from errors import UserError
from infer.index_file import check_index_file
from infer.retrieval import Retrieval

DIM = 16


def write_index(path: Path, kind: str) -> np.ndarray:
    """Write an index of 300 vectors; returns them."""
    vectors = np.random.default_rng(0).random((300, DIM), np.float32)
    index = faiss.index_factory(DIM, kind)
    index.train(vectors)
    if kind.startswith("IDMap"):
        index.add_with_ids(vectors, np.arange(300) + 7)
    else:
        index.add(vectors)
    faiss.write_index(index, str(path))
    return vectors


@pytest.mark.parametrize(
    "kind", ["Flat", "IVF4,Flat", "IVF4,SQ8", "IVF4,SQfp16", "IDMap,Flat", "IDMap2,IVF4,Flat"]
)
def test_indexes_with_and_without_numbers_of_their_own_give_their_vectors(
    tmp_path: Path, kind: str
) -> None:
    vectors = write_index(tmp_path / "a.index", kind)
    header = check_index_file(tmp_path / "a.index")
    assert (header.dim, header.count) == (DIM, 300)
    found = Retrieval(tmp_path / "a.index", DIM).blend(vectors[:20], 1.0)
    assert np.abs(found - vectors[:20]).max() < 0.01


@pytest.mark.parametrize("kind", ["HNSW8", "PCA8,Flat", "SQ8", "IVF4_HNSW4,Flat"])
def test_other_kinds_are_refused_by_name(tmp_path: Path, kind: str) -> None:
    write_index(tmp_path / "a.index", kind)
    with pytest.raises(UserError, match=r"a\.index is an index of the kind I\w{3}; only Flat"):
        Retrieval(tmp_path / "a.index", DIM)


def test_numbers_that_the_file_does_not_bear_out_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.index"
    write_index(path, "IVF4,Flat")
    good = path.read_bytes()
    lists = good.index(b"ilar")
    sizes = good.index(b"full") + 12
    for place, layout, value in (
        (4, "<i", 2**30), (4, "<i", -1), (8, "<q", 2**40), (8, "<q", -1), (37, "<Q", 2**50),
        (lists + 4, "<Q", 5), (lists + 12, "<Q", 2**40), (sizes, "<Q", 2**61), (sizes, "<Q", 1),
    ):  # fmt: skip
        spoiled = bytearray(good)
        struct.pack_into(layout, spoiled, place, value)
        path.write_bytes(spoiled)
        with pytest.raises(UserError, match="damaged or not a faiss index"):
            Retrieval(path, DIM)
    path.write_bytes(good.replace(b"ilar", b"ilod"))  # lists in another file
    with pytest.raises(UserError, match="kind ilod"):
        Retrieval(path, DIM)
    path.write_bytes(good[:-5])
    with pytest.raises(UserError, match="damaged or not a faiss index"):
        Retrieval(path, DIM)


def test_what_was_saved_in_place_of_an_index_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.index"
    path.write_bytes(b"<!doctype html><html></html>")
    with pytest.raises(UserError, match=r"a\.index is a web page"):
        Retrieval(path, DIM)
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(UserError, match="git-LFS"):
        Retrieval(path, DIM)


def test_vectors_that_are_no_numbers_are_no_neighbours(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).random((40, DIM), np.float32)
    vectors[:20] = np.nan
    index = faiss.IndexFlatL2(DIM)
    index.add(vectors)
    faiss.write_index(index, str(tmp_path / "a.index"))
    found = Retrieval(tmp_path / "a.index", DIM).blend(vectors[20:], 1.0)
    assert np.isfinite(found).all()
