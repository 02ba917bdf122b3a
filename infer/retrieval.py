"""Retrieval: mix content with its nearest neighbours among a voice's training features."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from errors import UserError
from infer.index_file import check_index_file
from infer.voice.safe_file import VOICE_SUFFIXES

if TYPE_CHECKING:
    import faiss  # at run time it loads when an index is opened: the page only looks for files

NUM_NEIGHBOURS = 8
QUERY_ROWS = 256  # rows searched at once: bounds the neighbours held in memory (4 MB at 513 values)

# A built index: [link_][added_]IVF<lists>_Flat[_nprobe_<lists searched>][_<experiment>][_<version>]
# (SQ8 instead of Flat: its vectors are in 8 bits)
_BUILT_NAME = re.compile(
    r"(?:(?P<link>.+?)_)??(?:added_)?IVF\d+_(?:Flat|SQ8)(?:_nprobe_\d+)?(?:_(?P<name>.+))?",
    re.IGNORECASE,
)
_TRAINED_NAME = re.compile(r"(?<![a-z])trained_", re.IGNORECASE)
_VERSION_SUFFIX = re.compile(r"[_. -](v1|v2|lite)$", re.IGNORECASE)
_SNAPSHOT_SUFFIX = re.compile(r"_e\d+(?:_s\d+)?$", re.IGNORECASE)  # <name>_e<epoch>_s<step>.pth
_NOISE_WORD = re.compile(r"v1|v2|lite|rvc|added|index|e\d+|s\d+|\d+k")


class Retrieval:
    """The training features of one voice, searched frame by frame."""

    def __init__(self, path: Path, dim: int) -> None:
        """Read a faiss index file of `dim` values per vector.

        Raises FileNotFoundError, or ValueError if the file is damaged, empty or of another width.
        """
        self.path = path
        self._index = read_index(path)
        if self._index.d != dim:
            raise UserError("index_width", path=path, found=self._index.d, needed=dim)
        if self._index.ntotal == 0:
            raise UserError("index_empty", path=path)

    def __len__(self) -> int:
        return self._index.ntotal

    def blend(self, content: np.ndarray, index_rate: float) -> np.ndarray:
        """Mix content with the weighted mean of its 8 nearest training features.

        content: (T, dim) float32. index_rate: 0 keeps the content, 1 takes the neighbours alone.
        Returns (T, dim) float32. A frame without any neighbour is kept as it is.
        """
        if not 0.0 <= index_rate <= 1.0:
            raise ValueError(f"index rate must be between 0 and 1, not {index_rate}")
        if content.ndim != 2 or content.shape[1] != self._index.d:
            raise ValueError(f"content must be (T, {self._index.d}), not {content.shape}")
        if index_rate == 0.0:
            return content
        blended = np.array(content, dtype=np.float32)
        with _one_thread():
            for start in range(0, len(blended), QUERY_ROWS):
                rows = blended[start : start + QUERY_ROWS]
                retrieved, is_found = self._retrieve(rows)
                rows[is_found] += np.float32(index_rate) * (retrieved - rows)[is_found]
        return blended

    def nearest(self, content: np.ndarray) -> np.ndarray:
        """How far the nearest training feature is from each row: (T, dim) -> (T,), RMS of a value.

        A row without any neighbour is left out.
        """
        found = [np.zeros(0)]
        for start in range(0, len(content), QUERY_ROWS):
            rows = content[start : start + QUERY_ROWS]
            _, ids, vectors = self._index.search_and_reconstruct(rows, 1)
            squares = np.square(vectors[:, 0] - rows).mean(axis=1, dtype=np.float64)
            found.append(np.sqrt(squares[ids[:, 0] >= 0]))
        return np.concatenate(found)

    def _retrieve(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The weighted mean of each row's neighbours (R, dim) and whether it has any (R,)."""
        _, ids, vectors = self._index.search_and_reconstruct(rows, NUM_NEIGHBOURS)
        is_missing = (ids < 0) | ~np.isfinite(vectors).all(axis=2)
        vectors[is_missing] = 0.0  # faiss fills them with NaN
        distances = np.square(vectors - rows[:, None]).sum(axis=2, dtype=np.float64)
        distances[is_missing] = np.inf
        weights = inverse_square(distances)
        return np.einsum("rk,rkd->rd", weights, vectors), ~is_missing.all(axis=1)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let faiss use one thread: a minute takes tenths of a second, more would fight with torch's.

    faiss and torch can share one OpenMP: what is not given back, torch lacks from then on.
    """
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def read_index(path: Path) -> faiss.Index:
    """Read a faiss index from any path. NoFile, or UserError if damaged or of another kind."""
    check_index_file(path)  # faiss believes what a file claims
    import faiss

    with path.open("rb") as file:  # through Python: faiss itself opens only ASCII paths on Windows
        try:
            return _with_floats(faiss.read_index(faiss.PyCallbackIOReader(file.read)))
        except (RuntimeError, MemoryError) as error:
            raise UserError("index_damaged", path=path) from error


def _with_floats(index: faiss.Index) -> faiss.Index:
    """An index that a file holds in 8 or 16 bits, as floats: faiss searches these in a tenth.

    Numbers of its own, which nothing here asks for, are left out.
    """
    import faiss

    if isinstance(index, faiss.IndexIDMap):
        index = faiss.clone_index(faiss.downcast_index(index.index))
    if isinstance(index, faiss.IndexIVF):
        index.set_direct_map_type(faiss.DirectMap.NoMap)  # one in a file may lead anywhere
        index.nprobe = min(max(1, index.nprobe), index.nlist)
    if not isinstance(index, faiss.IndexIVFScalarQuantizer):
        return index
    lists = faiss.clone_index(index.quantizer)
    unpacked = faiss.IndexIVFFlat(lists, index.d, index.nlist, index.metric_type)
    index.make_direct_map()
    unpacked.add(index.reconstruct_n(0, index.ntotal))
    unpacked.nprobe = index.nprobe
    return unpacked


def inverse_square(distances: np.ndarray) -> np.ndarray:
    """Weights (R, K) of sum 1, each (1 / distance)^2; where a distance is 0 it takes all."""
    nearest = distances.min(axis=1, keepdims=True)
    ratios = np.divide(
        nearest, distances, out=np.ones_like(distances), where=distances > nearest
    )  # 1 at the nearest: the scale cancels, and 0 is never divided by
    weights = np.square(ratios)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def find_index(
    voice: Path, folders: Iterable[Path], version: str | None = None, dim: int | None = None
) -> Path | None:
    """Find the index that belongs to a voice, or None if there is none or it is not certain which.

    Looks beside the voice, in the folders and in their folders (logs/<experiment>/). An index of
    another version by its name, or of another width than dim by its header, is never returned.
    """
    beside = voice.parent
    paths = set(beside.glob("*.index"))
    for folder in folders:
        paths.update(folder.glob("*.index"), folder.glob("*/*.index"))
    candidates = [
        candidate
        for candidate in map(_parse_name, sorted(filter(Path.is_file, paths)))
        if candidate is not None
        and version in (None, candidate.version or version)
        and dim in (None, _read_dim(candidate.path))
    ]
    names = {voice.stem.casefold(), _SNAPSHOT_SUFFIX.sub("", voice.stem).casefold()}
    voices = (path for suffix in VOICE_SUFFIXES for path in beside.glob(f"*{suffix}"))
    others = {path.stem.casefold() for path in voices} - names
    ranked: dict[int, list[_Candidate]] = {}
    for candidate in candidates:
        rank = _rank(candidate, names, others, beside)
        if rank is not None:
            ranked.setdefault(rank, []).append(candidate)
    if not ranked:
        return None
    best = ranked[min(ranked)]
    newest = max(best, key=lambda candidate: (candidate.path.stat().st_mtime, candidate.path))
    is_certain = all(
        (candidate.path.parent, candidate.names) == (newest.path.parent, newest.names)
        or candidate.path.samefile(newest.path)
        for candidate in best
    )
    return newest.path if is_certain else None


@dataclass(frozen=True)
class _Candidate:
    path: Path
    names: frozenset[str]  # case-folded voice names its file name may mean
    version: str | None


def _parse_name(path: Path) -> _Candidate | None:
    """Parse an index file's name; None if it is a trained index, which has no vectors."""
    stem = path.stem
    if _TRAINED_NAME.search(stem):
        return None
    if built := _BUILT_NAME.fullmatch(stem):
        stem = built["name"] or built["link"] or path.parent.name
    stated = _VERSION_SUFFIX.search(stem)
    names = {stem.casefold(), _VERSION_SUFFIX.sub("", stem).casefold()}
    return _Candidate(path, frozenset(names), stated[1].lower() if stated else None)


