"""A lite voice or base with its matrices in 8 bits: half the size, for those that are shipped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from infer.voice.tensors import pack, read_tensors, save_tensors, unpack
from options import Options, option, parse_options


@dataclass(frozen=True, kw_only=True)
class PackWeightsOptions(Options):
    """Write a voice or a base with 8 bits for each value of a matrix."""

    MODULE = "tools.research.pack_weights"

    file: Path = option("voice, or base_G.pth")
    output: Path = option("file to write")


def pack_weights(options: PackWeightsOptions) -> None:
    """Write the packed file. CheckpointError."""
    content = dict(read_tensors(options.file))
    table = "weight" if "weight" in content else "model"
    content[table] = pack(unpack(content[table]))
    save_tensors(options.output, content)


def main() -> None:
    """Read the command line and pack; says both sizes."""
    options = parse_options(PackWeightsOptions)
    pack_weights(options)
    sizes = [each.stat().st_size for each in (options.file, options.output)]
    print(f"{sizes[0] / 1e6:.1f} -> {sizes[1] / 1e6:.1f} MB: {options.output}")


if __name__ == "__main__":
    main()
