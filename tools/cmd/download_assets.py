"""Fetch the weights that are not shipped, or take them from a folder or .zip."""

from __future__ import annotations

import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import config
from errors import UserError, as_user_error, report_error
from options import command, parse_options, printable
from tools.machine.assets import Asset, assets, sha256_of
from tools.machine.fetch import (
    BLOCK,
    ConnectionLost,
    FetchError,
    fetch,
    open_client,
    probe,
    publish,
)
from tools.options import DownloadAssetsOptions
from tools.unzip import ZIP_FAULTS
from train.worker import Progress

SPARE_BYTES = 200_000_000  # that a disk must have left afterwards
LARGEST = 1_000_000_000  # bytes; no asset is larger
TYPICAL = 100_000_000  # bytes, where a size is not known
MIRROR = "https://hf-mirror.com"


class AssetsMissing(Exception):
    """Not everything could be fetched. reasons: why; way_out: what is left to do."""

    def __init__(self, reasons: list[UserError], way_out: str = "") -> None:
        super().__init__("\n".join([*map(str, reasons), way_out]))
        self.reasons, self.way_out = reasons, way_out


def download_assets(options: DownloadAssetsOptions) -> int:
    """Fetch or take what is missing; returns how many files came. AssetsMissing if some did not."""
    wanted = assets(options.what)
    if options.list_:
        print("\n".join(_state(asset) for asset in wanted))
        return 0
    missing = [asset for asset in wanted if not asset.path.exists()]
    if not missing:
        print(f"all {len(wanted)} files of {options.what!r} are in {config.DOWNLOADS}")
        return 0
    if options.from_ is not None:
        return take_from(options.from_, options)
    return _fetch_all(missing, options)


def _fetch_all(missing: list[Asset], options: DownloadAssetsOptions) -> int:
    hub = options.mirror.rstrip("/")
    there = sum(_part_size(asset) for asset in missing)
    total = max(there, sum(asset.size or TYPICAL for asset in missing))
    _check_space(total - there)
    reason = probe(missing[0].urls(hub)[0])
    if reason is not None:
        unreached = UserError("unreached", hub=hub, reason=reason)
        raise AssetsMissing([unreached], _by_hand(missing, options))
    failures: list[UserError] = []
    arrived = 0
    with _progress(total, there) as on_bytes, open_client() as client:
        for asset in missing:
            try:
                fetch(client, asset, hub, on_bytes)
                arrived += 1
            except FetchError as error:
                failures.append(error)
                if isinstance(error, ConnectionLost):
                    break
    if failures:
        left = [asset for asset in missing if not asset.path.exists()]
        raise AssetsMissing(failures, _by_hand(left, options))
    print(f"{arrived} files came to {config.DOWNLOADS}")
    return arrived


def take_from(source: Path, options: DownloadAssetsOptions) -> int:
    """Copy every asset found in a folder or .zip to its place, known by its SHA-256 alone.

    Returns how many came; AssetsMissing names files that look like one and are another, and what
    is still missing of options.what.
    """
    known = {asset.sha256: asset for asset in [*assets(), *assets("songs")]}
    sizes = {asset.size for asset in known.values()} - {None}
    names = {asset.path.name for asset in known.values()}
    arrived, problems = 0, []
    for name, size, opened in _files(source):
        if size > LARGEST or not (size in sizes or name.rsplit("/", 1)[-1] in names):
            continue
        try:
            with opened() as file:
                asset = known.get(sha256_of(iter(lambda: file.read(BLOCK), b"")))  # noqa: B023
        except ZIP_FAULTS as error:  # one bad file does not stop the rest
            problems.append(UserError("opened", file=name, reason=as_user_error(error)))
            continue
        if asset is None and name.rsplit("/", 1)[-1] in names:
            problems.append(UserError("not_known", name=name))
        if asset is not None and not asset.path.exists():
            _check_space(size)
            asset.part.parent.mkdir(parents=True, exist_ok=True)
            with opened() as file, asset.part.open("wb") as target:
                shutil.copyfileobj(file, target, BLOCK)
            arrived += publish(asset)
            print(f"{name} -> {asset.path}")
    left = [asset for asset in assets(options.what) if not asset.path.exists()]
    if left or problems:
        print(f"{arrived} files came from {source}")
        raise AssetsMissing(problems, _by_hand(left, options) if left else "")
    return arrived


