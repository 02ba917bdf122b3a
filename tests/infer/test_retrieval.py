import os
import subprocess
import sys
from pathlib import Path

import faiss
import numpy as np
import pytest

from infer.retrieval import Retrieval, find_index
from tests.golden.arrays import read_golden

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
DIM = 8


def write_index(path: Path, vectors: np.ndarray, lists: int = 0, nprobe: int = 1) -> Path:
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    dim = vectors.shape[1]
    index = faiss.index_factory(dim, f"IVF{lists},Flat" if lists else "Flat")
    index.train(vectors)
    index.add(vectors)
    if lists:
        index.nprobe = nprobe
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(faiss.serialize_index(index).tobytes())
    return path


def make_vectors(count: int, dim: int = DIM, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)


# blending


@pytest.mark.parametrize(("version", "dim"), [("v1", 256), ("v2", 768)])
def test_public_indexes_give_the_reference_blend(tmp_path: Path, version: str, dim: int) -> None:
    golden = read_golden(f"retrieval_{version}")
    path = tmp_path / "added.index"
    path.write_bytes(golden["index_bytes"].tobytes())
    retrieval = Retrieval(path, dim)
    for rate in (0.5, 0.75, 1.0):
        blended = retrieval.blend(golden["queries"], rate)
        assert np.abs(blended - golden[f"blend_sane_{rate}"]).max() < 1e-4
    exact = retrieval.blend(golden["queries"], 1.0)[golden["exact_row"]]
    assert np.array_equal(exact, golden["vectors_exact"].astype(np.float32))


@pytest.mark.parametrize("lists", [0, 1, 5])
def test_blend_is_theinverse_square_mean_of_the_eight_nearest(tmp_path: Path, lists: int) -> None:
    vectors, content = make_vectors(300), make_vectors(700, seed=1)
    retrieval = Retrieval(write_index(tmp_path / "a.index", vectors, lists, nprobe=5), DIM)
    expected = []
    for row in content.astype(np.float64):
        distance = ((vectors - row) ** 2).sum(axis=1)
        nearest = np.argsort(distance)[:8]
        weight = distance[nearest] ** -2.0
        expected.append((weight[:, None] * vectors[nearest]).sum(axis=0) / weight.sum())
    np.testing.assert_allclose(retrieval.blend(content, 1.0), expected, atol=1e-5)
    half = (np.array(expected) + content) / 2
    np.testing.assert_allclose(retrieval.blend(content, 0.5), half, atol=1e-5)


def test_a_frame_equal_to_a_stored_vector_gives_that_vector(tmp_path: Path) -> None:
    vectors = make_vectors(50)
    retrieval = Retrieval(write_index(tmp_path / "a.index", vectors, 3, nprobe=3), DIM)
    assert np.array_equal(retrieval.blend(vectors[7:9], 1.0), vectors[7:9])


def test_a_frame_almost_equal_to_a_stored_vector_is_finite(tmp_path: Path) -> None:
    vectors = make_vectors(50) * 1e-12
    retrieval = Retrieval(write_index(tmp_path / "a.index", vectors), DIM)
    blended = retrieval.blend(vectors * np.float32(1.000001), 1.0)
    assert np.isfinite(blended).all()
    np.testing.assert_allclose(blended, vectors, rtol=1e-3)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_fewer_than_eight_vectors_are_enough(tmp_path: Path, count: int) -> None:
    vectors = make_vectors(count)
    retrieval = Retrieval(write_index(tmp_path / "a.index", vectors, 1), DIM)
    blended = retrieval.blend(make_vectors(5, seed=1), 1.0)
    assert np.isfinite(blended).all()
    assert (blended <= vectors.max(axis=0) + 1e-6).all()
    assert (blended >= vectors.min(axis=0) - 1e-6).all()


def test_rate_zero_returns_the_content_and_blending_never_changes_its_input(
    tmp_path: Path,
) -> None:
    retrieval = Retrieval(write_index(tmp_path / "a.index", make_vectors(50)), DIM)
    content = make_vectors(5, seed=1)
    before = content.copy()
    assert np.array_equal(retrieval.blend(content, 0.0), before)
    assert not np.allclose(retrieval.blend(content, 0.8), before)
    assert np.array_equal(content, before)


def test_blending_leaves_torch_the_threads_it_had(tmp_path: Path) -> None:
    path = write_index(tmp_path / "a.index", make_vectors(300), 5)
    code = (  # loaded first, torch shares its OpenMP with faiss
        "import sys, torch, numpy; from pathlib import Path; from infer.retrieval import Retrieval;"
        "torch.set_num_threads(2); before = torch.get_num_threads();"
        f"Retrieval(Path(sys.argv[1]), {DIM}).blend(numpy.zeros((300, {DIM}), numpy.float32), 0.5);"
        "sys.exit(torch.get_num_threads() != before)"
    )
    command = [sys.executable, "-c", code, str(path)]
    assert subprocess.run(command, cwd=GOLDEN.parents[1]).returncode == 0


