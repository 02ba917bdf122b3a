"""The endpoints of converting, and what a voice and a recording are."""

from __future__ import annotations

import inspect
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from infer.f0 import QUICK_METHOD, fitting_semitones
from infer.options import ConvertOptions
from options import default_of
from tools.convert.client import Session
from tools.jobs.results import new_folder, new_result
from tools.options import IndexRatesOptions
from tools.voices import choices, presets
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
from tools.web.tabs.convert_settings import OPTIONS, speakers_of


class ConvertEndpoints:
    """Each public method is an endpoint of its own name."""

    def __init__(self, session: Session) -> None:
        self._session = session
        add_plain(
            self.voices, self.describe_voice, self.presets, self.save_preset, self.delete_preset
        )
        recording, voice = audio("recording"), textbox("voice", "demo")
        add_with_files(self.convert, [recording, voice, *_settings()], file("result"))
        made = gr.File(label="results", file_count="multiple", visible=False)
        add_with_files(
            self.compare_index_rates, [recording, voice, number("semitones", 0)], [answer(), made]
        )
        add_with_files(self.listen, [recording], answer())
        add_with_files(self.suggest_semitones, [recording, voice, number("speaker", 0)], answer())
        add_with_files(
            self.match_loudness, [recording, audio("other")], [file("recording"), file("other")]
        )

    def voices(self) -> list[dict[str, str]]:
        """List the voices: name and file of each."""
        return [{"name": name, "file": path} for name, path in choices.voices()]

    def describe_voice(self, voice: str) -> dict[str, Any]:
        """Tell version, sample rate in Hz, speakers, median pitch in Hz and index of a voice.

        Args:
            voice: its name or file, as `voices` lists it
        """
        facts = self._session.load(choices.voice_path(voice)).result()
        return {**facts, "speakers": speakers_of(facts)}

    def convert(
        self,
        recording: str,
        voice: str,
        semitones: float,
        f0_method: str,
        index_rate: float,
        protect: float,
        rms_mix_rate: float,
        resample_rate: int,
        speaker: int,
        format: str,
        device: str,
        seed: int,
    ) -> str:
        """Convert a recording to another voice; gives the new audio file.

        Args:
            recording: audio or video file
            voice: name of a voice, as `voices` lists it
            semitones: shift of the melody, 12 = one octave up
            f0_method: how the melody is found
            index_rate: 0..1, share of the voice's own pronunciation
            protect: 0..0.5, lower keeps more of the recording's consonants
            rms_mix_rate: 0 follows the recording's loudness, 1 the voice's
            resample_rate: sample rate of the file in Hz, 0 = the voice's own
            speaker: number of the voice's speaker
            format: wav, flac, mp3, m4a, ogg or opus
            device: auto, cpu, cuda:0, mps
            seed: same seed, same file
        """
        path = choices.voice_path(voice)
        options = ConvertOptions(  # checks all values before they become part of a file name
            voice=path, input=uploaded(recording), output=Path("unnamed"), format=format,
            semitones=semitones, f0_method=f0_method, index_rate=index_rate, protect=protect,
            rms_mix_rate=rms_mix_rate, resample_rate=int(resample_rate), speaker=int(speaker),
            device=device, seed=int(seed),
        )  # fmt: skip
        output = new_result(Path(recording), path, format or "wav")
        self._session.convert(replace(options, output=output)).result()
        return str(output)

    def compare_index_rates(
        self, recording: str, voice: str, semitones: float
    ) -> tuple[list[dict[str, Any]], list[str]]:
        """Convert with the index rates 0, 0.25, 0.5, 0.75 and 1; gives figures, then the files.

        The figures of the recording itself come first.

        Args:
            recording: audio or video file
            voice: name of a voice with an index
            semitones: shift of the melody, 12 = one octave up
        """
        path = choices.voice_path(voice)
        folder = new_folder(path)
        try:
            options = IndexRatesOptions(
                voice=path, input=uploaded(recording), output=folder, semitones=semitones
            )
            rows = self._session.index_rates(options).result()["rows"]
        except ValueError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        made = [row["path"] for row in rows[1:]]
        # gradio would take a key called path for a file to hand out
        figures = [
            {"file": Path(row["path"]).name, **{k: row[k] for k in row if k != "path"}}
            for row in rows
        ]
        return figures, made

    def listen(self, recording: str) -> dict[str, Any]:
        """Measure the melody and the loudness of a recording's first minute.

        Args:
            recording: audio or video file
        """
        return self._session.listen(uploaded(recording), QUICK_METHOD).result()

    def suggest_semitones(self, recording: str, voice: str, speaker: int) -> int | None:
        """Tell the shift that brings a recording to the pitch of a voice, null if unknown.

        Args:
            recording: audio or video file
            voice: name of a voice
            speaker: number of the voice's speaker
        """
        facts = self._session.load(choices.voice_path(voice)).result()
        measured = self.listen(recording)["f0_median"]
        wanted = facts["f0_median"].get(str(int(speaker)), 0)
        return fitting_semitones(measured, wanted) if measured and wanted else None

    def match_loudness(self, recording: str, other: str) -> tuple[str, str]:
        """Give copies of two recordings that are as loud as the quieter one.

        Args:
            recording: audio or video file
            other: audio or video file
        """
        folder = Path(tempfile.mkdtemp(prefix="rvc-webui-compare-"))
        targets = [folder / "recording.wav", folder / "other.wav"]
        self._session.match([uploaded(recording), uploaded(other)], targets).result()
        return str(targets[0]), str(targets[1])

    def presets(self, voice: str) -> dict[str, Any]:
        """Give the settings that are kept for a voice, by name.

        Args:
            voice: name of a voice
        """
        return presets.read_presets(choices.voice_path(voice))

    def save_preset(self, voice: str, name: str, settings: dict[str, Any]) -> list[str]:
        """Keep settings for a voice; gives the names that it has now.

        Args:
            voice: name of a voice
            name: of the preset
            settings: values by option name, such as {"semitones": 3}
        """
        presets.save_preset(choices.voice_path(voice), name, settings)
        return list(self.presets(voice))

    def delete_preset(self, voice: str, name: str) -> list[str]:
        """Forget a preset; gives the names that are left.

        Args:
            voice: name of a voice
            name: of the preset
        """
        presets.delete_preset(choices.voice_path(voice), name)
        return list(self.presets(voice))


def _settings() -> list[gr.components.Component]:
    """The settings of `convert` in its order; semitones are 0, where the command finds its own."""
    widgets: list[gr.components.Component] = []
    for name in list(inspect.signature(ConvertEndpoints.convert).parameters)[3:]:
        default = {"format": "wav", "semitones": 0.0}.get(name, default_of(OPTIONS[name]))
        kind = gr.Textbox if isinstance(default, str) else gr.Number
        widgets.append(kind(default, label=name, visible=False))
    return widgets
