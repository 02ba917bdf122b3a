"""What the Voices tab and the endpoints do with voices; refusals are UserErrors."""

from __future__ import annotations

import itertools
from pathlib import Path

from gradio.utils import get_upload_folder

import config
from errors import UserError
from infer.options import ConvertOptions
from tools.convert.client import Request, Session
from tools.jobs.results import RESULTS, unused_name
from tools.jobs.run_command import run_command
from tools.machine.assets import sha256_of
from tools.machine.fetch import read_blocks
from tools.options import EditOptions, ExtractOptions, MergeOptions, voice_command
from tools.voices.library import Library, Trashed, from_root
from tools.voices.zips import Arrived, add_to_library, pack
from train.experiment import plain_name

TRIALS = RESULTS / "merge"  # merged voices that were only listened to
TRIALS_KEPT = 3


class VoiceWork:
    """A voice is given by its name or its path in the list, and a new one by its name."""

    def __init__(self, session: Session) -> None:
        self.library = Library()
        self._session = session

    def find(self, voice: str | None) -> Path:
        """Return the file of a voice in the list."""
        if not voice:
            raise UserError("choose_voice")
        return self.library.find(voice)

    def add(self, file: Path, name: str) -> Arrived:
        """Take in a shared zip, a voice file or an index.

        TrainingStateError: it is a training state.
        """
        return add_to_library(self.library, file, name.strip())

    def extract(self, state: Path, name: str) -> Path:
        """Make a voice of a training state (G_*.pth)."""
        voice = self._unused(name.strip() or state.stem)
        run_command(voice_command(ExtractOptions(state=state, voice=voice)))
        return voice

    def export_zip(self, voice: str | None) -> Path:
        """Write a zip of voice, index, presets and picture to results/."""
        path = self.find(voice)
        return pack(self.library, path, unused_name(RESULTS, path.stem, "zip"))

    def trash(self, voice: str | None) -> Trashed:
        """Move a voice to the trash, from where it can be brought back."""
        return self.library.trash(self.find(voice))

    def restore(self, trashed: str | None) -> Path:
        """Bring a voice back from the trash, by its folder there."""
        if not trashed:
            raise UserError("trash_empty")
        return self.library.restore(trashed)

    def edit(self, voice: str | None, name: str, info: str, picture: str | None) -> Path:
        """Change a voice's name, the line about it, its picture; what is empty stays."""
        path = self.find(voice)
        options = EditOptions(
            voice=from_root(path),
            name=name.strip(),
            info=info.strip() or None,
            picture=Path(picture) if picture else None,
        )
        run_command(voice_command(options))
        return path.with_stem(options.name or path.stem)

    def merge(self, first: str | None, second: str | None, share: float, name: str) -> Path:
        """Blend two voices into a new one; share: of the first, 0 to 1."""
        one, other = self.find(first), self.find(second)
        voice = self._unused(name)
        self._merge(one, other, share, voice)
        return voice

    def listen_to_merge(self, first: str | None, second: str | None, share: float) -> Path:
        """Convert an example with the blend of two voices, without keeping the blend."""
        one, other = self.find(first), self.find(second)
        TRIALS.mkdir(parents=True, exist_ok=True)
        for old in sorted(TRIALS.glob("*"), key=lambda path: path.stat().st_mtime)[
            : -2 * TRIALS_KEPT
        ]:
            old.unlink(missing_ok=True)
        trial = unused_name(TRIALS, f"{one.stem[:30]}-{other.stem[:30]}-{share:.2f}", "pth")
        self._merge(one, other, share, trial)
        made = unused_name(TRIALS, trial.stem, "wav")
        self._session.convert(
            ConvertOptions(voice=trial, input=config.EXAMPLE, output=made, index_rate=0.0)
        ).result()
        return made

    def speak(self, voice: str | None) -> tuple[Path, Request | None]:
        """Return where a voice says the example, and what is making that, None if it is there.

        It is kept beside uploads, by the content of the voice and the age of its index.
        """
        path = self.find(voice)
        index = self.library.voice(path).index
        built = f"{index} {index.stat().st_mtime_ns}" if index else ""
        name = sha256_of(itertools.chain(read_blocks(path), [built.encode()]))
        made = Path(get_upload_folder()) / "voices" / f"{name}.wav"
        if made.is_file():
            return made, None
        made.parent.mkdir(parents=True, exist_ok=True)
        options = ConvertOptions(voice=path, input=config.EXAMPLE, output=made)
        return made, self._session.convert(options)

    def _merge(self, first: Path, second: Path, share: float, voice: Path) -> None:
        run_command(
            voice_command(MergeOptions(first=first, second=second, voice=voice, share=share))
        )

    def _unused(self, name: str) -> Path:
        """The file of a new voice of that name. UserError: it is none, taken, or not given yet."""
        if not name.strip():
            raise UserError("name_missing")
        path = self.library.weights / f"{plain_name(name.strip())}.pth"
        if path.exists():
            raise UserError("in_weights", name=path.name)
        return path