def _files(source: Path) -> Iterator[tuple[str, int, Callable[[], IO[bytes]]]]:
    """Name, size and a way to open every file in a folder or .zip; nothing is unpacked."""
    if source.is_dir():
        for path in sorted(source.rglob("*")):
            if path.is_file():
                yield path.relative_to(source).as_posix(), path.stat().st_size, _opener(path)
    elif zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            for entry in archive.infolist():
                if not entry.is_dir() and not entry.flag_bits & 1:  # 1: encrypted
                    yield entry.filename, entry.file_size, _opener(archive, entry)
    else:
        raise UserError("folder_or_zip", file=source)


def _opener(holder: Path | zipfile.ZipFile, entry: zipfile.ZipInfo | None = None) -> Callable:
    if isinstance(holder, Path):
        return lambda: holder.open("rb")
    return lambda: holder.open(entry)


@contextmanager
def _progress(total: int, there: int) -> Iterator[Callable[[int], None]]:
    """Progress in MB; yields what is to be told of bytes."""
    count = there
    with Progress(total // 10**6, "MB", "download_assets", done=there // 10**6) as progress:

        def on_bytes(number: int) -> None:
            nonlocal count
            count += number
            progress.advance(count // 10**6 - progress.done)

        yield on_bytes


def _check_space(needed: int) -> None:
    config.DOWNLOADS.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(config.DOWNLOADS).free
    if free < needed + SPARE_BYTES:
        sizes = {"needed": needed / 1e6, "spare": SPARE_BYTES / 1e6, "free": free / 1e6}
        raise UserError("asset_space", folder=config.DOWNLOADS, **sizes)


def _part_size(asset: Asset) -> int:
    return asset.part.stat().st_size if asset.part.exists() else 0


def _state(asset: Asset) -> str:
    """One line of --list."""
    state = "missing"
    if asset.path.exists():
        there = asset.path.stat().st_size
        state = "there"
        if asset.size not in (None, there):
            state = f"there, but {there} bytes and not {asset.size}; delete it to fetch it again"
    elif part := _part_size(asset):
        state = f"{_megabytes(part)} there"
    return f"{_megabytes(asset.size):>10}  {state:<8}  {asset.path}"


def _megabytes(size: int | None) -> str:
    return "?" if size is None else f"{size / 1e6:.1f} MB"


def _by_hand(missing: list[Asset], options: DownloadAssetsOptions) -> str:
    """What to do where the hub cannot be reached."""
    lines = ["Missing:"]
    for asset in missing:
        lines.append(f"{_megabytes(asset.size):>10}  {asset.urls(options.mirror.rstrip('/'))[0]}")
        lines.append(f"{'':>10}  -> {asset.path}")
    again = DownloadAssetsOptions(what=options.what, mirror=MIRROR)
    taken = DownloadAssetsOptions(what=options.what, mirror=options.mirror, from_=Path("FOLDER"))
    lines += [
        "Ways out, each goes on where this stopped:",
        f"  another address:  {printable(command(again))}",
        "  a proxy:          set HTTPS_PROXY, then the same command",
        f"  another computer: fetch the files there, then {printable(command(taken))}",
        "                    (FOLDER may be a .zip), or put them where the arrows point",
    ]
    return "\n".join(lines)


def main(options: DownloadAssetsOptions) -> int:
    """Run the command; returns its exit status."""
    try:
        download_assets(options)
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        return 130
    except AssetsMissing as error:
        for reason in error.reasons:
            report_error(reason)
        print(f"\n{error.way_out}", file=sys.stderr)
        return 1
    except (UserError, OSError, zipfile.BadZipFile, NotImplementedError) as error:
        report_error(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(parse_options(DownloadAssetsOptions)))
