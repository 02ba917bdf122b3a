"""The settings of the Convert tab: how a voice converts, a suggestion for it, and its presets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import gradio as gr

from infer.f0 import FITTING_SEMITONES, fitting_semitones, outside
from infer.options import AUDIO_FORMATS, ConvertOptions
from options import default_of
from tools.datasets.report import NOISY_SNR
from tools.jobs.takes import BY_HAND
from tools.machine import hardware
from tools.voices import choices
from tools.voices.presets import delete_preset, read_presets, save_preset
from tools.web.errors import chosen_voice, error_html, page_error
from tools.web.frame import PRIVATE, Frame
from tools.web.i18n import sentences, translate

OPTIONS = {item.name: item for item in fields(ConvertOptions)}
NAMES = (  # of the settings, in the order in which their widgets stand
    "semitones", "f0_method", "index", "index_rate", "protect", "rms_mix_rate", "resample_rate",
    "format", "denoise", "speaker", "device", "seed",
)  # fmt: skip
RATES = (16000, 22050, 24000, 32000, 40000, 44100, 48000)  # Hz
SPEECH, SINGING, _ = PITCHES = ("speech", "singing", BY_HAND)  # ways to the shift
UNHEARD_SEMITONES = 3  # beyond what a voice was trained on, that are worth a word


class SettingsPanel:
    """Widgets whose values, in the order of NAMES, become ConvertOptions."""

    def __init__(self, frame: Frame) -> None:
        self._text = frame.text
        self._page = frame.page
        self.pitch = gr.Radio(
            [(frame.text(f"pitch_{way}"), way) for way in PITCHES], value=SPEECH,
            label=frame.text("pitch"), elem_classes="chips",
        )  # fmt: skip
        self.widgets: dict[str, gr.components.Component] = {
            "semitones": self._slider("semitones", -FITTING_SEMITONES, FITTING_SEMITONES, 1)
        }
        with gr.Row(elem_classes="inline") as self.advice:
            self.fitting = gr.HTML(translate("suggestion_empty"), elem_classes="quiet")
            self.song = gr.Button(frame.text("pitch_song"), size="sm", scale=0, min_width=140)
        self.automatic = gr.State(SPEECH)  # the way of before, where the number was set by hand
        # in the browser: what asks from now on knows it
        self.semitones.input(None, outputs=self.pitch, js=f"() => '{BY_HAND}'", **PRIVATE)
        self.pitch.input(
            lambda way, before: before if way == BY_HAND else way,
            [self.pitch, self.automatic], self.automatic, **PRIVATE,
        )  # fmt: skip

    @property
    def values(self) -> list[gr.components.Component]:
        """Return the widgets in the order of NAMES."""
        return [self.widgets[name] for name in NAMES]

    @property
    def semitones(self) -> gr.components.Component:
        """Return the shift of the melody."""
        return self.widgets["semitones"]

    def follow(self, voice: gr.components.Component) -> None:
        """Let presets belong to the voice that is chosen."""
        self.save.click(
            self.save_preset, [voice, self.preset, *self.values], self.preset, **PRIVATE
        )
        self.delete.click(self.delete_preset, [voice, self.preset], self.preset, **PRIVATE)
        self.preset.input(
            self.apply_preset, [voice, self.preset], [*self.values, self.pitch], **PRIVATE
        )

    def build_more(self) -> None:
        """Lay out what most need not see, folded."""
        with gr.Accordion(self._text("more_settings"), open=False):
            self._build_details()
        with gr.Accordion(self._text("presets"), open=False):
            self._build_presets()

    def _build_details(self) -> None:
        text, widgets = self._text, self.widgets
        methods = OPTIONS["f0_method"]
        built = default_of(methods)
        widgets["f0_method"] = self._dropdown("f0_method", methods.metadata["choices"], built)
        self._page.load(  # since the start, weights may have come
            lambda chosen: default_of(methods) if chosen == built else gr.skip(),
            widgets["f0_method"], widgets["f0_method"], **PRIVATE,
        )  # fmt: skip
        own = (text("index_own"), "")
        widgets["index"] = self._dropdown("index", [own, *choices.indexes()], "")
        for name in ("index_rate", "protect", "rms_mix_rate"):
            widgets[name] = self._slider(name, *OPTIONS[name].metadata["within"], 0.01)
        rates = [(text("rate_own"), 0), *((f"{rate / 1000:g} kHz", rate) for rate in RATES)]
        widgets["resample_rate"] = self._dropdown("resample_rate", rates, 0)
        widgets["format"] = self._dropdown("format", AUDIO_FORMATS[1:], "wav")
        widgets["denoise"] = gr.Checkbox(
            default_of(OPTIONS["denoise"]), label=text("denoise"), info=text("denoise_info")
        )
        widgets["speaker"] = self._dropdown("speaker", [("0", 0)], 0, visible=False)
        widgets["device"] = self._dropdown("device", ["auto", "cpu"], default_of(OPTIONS["device"]))
        widgets["seed"] = gr.Number(
            default_of(OPTIONS["seed"]),
            label=text("seed"), info=text("seed_info"), precision=0, minimum=0,
        )  # fmt: skip

    def _build_presets(self) -> None:
        text = self._text
        with gr.Row(elem_classes="inline"):
            self.preset = gr.Dropdown(
                [], label=text("preset"), info=text("preset_info"), allow_custom_value=True, scale=3
            )
            self.save = gr.Button(text("preset_save"), size="sm", scale=1, min_width=80)
            self.delete = gr.Button(text("preset_delete"), size="sm", scale=1, min_width=80)

    def _slider(self, name: str, lowest: float, highest: float, step: float) -> gr.Slider:
        label, info = self._text(name), self._text(f"{name}_info")
        default = default_of(OPTIONS[name]) or 0.0  # the page itself finds the automatic shift
        return gr.Slider(lowest, highest, default, step=step, label=label, info=info)

    def _dropdown(
        self, name: str, offered: Sequence[Any], value: Any, visible: bool = True
    ) -> gr.Dropdown:
        label, info = self._text(name), self._text(f"{name}_info")
        return gr.Dropdown(list(offered), value=value, label=label, info=info, visible=visible)

    def fit(self, facts: dict[str, Any] | None, voice: str | None) -> list[Any]:
        """Return updates of index, speaker, device and presets for a voice.

        facts: what the conversion process said of it, None if it could not be read.
        """
        own = (self._text("index_own"), "")
        speakers = speakers_of(facts) if facts else [0]
        devices = hardware.with_names(["auto", *(facts["devices"] if facts else ["cpu"])])
        try:
            names = list(read_presets(Path(voice))) if voice else []
        except ValueError as error:
            gr.Warning(error_html(error))
            names = []
        return [
            gr.update(choices=[own, *choices.indexes()], value=""),
            gr.update(
                choices=[(str(number), number) for number in speakers],
                value=speakers[0],
                visible=len(speakers) > 1,
            ),
            gr.update(choices=devices),
            gr.update(choices=names, value=None),
        ]

    @property
    def fitted(self) -> list[gr.components.Component]:
        """Return what `fit` updates."""
        return [self.widgets["index"], self.widgets["speaker"], self.widgets["device"], self.preset]

    def fit_pitch(
        self,
        facts: dict[str, Any] | None,
        measured: dict[str, Any] | None,
        speaker: int,
        way: str,
    ) -> tuple[str, Any]:
        """Set the shift that brings the recording to the voice, unless it was set by hand.

        way: of PITCHES. Returns what is said of it, and of the recording's noise, and the slider's
        update.
        """
        said, shift = self._fitted(facts, measured, speaker, way)
        if measured and measured["snr"] < NOISY_SNR:
            noisy = translate("suggestion_denoise", snr=round(measured["snr"]))
            said = sentences(said, noisy)
        return said, shift

    def _fitted(
        self,
        facts: dict[str, Any] | None,
        measured: dict[str, Any] | None,
        speaker: int,
        way: str,
    ) -> tuple[str, Any]:
        source_hz = measured["f0_median"] if measured else 0
        voice_hz = facts["f0_median"].get(str(speaker), 0) if facts else 0
        if measured and not source_hz:
            return translate("suggestion_no_pitch"), gr.skip()
        if not source_hz:
            return translate("suggestion_empty"), gr.skip()
        if not voice_hz:
            return translate("suggestion_unknown", source=round(source_hz)), gr.skip()
        ranges = measured["f0_range"], facts["f0_range"].get(str(speaker))
        shift = fitting_semitones(source_hz, voice_hz, way == SINGING, *ranges)
        values = {"source": round(source_hz), "voice": round(voice_hz), "shift": f"{shift:+d}"}
        said = translate(f"suggestion_{way if way != BY_HAND else 'by_hand'}", **values)
        if ranges[1] and max(outside(*ranges, shift)) > UNHEARD_SEMITONES:
            low, high = (round(hz * 2 ** (shift / 12)) for hz in ranges[0])
            least, most = map(round, ranges[1])
            strained = translate("suggestion_outside", low=low, high=high, least=least, most=most)
            said = sentences(said, strained)
        return said, gr.skip() if way == BY_HAND else shift

    def save_preset(self, voice: str | None, name: str | None, *values: Any) -> dict[str, Any]:
        """Keep the settings as they are under the name that was typed."""
        if not voice or not (name or "").strip():
            raise gr.Error(translate("preset_needs_name"), print_exception=False)
        path = chosen_voice(voice)
        try:
            save_preset(path, name, dict(zip(NAMES, values, strict=True)))
            known = list(read_presets(path))
        except ValueError as error:
            raise page_error(error) from error
        gr.Info(translate("preset_saved"))
        return gr.update(choices=known, value=" ".join(name.split()))

    def delete_preset(self, voice: str | None, name: str | None) -> dict[str, Any]:
        """Forget the preset that is chosen."""
        if not voice or not name:
            raise gr.Error(translate("preset_choose"), print_exception=False)
        path = chosen_voice(voice)
        try:
            delete_preset(path, name)
            return gr.update(choices=list(read_presets(path)), value=None)
        except ValueError as error:
            raise page_error(error) from error

    def apply_preset(self, voice: str | None, name: str | None) -> list[Any]:
        """Set the widgets as a preset says; a name that is only being typed changes nothing."""
        try:
            preset = read_presets(choices.voice_path(voice)).get(name, {}) if voice else {}
        except ValueError as error:
            raise page_error(error) from error
        values = [preset[name] if name in preset else gr.skip() for name in NAMES]
        return [*values, BY_HAND if "semitones" in preset else gr.skip()]


def options_of(
    values: Sequence[Any], voice: Path, source: Path, output: Path, **more: Any
) -> ConvertOptions:
    """Return the options that the widgets' values (in the order of NAMES) stand for. ValueError.

    more: options that have no widget.
    """
    settings = dict(zip(NAMES, values, strict=True))
    settings["index"] = Path(settings["index"]) if settings["index"] else None
    del settings["format"]  # stands in the output's name
    for name in ("resample_rate", "speaker", "seed"):
        settings[name] = int(settings[name] or 0)
    return ConvertOptions(voice=voice, input=source, output=output, **settings, **more)


def speakers_of(facts: dict[str, Any]) -> list[int]:
    """Return the numbers of a voice's speakers: those it was trained on, if it says."""
    return sorted(int(number) for number in facts["f0_median"]) or list(
        range(facts["num_speakers"])
    )