def test_no_frames_give_no_frames(tmp_path: Path) -> None:
    retrieval = Retrieval(write_index(tmp_path / "a.index", make_vectors(50)), DIM)
    assert retrieval.blend(np.zeros((0, DIM), np.float32), 1.0).shape == (0, DIM)


def test_a_frame_whose_searched_list_is_empty_is_kept(tmp_path: Path) -> None:
    quantizer = faiss.IndexFlatL2(DIM)
    quantizer.add(np.stack([np.zeros(DIM), np.full(DIM, 10)]).astype(np.float32))
    index = faiss.IndexIVFFlat(quantizer, DIM, 2)
    index.train(np.zeros((2, DIM), np.float32))
    index.add(make_vectors(20) * 0.1)
    path = tmp_path / "a.index"
    path.write_bytes(faiss.serialize_index(index).tobytes())
    content = np.full((1, DIM), 9.0, np.float32)
    assert np.array_equal(Retrieval(path, DIM).blend(content, 1.0), content)


@pytest.mark.parametrize("rate", [-0.01, 1.01, float("nan")])
def test_an_index_rate_outside_0_to_1_is_refused(tmp_path: Path, rate: float) -> None:
    retrieval = Retrieval(write_index(tmp_path / "a.index", make_vectors(50)), DIM)
    with pytest.raises(ValueError, match=str(rate)):
        retrieval.blend(make_vectors(1), rate)


# opening


def test_an_index_of_the_wrong_width_names_the_file_and_both_widths(tmp_path: Path) -> None:
    path = write_index(tmp_path / "joanna.index", make_vectors(50))
    with pytest.raises(ValueError, match=r"joanna\.index.* 8 values.* 768"):
        Retrieval(path, 768)


@pytest.mark.parametrize("keep", [0, 3, 20, 200, -1])
def test_a_damaged_index_is_one_clear_line(tmp_path: Path, keep: int) -> None:
    path = write_index(tmp_path / "broken.index", make_vectors(300), 5)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"broken\.index is damaged") as error:
        Retrieval(path, DIM)
    assert "\n" not in str(error.value)


def test_another_file_named_index_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.index"
    path.write_text("not an index " * 100)
    with pytest.raises(ValueError, match="not a faiss index"):
        Retrieval(path, DIM)


def test_a_missing_index_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.index"):
        Retrieval(tmp_path / "gone.index", DIM)


def test_a_trained_index_without_vectors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trained.index"
    path.write_bytes(faiss.serialize_index(faiss.IndexFlatL2(DIM)).tobytes())
    with pytest.raises(ValueError, match="no vectors"):
        Retrieval(path, DIM)


def test_an_index_opens_from_a_folder_with_chinese_letters_and_spaces(tmp_path: Path) -> None:
    path = write_index(tmp_path / "声音 模型" / "音色.index", make_vectors(50))
    assert len(Retrieval(path, DIM)) == 50


def test_looking_for_indexes_does_not_load_faiss() -> None:
    code = "import sys, infer.retrieval; sys.exit('faiss' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=GOLDEN.parents[1]).returncode == 0


# finding


class Folders:
    """weights/ and logs/ with empty index files; `find` looks for a voice's one."""

    def __init__(self, root: Path) -> None:
        self.root, self.age = root, 0
        self.add("weights/.keep", "logs/.keep")

    def add(self, *names: str) -> None:
        for name in names:
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            header = b"IwFl" + DIM.to_bytes(4, "little")
            path.write_bytes(header)
            self.age += 1
            os.utime(path, (self.age, self.age))

    def find(self, voice: str, **asked: object) -> str | None:
        voice_path = self.root / "weights" / voice
        found = find_index(voice_path, [self.root / "logs", self.root / "weights"], **asked)
        return found and found.relative_to(self.root).as_posix()


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


MI = "logs/mi/added_IVF256_Flat_nprobe_1_mi_v2.index"


def test_the_index_of_the_experiment_of_the_same_name_is_found(folders: Folders) -> None:
    folders.add(MI, "logs/mimi/added_IVF9_Flat_nprobe_1_mimi_v2.index", "weights/other.index")
    assert folders.find("mi.pth") == MI
    assert folders.find("mi_e20_s400.pth") == MI
    assert folders.find("MI.pth") == MI
    assert folders.find("m.pth") is None


