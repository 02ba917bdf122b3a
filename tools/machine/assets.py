"""What is fetched, not shipped: weights that the RVC project gives away."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import config
from tools.options import HUB

REPOSITORY = "lj1995/VoiceConversionWebUI"
# main, and a revision that is known to hold the first of the files, should it ever be tidied away
REVISIONS = ("main", "1c75048c96f23f99da4b12909b532b5983290d7d")
PLACES = {"hubert_base.pt": "hubert", "rmvpe.pt": "rmvpe", "rmvpe.onnx": "rmvpe"}  # of bare names

# name in the repository, bytes (- = not known), SHA-256
TABLE = """
hubert_base.pt 189507909 f54b40fd2802423a5643779c4861af1e9ee9c1564dc9d32f54f20b5ffba7db96
rmvpe.pt 181184272 6d62215f4306e3ca278246188607209f09af3dc77ed4232efdd069798c4ec193
rmvpe.onnx 361688443 5370e71ac80af8b4b7c793d27efd51fd8bf962de3a7ede0766dac0befa3660fd
pretrained/D32k.pth - 2ab20645829460fdad0d3c44254f1ab53c32cae50c22a66c926ae5aa30abda6f
pretrained/D40k.pth - 547f66dbbcd9023b9051ed244d12ab043ba8a4e854b154cc28761ac7c002909b
pretrained/D48k.pth - 8cc013fa60ed9c3f902f5bd99f48c7e3b9352d763d4d3cd6bc241c37b0bfd9ad
pretrained/G32k.pth - 81817645cde7ed2e2d83f23ef883f33dda564924b497e84d792743912eca4c23
pretrained/G40k.pth - e428573bda1124b0ae0ae843fd8dcded6027d3993444790b3e9b0100938b2113
pretrained/G48k.pth - 3862a67ea6313e8ffefc05cee6bee656ef3e089442e9ecf4a6618d60721f3e95
pretrained/f0D32k.pth 109978943 294db3087236e2c75260d6179056791c9231245daf5d0485545d9e54c4057c77
pretrained/f0D40k.pth 109978943 7d4f5a441594b470d67579958b2fd4c6b992852ded28ff9e72eda67abcebe423
pretrained/f0D48k.pth 109978943 1b84c8bf347ad1e539c842e8f2a4c36ecd9e7fb23c16041189e4877e9b07925c
pretrained/f0G32k.pth 72795627 285f524bf48bb692c76ad7bd0bc654c12bd9e5edeb784dddf7f61a789a608574
pretrained/f0G40k.pth 72909665 9115654aeef1995f7dd3c6fc4140bebbef0ca9760bed798105a2380a34299831
pretrained/f0G48k.pth 73008619 78bc9cab27e34bcfc194f93029374d871d8b3e663ddedea32a9709e894cc8fe8
pretrained_v2/D32k.pth - d8043378cc6619083d385f5a045de09b83fb3bf8de45c433ca863b71723ac3ca
pretrained_v2/D40k.pth - 471378e894e7191f89a94eda8288c5947b16bbe0b10c3f1f17efdb7a1d998242
pretrained_v2/D48k.pth - db01094a93c09868a278e03dafe8bb781bfcc1a5ba8df168c948bf9168c84d82
pretrained_v2/G32k.pth - 869b26a47f75168d6126f64ac39e6de5247017a8658cfd68aca600f7323efb9f
pretrained_v2/G40k.pth - a3843da7fde33db1dab176146c70d6c2df06eafe9457f4e3aa10024e9c6a4b69
pretrained_v2/G48k.pth - 2e2b1581a436d07a76b10b9d38765f64aa02836dc65c7dee1ce4140c11ea158b
pretrained_v2/f0D32k.pth 142875703 bd7134e7793674c85474d5145d2d982e3c5d8124fc7bb6c20f710ed65808fa8a
pretrained_v2/f0D40k.pth 142875703 6b6ab091e70801b28e3f41f335f2fc5f3f35c75b39ae2628d419644ec2b0fa09
pretrained_v2/f0D48k.pth 142875703 2269b73c7a4cf34da09aea99274dabf99b2ddb8a42cbfb065fb3c0aa9a2fc748
pretrained_v2/f0G32k.pth 73950049 2332611297b8d88c7436de8f17ef5f07a2119353e962cd93cda5806d59a1133d
pretrained_v2/f0G40k.pth 73106273 3b2c44035e782c4b14ddc0bede9e2f4a724d025cd073f736d4f43708453adfcb
pretrained_v2/f0G48k.pth 75465569 b5d51f589cc3632d4eae36a315b4179397695042edc01d15312e1bddc2b764a4
"""


@dataclass(frozen=True)
class Asset:
    """A file to fetch; size in bytes, None if it is not known."""

    name: str
    size: int | None
    sha256: str
    home: str = ""  # where it is given away, "" = at the hub

    @property
    def path(self) -> Path:
        """Where it belongs."""
        return config.DOWNLOADS / PLACES.get(self.name, "") / self.name

    @property
    def part(self) -> Path:
        """Where it is kept while it is incomplete."""
        return self.path.with_name(self.path.name + ".part")

    def urls(self, hub: str) -> list[str]:
        """Where it is, the likeliest first; what has a home of its own may be in a mirror too."""
        if self.home:
            homes = [HUB] if hub == HUB else [hub, HUB]
            return [f"{self.home if place == HUB else place}/{self.name}" for place in homes]
        return [f"{hub}/{REPOSITORY}/resolve/{revision}/{self.name}" for revision in REVISIONS]


# Hybrid Transformer Demucs, MIT: facebookresearch/demucs gives it away under this very name
DEMUCS = Asset(
    "hybrid_transformer/955717e8-8726e21a.th", None,
    "8726e21a993978c7ba086d3872e7608d7d5bfca646ca4aca459ffda844faa8b4",
    home="https://dl.fbaipublicfiles.com/demucs",
)  # fmt: skip


def assets(group: str = "all") -> list[Asset]:
    """The files of a group of tools.options.ASSET_GROUPS."""
    if group == "songs":
        return [DEMUCS]
    found = []
    for line in TABLE.split("\n")[1:-1]:
        name, size, sha256 = line.split()
        if group == "all" or group in _groups(name):
            found.append(Asset(name, None if size == "-" else int(size), sha256))
    return found


def _groups(name: str) -> Iterable[str]:
    if name == "rmvpe.onnx":
        return ("f0",)
    if name == "rmvpe.pt":
        return ("f0", "base", "v1", "v2", "nof0")
    if name == "hubert_base.pt":
        return ("base", "v1", "v2", "nof0")
    folder, file = name.split("/")
    return (
        {"pretrained": "v1", "pretrained_v2": "v2"}[folder] if file.startswith("f0") else "nof0",
    )


def sha256_of(blocks: Iterable[bytes]) -> str:
    """Hash of a file that comes in blocks."""
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()
