import logging
from pathlib import Path

import faiss
import numpy as np
import pytest

from infer.retrieval import Retrieval, find_index, read_index
from train import build_index as module
from train.build_index import build_index, num_lists
from train.experiment import Experiment
from train.options import BuildIndexOptions
from train.worker import WorkerError, parse_progress

DIM = 8


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    experiment = Experiment(tmp_path / "logs" / "mi test")
    experiment.content(DIM).mkdir(parents=True)
    experiment.write_config("lite", 24000, {"train": {}, "data": {}, "model": {"content_dim": DIM}})
    return experiment


def write_features(experiment: Experiment, *rows: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    arrays = [random.standard_normal((count, DIM)).astype(np.float32) for count in rows]
    for number, array in enumerate(arrays):
        np.save(experiment.content_file(f"0_{number}", DIM), array)
    return np.concatenate(arrays)


def build(experiment: Experiment, max_vectors: int = 200_000) -> Path:
    return build_index(BuildIndexOptions(experiment=experiment.root, max_vectors=max_vectors))


def stored_vectors(path: Path) -> np.ndarray:
    index = read_index(path)
    index.make_direct_map()
    return index.reconstruct_n(0, index.ntotal)


def test_the_index_holds_every_vector_once_in_order(experiment: Experiment) -> None:
    vectors = write_features(experiment, 300, 1, 99, 500)
    assert np.array_equal(stored_vectors(build(experiment)), vectors)


def test_batches_across_files_lose_nothing(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_ROWS", 64)
    vectors = write_features(experiment, 64, 63, 1, 200, 5)
    assert np.array_equal(stored_vectors(build(experiment)), vectors)


def test_the_file_is_named_and_made_as_other_rvc_programs_expect(experiment: Experiment) -> None:
    write_features(experiment, 1000)
    path = build(experiment)
    assert path == experiment.root / "added_IVF25_Flat_nprobe_8_mi test_lite.index"
    index = read_index(path)
    assert isinstance(index, faiss.IndexIVFFlat)
    assert (index.nlist, index.nprobe, index.d) == (25, 8, DIM)
    assert index.metric_type == faiss.METRIC_L2
    assert find_index(Path("weights/mi test.pth"), [experiment.root.parent], "lite", DIM) == path


def test_lists_follow_the_rule_of_rvc() -> None:
    assert [num_lists(count) for count in (1, 38, 39, 78, 10_000, 100_000)] == [
        1,
        1,
        1,
        2,
        256,
        2564,
    ]
    assert num_lists(1_000_000) == 16_000


@pytest.mark.parametrize("count", [1, 2, 40])
def test_few_vectors_are_enough(experiment: Experiment, count: int) -> None:
    vectors = write_features(experiment, count)
    retrieval = Retrieval(build(experiment), DIM)
    assert np.array_equal(retrieval.blend(vectors, 1.0), vectors)


def test_equal_vectors_can_be_indexed(experiment: Experiment) -> None:
    np.save(experiment.content_file("0_0", DIM), np.ones((500, DIM), np.float32))
    retrieval = Retrieval(build(experiment), DIM)
    assert np.allclose(retrieval.blend(np.zeros((1, DIM), np.float32), 1.0), 1.0)


def test_lists_are_grouped_so_that_near_neighbours_are_found(experiment: Experiment) -> None:
    vectors = write_features(experiment, 4000)
    index = read_index(build(experiment))
    exact = faiss.IndexFlatL2(DIM)
    exact.add(vectors)
    queries = np.random.default_rng(1).standard_normal((200, DIM)).astype(np.float32)
    distances, _ = index.search(queries, 8)
    best, _ = exact.search(queries, 8)
    assert np.sqrt(distances).mean() < 1.05 * np.sqrt(best).mean()
    sizes = [index.invlists.list_size(number) for number in range(index.nlist)]
    assert max(sizes) < 6 * len(vectors) / index.nlist


def test_list_centres_lie_closer_to_the_vectors_than_vectors_drawn_by_chance(
    experiment: Experiment,
) -> None:
    vectors = write_features(experiment, 4000)
    index = read_index(build(experiment))
    by_chance = faiss.IndexFlatL2(DIM)
    by_chance.add(vectors[: index.nlist])
    distances, _ = index.quantizer.search(vectors, 1)
    chance_distances, _ = by_chance.search(vectors, 1)
    assert distances.mean() < 0.92 * chance_distances.mean()


def test_a_large_set_is_reduced_to_centres_that_cover_it(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REDUCED_VECTORS", 100)
    vectors = write_features(experiment, 1500, 1500)
    path = build(experiment, 2000)
    centres = stored_vectors(path)
    assert centres.shape == (100, DIM)
    assert "IVF2_" in path.name
    to_nearest = ((vectors[:, None] - centres) ** 2).sum(axis=2).min(axis=1)
    assert to_nearest.mean() < 0.5 * vectors.var(axis=0).sum()


def test_the_same_features_give_the_same_bytes(experiment: Experiment) -> None:
    write_features(experiment, 3000)
    first = build(experiment).read_bytes()
    assert build(experiment).read_bytes() == first


def test_a_new_index_replaces_this_experiments_old_one_only(experiment: Experiment) -> None:
    write_features(experiment, 1000)
    old = build(experiment)
    foreign = experiment.root / "added_IVF9_Flat_nprobe_1_joanna_v2.index"
    foreign.write_bytes(b"a guest")
    write_features(experiment, 2000)
    new = build(experiment)
    assert new != old
    assert sorted(experiment.root.glob("*.index*")) == sorted([foreign, new])


def test_progress_counts_every_step_and_ends_complete(
    experiment: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    write_features(experiment, 1000)
    build(experiment)
    line = parse_progress(capsys.readouterr().out.splitlines()[-1])
    assert line is not None
    assert (line.name, line.done) == ("build_index", line.total)


def test_progress_ends_complete_for_a_reduced_set(
    experiment: Experiment,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(module, "REDUCED_VECTORS", 100)
    write_features(experiment, 3000)
    build(experiment, 2000)
    line = parse_progress(capsys.readouterr().out.splitlines()[-1])
    assert line is not None
    assert line.done == line.total


def test_nothing_to_index_names_the_step_before(experiment: Experiment) -> None:
    with pytest.raises(WorkerError, match="train.extract_features"):
        build(experiment)
    experiment.content(DIM).rmdir()
    with pytest.raises(WorkerError, match="train.extract_features"):
        build(experiment)
    assert not list(experiment.root.glob("*.index*"))


def test_bad_feature_files_are_left_out_and_named(experiment: Experiment) -> None:
    vectors = write_features(experiment, 100)
    experiment.content_file("1_0", DIM).write_bytes(b"")
    experiment.content_file("1_1", DIM).write_bytes(b"no array")
    np.save(experiment.content_file("1_2", DIM), np.zeros((5, DIM + 1), np.float32))
    np.save(experiment.content_file("1_3", DIM), np.full((5, DIM), np.nan, np.float32))
    np.save(experiment.content_file("1_4", DIM), np.array([{}], dtype=object), allow_pickle=True)
    truncated = experiment.content_file("0_0", DIM).read_bytes()[:-4]
    experiment.content_file("1_5", DIM).write_bytes(truncated)
    np.save(experiment.content_file("1_6", DIM), np.zeros((0, DIM), np.float32))  # no error: empty
    with pytest.raises(WorkerError) as error:
        build(experiment)
    assert "6 feature files" in str(error.value)
    for number in range(6):
        assert f"1_{number}.npy" in str(error.value)
    assert np.array_equal(stored_vectors(experiment.indexes()[0]), vectors)


def test_only_bad_feature_files_are_nothing_to_index(experiment: Experiment) -> None:
    np.save(experiment.content_file("1_2", DIM), np.zeros((5, DIM + 1), np.float32))
    with pytest.raises(WorkerError, match="1_2.npy is float32"):
        build(experiment)


def test_half_precision_features_are_accepted(experiment: Experiment) -> None:
    vectors = np.random.default_rng(0).standard_normal((50, DIM)).astype(np.float16)
    np.save(experiment.content_file("0_0", DIM), vectors)
    assert np.array_equal(stored_vectors(build(experiment)), vectors.astype(np.float32))


def test_a_failed_write_keeps_the_old_index(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_features(experiment, 500)
    old = build(experiment)
    before = old.read_bytes()
    write_features(experiment, 500, seed=1)

    def fail(index: faiss.Index, writer: faiss.IOWriter) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(module.faiss, "write_index", fail)
        build(experiment)
    assert old.read_bytes() == before
    assert list(experiment.root.glob("*.index*")) == [old]


def test_an_index_that_does_not_answer_rightly_is_not_kept(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_features(experiment, 500)
    write = faiss.write_index

    def corrupt(index: faiss.Index, writer: faiss.IOWriter) -> None:
        other = faiss.index_factory(DIM, "IVF1,Flat")
        other.train(np.zeros((1, DIM), np.float32))
        other.add(np.zeros((index.ntotal, DIM), np.float32))
        write(other, writer)

    monkeypatch.setattr(module.faiss, "write_index", corrupt)
    with pytest.raises(WorkerError, match="does not hold"):
        build(experiment)
    assert not list(experiment.root.glob("*.index*"))


def test_a_reduction_is_told(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "REDUCED_VECTORS", 50)
    write_features(experiment, 101)
    with caplog.at_level(logging.INFO):
        build(experiment, 100)
    assert "101 vectors are reduced to 50" in caplog.text
