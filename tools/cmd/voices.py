"""Voices from the terminal: list, show, extract, merge, share, edit, trash, restore."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from infer.voice.header import read_header
from options import parse_options
from tools.cmd.terminal import exit_code
from tools.options import (
    VOICE_ACTIONS,
    EditOptions,
    ExportOptions,
    ExtractOptions,
    ListOptions,
    MergeOptions,
    PackOptions,
    RestoreOptions,
    ShowOptions,
    TrashOptions,
    UnpackOptions,
)
from tools.voices.library import Library, LibraryError, Voice
from tools.voices.zips import add_to_library, pack

SHOWN = (
    "version", "sample_rate", "vocoder", "content_encoder", "content_dim", "use_f0",
    "num_speakers", "info",
)  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Do what the first word says; returns the exit code."""
    words = sys.argv[1:] if argv is None else argv
    action, rest = (words[0], words[1:]) if words else ("", [])
    if action not in VOICE_ACTIONS:
        usage = f"python -m tools.cmd.voices {'|'.join(VOICE_ACTIONS)} ..."
        print(f"usage: {usage}\n  --help after an action tells what it takes", file=sys.stderr)
        return 0 if action in ("-h", "--help") else 2
    options = parse_options(VOICE_ACTIONS[action], rest)
    return exit_code(lambda: DO[action](options))


def _list(options: ListOptions) -> None:
    library = Library()
    print(f"{'name':28} {'version':8} {'kHz':>4} {'f0':3} {'speakers':>8} {'MB':>6}  index, info")
    for voice in library.voices():
        print(_line(voice))
    for entry in library.trashed():
        print(f"in the trash: {entry.name} ({entry.folder})")


def _line(voice: Voice) -> str:
    header = voice.header
    if voice.problem:
        return f"{voice.name:28} {voice.problem}"
    shown = voice.index.name if voice.index else "no index"
    return (
        f"{voice.name:28} {header.version:8} {header.sample_rate / 1000:4g} "
        f"{'yes' if header.use_f0 else 'no':3} {header.num_speakers:8} {voice.size / 1e6:6.1f}  "
        f"{shown}, {header.info}"
    )


def _show(options: ShowOptions) -> None:
    header = read_header(options.file)
    print(f"{options.file}: {header.kind}")
    for name in SHOWN:
        if value := getattr(header, name):
            print(f"  {name}: {value}")
    for speaker, hz in sorted(header.f0_median.items()):
        whose = f" of speaker {speaker}" if len(header.f0_median) > 1 else ""
        print(f"  pitch{whose}: half of its speech is below {hz:.0f} Hz, half above")
        if pair := header.f0_range.get(speaker):
            print(f"  range{whose}: nine tenths of it from {pair[0]:.0f} to {pair[1]:.0f} Hz")
        else:
            print(f"  range{whose}: not noted; voices that are trained now tell it")
    for name, value in header.noted.items():
        if name not in SHOWN:
            print(f"  {name}: {value}")
    if header.problem:
        raise LibraryError("unusable", file=options.file, reason=header.problem)


def _extract(options: ExtractOptions) -> None:
    from infer.voice.checkpoint import save_voice_model
    from infer.voice.extract import extract_voice

    target = _free(options.voice)
    model = extract_voice(options.state, options.info)
    save_voice_model(target, model)
    kind = f"{model.version}, {model.sample_rate} Hz, {'with' if model.use_f0 else 'without'} f0"
    print(f"{target}: {kind}, {model.params['num_speakers']} speakers")


def _merge(options: MergeOptions) -> None:
    from infer.voice.checkpoint import load_voice_model, save_voice_model
    from infer.voice.merge import merge_voices

    target = _free(options.voice)
    first, second = load_voice_model(options.first), load_voice_model(options.second)
    blend = f"{options.share:.0%} {options.first.stem}, {1 - options.share:.0%} "
    info = options.info or f"{blend}{options.second.stem}"
    save_voice_model(target, merge_voices(first, second, options.share, info))
    print(f"{target}: {info}")


def _pack(options: PackOptions) -> None:
    library = Library()
    if options.output.suffix.lower() != ".zip":
        raise LibraryError("suffix", file=options.output, suffix=".zip")
    print(pack(library, library.find(options.voice, anywhere=True), options.output))


def _export(options: ExportOptions) -> None:
    from tools.convert.export import export

    export(Library().find(options.voice), options.output)
    print(options.output)


def _unpack(options: UnpackOptions) -> None:
    arrived = add_to_library(Library(), options.input, options.name, options.replace)
    for path in arrived.files:
        print(path)
    if arrived.refused:
        raise LibraryError("not_added", problems=arrived.refused)


def _edit(options: EditOptions) -> None:
    library = Library()
    path = library.find(options.voice, anywhere=True)
    if options.picture is not None:
        library.set_picture(path, options.picture)
    if options.info is not None:
        from infer.voice.checkpoint import load_voice_model, save_voice_model

        library.check_own(path)
        save_voice_model(path, replace(load_voice_model(path), info=options.info))
    if options.name:
        path = library.rename(path, options.name)
    print(_line(library.voice(path)))


def _trash(options: TrashOptions) -> None:
    library = Library()
    entry = library.trash(library.find(options.voice, anywhere=True))
    print(f"{entry.name} is in the trash; bring it back with: restore --voice {entry.folder}")


def _restore(options: RestoreOptions) -> None:
    library = Library()
    known = [each for each in library.trashed() if options.voice in (each.name, each.folder)]
    if not known:
        raise LibraryError("not_in_trash", name=options.voice)
    print(library.restore(known[0].folder))


def _free(path: Path) -> Path:
    """A path for a new voice; LibraryError if it is taken or none."""
    if path.suffix != ".pth":
        raise LibraryError("suffix", file=path, suffix=".pth")
    if path.exists():
        raise LibraryError("exists", name=path)
    return path


DO: dict[str, Callable[[Any], None]] = {
    "list": _list,
    "show": _show,
    "extract": _extract,
    "merge": _merge,
    "pack": _pack,
    "export": _export,
    "unpack": _unpack,
    "edit": _edit,
    "trash": _trash,
    "restore": _restore,
}

if __name__ == "__main__":
    sys.exit(main())
