"""An index in 8 bits blends as the one it was made from, and is found for the same voice."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pytest

from errors import UserError
from infer.retrieval import Retrieval, find_index, read_index
from tools.research.pack_index import PackIndexOptions, main, pack_index

DIM = 33


def test_a_packed_index_is_a_quarter_and_blends_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((3000, DIM)).astype(np.float32)
    content = generator.standard_normal((300, DIM)).astype(np.float32)
    index = faiss.index_factory(DIM, "IVF40,Flat")
    index.train(vectors)
    index.add(vectors)
    index.nprobe = 5
    path = tmp_path / "added_IVF40_Flat_nprobe_5_声_lite.index"
    path.write_bytes(faiss.serialize_index(index).tobytes())

    monkeypatch.setattr("sys.argv", ["pack_index", "--index", str(path)])
    main()
    packed = path.with_name("added_IVF40_SQ8_nprobe_5_声_lite.index")
    assert str(packed) in capsys.readouterr().out
    assert packed.stat().st_size < 0.4 * path.stat().st_size
    read = read_index(packed)
    assert isinstance(read, faiss.IndexIVFFlat) and (read.ntotal, read.nprobe) == (3000, 5)
    blended = [Retrieval(each, DIM).blend(content, 1.0) for each in (path, packed)]
    assert np.abs(blended[0] - blended[1]).mean() < 0.03
    path.unlink()
    assert find_index(Path("weights/声.pth"), [tmp_path], "lite", DIM) == packed
    with pytest.raises(UserError):
        pack_index(PackIndexOptions(index=packed))