def _rank(candidate: _Candidate, names: set[str], others: set[str], beside: Path) -> int | None:
    """How surely an index belongs to the voice, 0 = most surely, None = not at all."""
    is_beside = candidate.path.parent == beside
    is_experiment = not is_beside and candidate.path.parent.name.casefold() in names
    is_named = not names.isdisjoint(candidate.names)
    is_free = others.isdisjoint(candidate.names)  # no other voice has exactly this name
    voice_words, index_words = (_words(min(group, key=len)) for group in (names, candidate.names))
    rules = (
        is_experiment and is_named,
        is_beside and is_named,
        is_experiment,
        is_named,
        is_free and index_words != [] and voice_words == index_words,
        is_free and _contains(voice_words, index_words),
        is_free and is_beside and _contains(index_words, voice_words),
    )
    return rules.index(True) if True in rules else None


def _words(name: str) -> list[str]:
    """The words of a name without version, rate, epoch and step."""
    return [word for word in re.findall(r"[^\W_]+", name) if not _NOISE_WORD.fullmatch(word)]


def _contains(words: list[str], part: list[str]) -> bool:
    """Whether part is a run of whole words, and no word left over is a bare number."""
    for start in range(len(words) - len(part) + 1):
        end = start + len(part)
        if part and words[start:end] == part:
            return not any(word.isdecimal() for word in words[:start] + words[end:])
    return False


def _read_dim(path: Path) -> int:
    """The vector width in an index file's header (after 4 bytes of type), 0 if there is none."""
    try:
        with path.open("rb") as file:
            return int.from_bytes(file.read(8)[4:], "little")
    except OSError:  # one that cannot be read belongs to no voice
        return 0
