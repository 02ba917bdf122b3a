"""Worker 5: content features -> the feature index that conversion searches (faiss IVF, Flat)."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import faiss
import numpy as np

from config import free_memory, pick_device, replacing
from infer.retrieval import Retrieval
from train.experiment import Experiment
from train.options import BuildIndexOptions, parse_options
from train.worker import Progress, WorkerError, run_worker

REDUCED_VECTORS = 10_000  # k-means centres that a set above the limit is reduced to, at most
VECTORS_PER_LIST = 39  # at least
SAMPLE_PER_CENTRE = 16  # vectors that k-means looks at, for each centre it places
ROUNDS = 5  # of k-means
NPROBE = 8  # lists searched per frame: neighbours are 1% farther than the true nearest; with 1, 7%
BATCH_ROWS = 8192  # vectors read and added at once
WORTH_A_GPU = 1e12  # operations; fewer take a processor seconds, as torch takes to load
SEED = 0

logger = logging.getLogger(__name__)


def build_index(options: BuildIndexOptions) -> Path:
    """Index the content features of an experiment; returns the index file, searched once.

    It replaces the experiment's earlier indexes. Raises WorkerError when there is nothing to index,
    and after the work for feature files that had to be left out.
    """
    experiment = Experiment(options.experiment)
    config = experiment.read_config()
    dim = config["model"]["content_dim"]
    files, bad_files = _check_files(sorted(experiment.content(dim).glob("*.npy")), dim)
    if not files:
        reason = f" ({bad_files[0]})" if bad_files else ""
        raise WorkerError("no_features", folder=experiment.content(dim), reason=reason)
    index = _fill_index(files, dim, options)
    path = experiment.index(index.nlist, index.nprobe, config["version"])
    num_vectors, lists = index.ntotal, index.nlist
    first = np.load(next(iter(files)))[:1].astype(np.float32)
    _, _, nearest = index.search_and_reconstruct(first, 1)
    with replacing(path) as temporary:
        with temporary.open("wb") as file:  # by Python: faiss opens only ASCII paths on Windows
            faiss.write_index(index, faiss.PyCallbackIOWriter(file.write))
        del index  # before the file is read back: memory holds the vectors once
        _verify(temporary, num_vectors, nearest[0])
    own_name = re.compile(rf"added_IVF\d+_Flat_nprobe_\d+_{re.escape(experiment.name)}_\w+\.index")
    for stale in experiment.indexes():
        if stale != path and own_name.fullmatch(stale.name):
            stale.unlink()
    logger.info("%s holds %d vectors in %d lists", path, num_vectors, lists)
    if bad_files:
        raise WorkerError("index_left_out", count=len(bad_files), files="; ".join(bad_files))
    return path


def num_lists(num_vectors: int) -> int:
    """How many lists an index of that many vectors is split into (RVC's rule, at least 1)."""
    return max(1, min(int(16 * math.sqrt(num_vectors)), num_vectors // VECTORS_PER_LIST))


def _check_files(paths: list[Path], dim: int) -> tuple[dict[Path, int], list[str]]:
    """Return the rows of every usable feature file, and why others are not usable."""
    files, bad_files = {}, []
    for path in paths:
        try:
            content = np.load(path)
        except (ValueError, EOFError, OSError):
            bad_files.append(f"{path.name} is damaged")
            continue
        if content.ndim != 2 or content.shape[1] != dim or content.dtype.kind != "f":
            found = f"{content.dtype} {content.shape}"
            bad_files.append(f"{path.name} is {found} instead of float (T, {dim})")
        elif not np.isfinite(content).all():
            bad_files.append(f"{path.name} has values that are not finite")
        elif len(content):
            files[path] = len(content)
    return files, bad_files


def _fill_index(files: dict[Path, int], dim: int, options: BuildIndexOptions) -> faiss.IndexIVFFlat:
    """Index the vectors of all files; apart from a sample, memory holds them once."""
    random = np.random.default_rng(SEED)
    batches = partial(_batches, files, dim)
    num_read = sum(files.values())
    is_reduced = num_read > options.max_vectors
    num_vectors = min(REDUCED_VECTORS, options.max_vectors) if is_reduced else num_read
    lists = num_lists(num_vectors)
    seen_rows = _sample_rows(num_read, num_vectors) if is_reduced else 0
    seen_rows += _sample_rows(num_vectors, lists)
    if is_reduced:
        logger.info("%d vectors are reduced to %d k-means centres", num_read, num_vectors)
    with Progress(ROUNDS * seen_rows + num_vectors, "vectors", "build_index") as progress:
        if is_reduced:
            sample = _sample(batches(), num_read, dim, num_vectors, random)
            reduced = _centres(sample, num_vectors, random, progress, options.device)
            batches = partial(np.array_split, reduced, -(-num_vectors // BATCH_ROWS))
        sample = _sample(batches(), num_vectors, dim, lists, random)
        index = _empty_index(_centres(sample, lists, random, progress, options.device))
        del sample
        for batch in batches():
            index.add(batch)
            progress.advance(len(batch), "adding")
    return index


def _sample_rows(num_vectors: int, num_centres: int) -> int:
    """How many of the vectors are looked at to place that many centres."""
    return min(num_vectors, SAMPLE_PER_CENTRE * num_centres)


def _batches(files: dict[Path, int], dim: int) -> Iterator[np.ndarray]:
    """Yield the vectors of all files, (at most BATCH_ROWS, dim) float32 at a time."""
    batch, filled = np.empty((BATCH_ROWS, dim), np.float32), 0
    for path in files:
        content = np.load(path)
        while len(content):
            taken = content[: BATCH_ROWS - filled]
            batch[filled : filled + len(taken)] = taken
            content, filled = content[len(taken) :], filled + len(taken)
            if filled == BATCH_ROWS:
                yield batch
                filled = 0
    if filled:
        yield batch[:filled]


def _sample(
    batches: Iterable[np.ndarray],
    num_vectors: int,
    dim: int,
    num_centres: int,
    random: np.random.Generator,
) -> np.ndarray:
    """Vectors to place centres by, drawn without repetition, (_sample_rows, dim)."""
    rows = _sample_rows(num_vectors, num_centres)
    chosen = np.sort(random.choice(num_vectors, rows, replace=False))
    sample = np.empty((rows, dim), np.float32)
    start = 0
    for batch in batches:
        first, last = np.searchsorted(chosen, (start, start + len(batch)))
        sample[first:last] = batch[chosen[first:last] - start]
        start += len(batch)
    return sample


def _centres(
    sample: np.ndarray,
    count: int,
    random: np.random.Generator,
    progress: Progress,
    device: str,
) -> np.ndarray:
    """count k-means centres of the sample, (count, dim)."""
    centres = sample[random.choice(len(sample), count, replace=False)]
    improve = _improve_on_gpu(2.0 * ROUNDS * sample.size * count, device) or _improve
    for number in range(1, ROUNDS + 1):  # one at a time, so that progress shows
        centres = improve(sample, centres)
        progress.advance(len(sample), f"grouping, round {number} of {ROUNDS}")
    return centres


def _improve(sample: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """A round of k-means, (count, dim)."""
    k_means = faiss.Kmeans(
        sample.shape[1],
        len(centres),
        niter=1,
        seed=SEED,
        min_points_per_centroid=1,
        max_points_per_centroid=len(sample),
    )
    k_means.train(sample, init_centroids=centres)
    return k_means.centroids


def _improve_on_gpu(
    operations: float, device: str
) -> Callable[[np.ndarray, np.ndarray], np.ndarray] | None:
    """The same on a GPU, None where there is none with memory left, or too little to do."""
    if operations < WORTH_A_GPU or (gpu := pick_device(device)).type != "cuda":
        return None
    from train import k_means

    return partial(k_means.improve, device=gpu) if free_memory(gpu) > k_means.FREE_MEMORY else None


def _empty_index(centres: np.ndarray) -> faiss.IndexIVFFlat:
    lists, dim = centres.shape
    quantizer = faiss.IndexFlatL2(dim)
    index = faiss.IndexIVFFlat(quantizer, dim, lists)
    quantizer.add(centres)
    index.train(centres)  # finds the centres in place: nothing is left to learn
    index.nprobe = min(NPROBE, lists)
    return index


def _verify(path: Path, num_vectors: int, stored: np.ndarray) -> None:
    """Search a written index for a vector (1, dim) in it; WorkerError if that is not found."""
    retrieval = Retrieval(path, stored.shape[1])
    found = retrieval.blend(stored, 1.0)
    if len(retrieval) != num_vectors or not np.allclose(found, stored, atol=1e-4):
        raise WorkerError("index_disk", file=path)


if __name__ == "__main__":
    run_worker(build_index, parse_options(BuildIndexOptions))
