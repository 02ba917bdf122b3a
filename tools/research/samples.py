"""A page to listen to: each source beside its conversion by each voice."""

from __future__ import annotations

import html
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np

import config
from config import replacing
from infer.audio.reader import load
from infer.audio.writer import AudioWriter
from infer.converter import VoiceConverter
from infer.f0 import SAMPLE_RATE, load_f0_method
from infer.f0.contour import median_f0
from infer.options import ConvertOptions
from infer.voice.header import read_header
from options import Options, option, parse_options
from tools.cmd.terminal import exit_code
from train.recordings import find_recordings

MOST_BYTES = 4_000_000  # of the whole page: it lies in the repository
SECONDS = 12.0  # of a target's recording
STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem }
table { border-collapse: collapse; display: block; overflow-x: auto }
th, td { border-bottom: 1px solid color-mix(in srgb, currentColor 20%, transparent);
  padding: .5rem .75rem; text-align: left }
audio { width: 15rem }
"""


@dataclass(frozen=True, kw_only=True)
class SamplesOptions(Options):
    """Convert some recordings by some voices and write a page that plays them side by side."""

    MODULE = "tools.research.samples"

    voices: Path = option("voice file, or a folder of them", config.LITE / "demo.pth")
    sources: Path = option("folder of recordings to convert", config.ASSETS / "examples")
    targets: Path | None = option(
        "folder of recordings named as the voices they are of, or one recording of all", None
    )
    output: Path = option("folder to write", config.ROOT / "docs" / "samples")


@dataclass(frozen=True)
class Voice:
    """A voice file, and how it really speaks if that is known."""

    path: Path
    target: Path | None
    info: str  # what its file says of its training

    @property
    def name(self) -> str:
        return self.path.stem


def samples(options: SamplesOptions) -> Path:
    """Write index.html and its mp3 files; nothing if one fails. Returns the page.

    Each source is brought to the median f0 of the target's recording, else to the one that the
    voice tells. Raises ValueError or OSError.
    """
    voices = _find_voices(options.voices, options.targets)
    sources = find_recordings(options.sources, leave_out=options.output.resolve())
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for source in sources:
            _encode(source, folder / f"{source.stem}.mp3")
        for voice in voices:
            if voice.target:
                _encode(voice.target, folder / f"{voice.name}-target.mp3", SECONDS)
            _convert(voice, sources, folder)
        (folder / "index.html").write_text(_page(voices, sources), encoding="utf-8")
        made = sorted(folder.iterdir())
        size = sum(path.stat().st_size for path in made)
        if size > MOST_BYTES:
            raise ValueError(
                f"the page takes {size / 1e6:.1f} MB, at most {MOST_BYTES / 1e6:g} are allowed; "
                "give fewer or shorter sources"
            )
        options.output.mkdir(parents=True, exist_ok=True)
        for path in made:
            with replacing(options.output / path.name) as part:
                part.write_bytes(path.read_bytes())
    return options.output / "index.html"


def _find_voices(voices: Path, targets: Path | None) -> list[Voice]:
    files = [voices] if voices.is_file() else sorted(voices.glob("*.pth"))
    if not files:
        raise FileNotFoundError(f"{voices} holds no voice file (.pth)")
    spoken: dict[str, Path] = {}
    if targets and targets.is_dir():
        spoken = {path.stem: path for path in find_recordings(targets, leave_out=targets / "none")}
    of_all = targets if targets and targets.is_file() else None
    return [
        Voice(file, of_all or spoken.get(file.stem), read_header(file).info)
        for file in sorted(files, key=_by_numbers)
    ]


def _by_numbers(file: Path) -> list[tuple[int, str]]:
    """The key of an order in which base-900 comes before base-10000."""
    return [(int(part or 0), "") if part.isdecimal() else (0, part)
            for part in re.split(r"(\d+)", file.stem)]  # fmt: skip


def _encode(source: Path, output: Path, seconds: float | None = None) -> None:
    audio, rate = load(source)
    with AudioWriter(output, rate) as writer:
        writer.write(audio[: round(seconds * rate)] if seconds else audio)


def _convert(voice: Voice, sources: list[Path], folder: Path) -> None:
    converter, hear = VoiceConverter(voice.path), load_f0_method("swift")

    def median(path: Path) -> float:
        return median_f0(hear(load(path, SAMPLE_RATE)[0]))

    wanted = median(voice.target) if voice.target else converter.model.f0_median.get(0)
    for source in sources:
        found = median(source)
        shift = 12 * float(np.log2(wanted / found)) if wanted and found else 0.0
        output = folder / f"{source.stem}-{voice.name}.mp3"
        converter.convert_file(
            ConvertOptions(voice=voice.path, input=source, output=output, semitones=round(shift, 2))
        )
        print(f"{source.name}: {voice.name}, {shift:+.1f} semitones", flush=True)


def _page(voices: list[Voice], sources: list[Path]) -> str:
    heads = "".join(
        f"<th>{html.escape(voice.name)}<br><small>{html.escape(voice.info)}</small></th>"
        for voice in voices
    )
    spoken = "".join(
        f"<td>{_player(f'{voice.name}-target.mp3') if voice.target else ''}</td>"
        for voice in voices
    )
    rows = [f"<tr><th>the voice itself</th><td></td>{spoken}</tr>"]
    for source in sources:
        made = "".join(f"<td>{_player(f'{source.stem}-{voice.name}.mp3')}</td>" for voice in voices)
        name = html.escape(source.stem)
        rows.append(f"<tr><th>{name}</th><td>{_player(f'{source.stem}.mp3')}</td>{made}</tr>")
    table = "\n".join(rows)
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>RVC WebUI: samples</title>
<style>{STYLE}</style>
<h1>Samples</h1>
<p>Left the recording, right the same words in each voice. Made by <code>python -m
{SamplesOptions.MODULE}</code>. Whose the recordings and the voices are, and what may be done with
them: <a href="../../NOTICE.md">NOTICE.md</a>; what was made from them has the same licences.</p>
<p>No voice is a real person's: such voices are trained to measure them
(<a href="../evaluation.md">evaluation.md</a>), and not published, as nobody was asked for it.</p>
<table>
<tr><th></th><th>source</th>{heads}</tr>
{table}
</table>
</html>
"""


def _player(file: str) -> str:
    return f'<audio controls preload="none" src="{quote(file)}"></audio>'


def main(argv: list[str] | None = None) -> int:
    """Write the page that the command line asks for; returns the exit code."""
    options = parse_options(SamplesOptions, argv)
    return exit_code(lambda: print(samples(options)))


if __name__ == "__main__":
    sys.exit(main())