@pytest.mark.parametrize(
    "name",
    [
        "weights/mi.index",
        "weights/added_mi.index",
        "weights/added_IVF1063_Flat_nprobe_1_mi_v2.index",
        "weights/added_IVF1063_Flat_nprobe_1_mi_singer_v2.index",
        "weights/mi_added_IVF1063_Flat_nprobe_1_mi_v2.index",
        "weights/mi_IVF1063_Flat_nprobe_1_mi_v2.index",
        "logs/mi/added_IVF1063_Flat_nprobe_1.index",
        "logs/mi/anything.index",
        "logs/added_IVF1063_Flat_nprobe_1_mi_v2.index",
    ],
)
def test_an_index_is_found_under_the_names_that_people_use(folders: Folders, name: str) -> None:
    folders.add(name, "weights/other.index", "logs/other/added_IVF2_Flat_nprobe_1_other_v2.index")
    assert folders.find("mi.pth") == name


@pytest.mark.parametrize("voice", ["mi_v2_40k_e200.pth", "Mi RVC v2.pth", "mi-final.pth"])
def test_additions_to_the_voice_name_do_not_hide_its_index(folders: Folders, voice: str) -> None:
    folders.add(MI)
    assert folders.find(voice) == MI


def test_part_of_a_word_never_matches(folders: Folders) -> None:
    folders.add("weights/added_IVF9_Flat_nprobe_1_joanna_v2.index", "logs/annabel/x.index")
    folders.add("logs/joanna/added_IVF9_Flat_nprobe_1_joanna_v2.index")
    assert folders.find("ann.pth") is None
    assert folders.find("anna.pth") is None


def test_numbered_voices_are_different_voices(folders: Folders) -> None:
    folders.add("weights/speaker_2.index")
    assert folders.find("speaker_1.pth") is None
    assert folders.find("speaker.pth") is None
    assert folders.find("speaker_2.pth") == "weights/speaker_2.index"


def test_the_index_beside_the_voice_wins_over_one_elsewhere(folders: Folders) -> None:
    folders.add("weights/mi.index", "logs/mi.index")
    assert folders.find("mi.pth") == "weights/mi.index"


def test_the_newest_index_of_one_experiment_is_taken(folders: Folders) -> None:
    newest = "logs/mi/added_IVF128_Flat_nprobe_1_mi_v2.index"
    folders.add(MI, newest)
    assert folders.find("mi.pth") == newest


def test_two_equally_good_indexes_are_none(folders: Folders) -> None:
    folders.add("weights/mi_happy.index", "weights/mi_sad.index")
    assert folders.find("mi.pth") is None


def test_two_names_of_one_file_are_not_two_indexes(folders: Folders) -> None:
    folders.add("logs/mi_happy.index")
    (folders.root / "logs/box").mkdir()
    os.link(folders.root / "logs/mi_happy.index", folders.root / "logs/box/mi_happy.index")
    assert folders.find("mi_happy.pth") is not None


def test_the_index_of_another_present_voice_is_left_alone(folders: Folders) -> None:
    folders.add("weights/mi_sad.index")
    assert folders.find("mi.pth") == "weights/mi_sad.index"
    (folders.root / "weights/mi_sad.pth").touch()
    assert folders.find("mi.pth") is None
    folders.add(MI)
    (folders.root / "weights/mi.pth").touch()
    for snapshot in ("mi_e20.pth", "mi_e20_s400.pth"):
        assert folders.find(snapshot) == MI


def test_an_index_of_another_version_or_width_is_never_found(folders: Folders) -> None:
    folders.add(MI, "logs/mi/added_IVF256_Flat_nprobe_1_mi_lite.index")
    assert folders.find("mi.pth", version="v2") == MI
    assert folders.find("mi.pth", version="v1") is None
    assert folders.find("mi.pth", version="v2", dim=DIM) == MI
    assert folders.find("mi.pth", version="v2", dim=DIM + 1) is None


def test_trained_indexes_broken_links_and_folders_are_ignored(folders: Folders) -> None:
    folders.add("logs/mi/trained_IVF256_Flat_nprobe_1_mi_v2.index", "weights/trained_mi.index")
    (folders.root / "weights/mi_x.index").symlink_to("nowhere.index")
    (folders.root / "weights/mi.index").mkdir()
    assert folders.find("mi.pth") is None
    assert folders.find("untrained_voice.pth") is None
    folders.add("weights/untrained_voice.index")
    assert folders.find("untrained_voice.pth") == "weights/untrained_voice.index"


def test_chinese_names_match(folders: Folders) -> None:
    folders.add("logs/小米/added_IVF9_Flat_nprobe_1_小米_v2.index")
    assert folders.find("小米.pth") == "logs/小米/added_IVF9_Flat_nprobe_1_小米_v2.index"
    assert folders.find("米.pth") is None


def test_folders_that_do_not_exist_hold_nothing(tmp_path: Path) -> None:
    assert find_index(tmp_path / "no/voice.pth", [tmp_path / "missing"]) is None
