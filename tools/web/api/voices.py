"""The endpoints of the voices: see, add, share, change, merge, throw away and bring back."""

from __future__ import annotations

from typing import Any

from tools.convert.client import Session
from tools.voices.library import Voice, from_root
from tools.web.api.endpoint import (
    add_plain,
    add_with_files,
    answer,
    audio,
    file,
    number,
    textbox,
    uploaded,
)
from tools.web.voice_work import VoiceWork


class VoiceEndpoints:
    """Each public method is an endpoint of its own name."""

    def __init__(self, session: Session) -> None:
        self._work = VoiceWork(session)
        add_plain(self.list_voices, self.merge_voices, self.trash_voice, self.restore_voice)
        voice, name = textbox("voice"), textbox("name", "")
        add_with_files(self.add_voice, [file("file"), name], answer())
        add_with_files(self.extract_voice, [file("training state"), name], textbox("voice"))
        add_with_files(self.share_voice, [voice], file("zip"))
        add_with_files(
            self.edit_voice, [voice, name, textbox("info", ""), file("picture")], answer()
        )
        add_with_files(
            self.listen_to_merge,
            [voice, textbox("other voice"), number("share", 0.5)],
            audio("example"),
        )

    def list_voices(self) -> list[dict[str, Any]]:
        """List the voices: name, file, version, rate in Hz, f0, speakers, info, index, problem."""
        return [_plain(voice) for voice in self._work.library.voices()]

    def add_voice(self, file: str, name: str = "") -> dict[str, list[str]]:
        """Add a shared zip, a voice or an .index; gives the files that came, and what was refused.

        Args:
            file: the zip, .pth or .index
            name: of the voice, empty = the file's own; for an index the voice it belongs to
        """
        arrived = self._work.add(uploaded(file, "file"), name)
        return {
            "files": [from_root(path) for path in arrived.files],
            "refused": [str(problem) for problem in arrived.refused],
        }

    def extract_voice(self, file: str, name: str = "") -> str:
        """Make a voice of a training state (G_*.pth); gives its file.

        Args:
            file: the training state
            name: of the new voice, empty = the file's own
        """
        return from_root(self._work.extract(uploaded(file, "training state"), name))

    def share_voice(self, voice: str) -> str:
        """Write one zip of a voice, its index, presets and picture.

        Args:
            voice: its name or file, as `list_voices` lists it
        """
        return str(self._work.export_zip(voice))

    def edit_voice(
        self, voice: str, name: str = "", info: str = "", picture: str | None = None
    ) -> dict[str, Any]:
        """Change a voice's name, the line about it, its picture; gives its entry in the list.

        Args:
            voice: its name or file
            name: new name, empty = as it is
            info: new line about it, empty = as it is
            picture: png, jpg or webp; none = as it is
        """
        return _plain(self._work.library.voice(self._work.edit(voice, name, info, picture)))

    def merge_voices(self, first: str, second: str, share: float, name: str) -> str:
        """Blend two voices of one version and rate into a new one; gives its file.

        Args:
            first: name of a voice
            second: name of another
            share: of the first, 0 to 1
            name: of the new voice
        """
        return from_root(self._work.merge(first, second, share, name))

    def listen_to_merge(self, first: str, second: str, share: float) -> str:
        """Convert an example with the blend of two voices, without keeping the blend.

        Args:
            first: name of a voice
            second: name of another
            share: of the first, 0 to 1
        """
        return str(self._work.listen_to_merge(first, second, share))

    def trash_voice(self, voice: str) -> list[dict[str, Any]]:
        """Move a voice to the trash; gives what lies there, the newest first.

        Args:
            voice: its name or file
        """
        self._work.trash(voice)
        return self._trashed()

    def restore_voice(self, trashed: str) -> list[dict[str, Any]]:
        """Bring a voice back from the trash; gives what is left there.

        Args:
            trashed: its folder in the trash, as `trash_voice` gives it
        """
        self._work.restore(trashed)
        return self._trashed()

    def _trashed(self) -> list[dict[str, Any]]:
        return [{"folder": each.folder, "name": each.name} for each in self._work.library.trashed()]


def _plain(voice: Voice) -> dict[str, Any]:
    """A voice without a key called path, which gradio would take for a file to hand out."""
    return {
        "name": voice.name,
        "file": from_root(voice.path),
        "version": voice.header.version,
        "sample_rate": voice.header.sample_rate,
        "f0": voice.header.use_f0,
        "speakers": voice.header.num_speakers,
        "info": voice.header.info,
        "index": from_root(voice.index) if voice.index else "",
        "problem": str(voice.problem or ""),
    }
