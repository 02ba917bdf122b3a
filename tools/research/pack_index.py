"""A feature index with its vectors in 8 bits: a quarter of the size, for those that are shipped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import faiss

from config import replacing
from errors import UserError
from infer.retrieval import read_index
from options import Options, option, parse_options
from tools.cmd.terminal import exit_code


@dataclass(frozen=True, kw_only=True)
class PackIndexOptions(Options):
    """Write an index whose vectors take 8 bits a value, beside the one that is given."""

    MODULE = "tools.research.pack_index"

    index: Path = option("index as train.build_index writes it")


def pack_index(options: PackIndexOptions) -> Path:
    """Write the packed index; returns its file. UserError, FileNotFoundError."""
    index = read_index(options.index)
    if not isinstance(index, faiss.IndexIVFFlat) or "_Flat" not in options.index.name:
        raise UserError("index_damaged", path=options.index)
    index.make_direct_map()
    vectors = index.reconstruct_n(0, index.ntotal)
    packed = faiss.IndexIVFScalarQuantizer(
        faiss.clone_index(index.quantizer), index.d, index.nlist,
        faiss.ScalarQuantizer.QT_8bit, index.metric_type, False,
    )  # fmt: skip
    packed.train(vectors)  # the lowest and highest of each value; the lists stay
    packed.add(vectors)
    packed.nprobe = index.nprobe
    path = options.index.with_name(options.index.name.replace("_Flat", "_SQ8", 1))
    with replacing(path) as temporary, temporary.open("wb") as file:
        faiss.write_index(packed, faiss.PyCallbackIOWriter(file.write))
    return path


def main() -> None:
    """Read the command line and pack; says both sizes."""
    options = parse_options(PackIndexOptions)
    path = pack_index(options)
    sizes = [each.stat().st_size for each in (options.index, path)]
    print(f"{path}: {sizes[0] / 1e6:.1f} -> {sizes[1] / 1e6:.1f} MB")


if __name__ == "__main__":
    raise SystemExit(exit_code(main))
