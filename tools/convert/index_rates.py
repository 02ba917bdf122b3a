"""One recording converted with several index rates, and what can be measured of each result.

Nothing here needs a judge: the figures come from the voice's own index, from mean spectra and from
the melody.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from errors import NoFile, UserError
from infer.audio.filters import high_pass
from infer.audio.reader import load
from infer.f0 import QUICK_METHOD, SAMPLE_RATE, F0Method, load_f0_method
from infer.f0.contour import transpose
from infer.options import ConvertOptions
from tools.convert.listen import beginning
from tools.datasets.measure import mean_cepstrum, spectrum_distance_db
from tools.options import INDEX_RATES, IndexRatesOptions
from train.experiment import Experiment

if TYPE_CHECKING:
    from infer.converter import VoiceConverter

TRAINING_CLIPS = 40  # about two minutes, evenly spaced


@dataclass(frozen=True)
class Row:
    """A recording in figures, over its first minute; None = not to be measured here.

    index_rate: None = the source itself. to_index: distance of what the encoder hears from the
    nearest training features, RMS of a value. to_source, to_training: distance of the mean voiced
    spectrum from the source's, and from that of the voice's training clips, in dB. melody: median
    distance from the wanted f0, in cents. voiced: share of its voiced frames that are voiced.
    """

    path: Path
    index_rate: float | None
    to_index: float
    to_source: float | None = None
    to_training: float | None = None
    melody: float | None = None
    voiced: float | None = None

    def plain(self) -> dict[str, Any]:
        """As plain values."""
        return {**asdict(self), "path": str(self.path)}


@dataclass(frozen=True)
class _Analysis:
    to_index: float
    timbre: np.ndarray | None
    f0: np.ndarray


def compare_index_rates(
    converter: VoiceConverter,
    options: IndexRatesOptions,
    on_progress: Callable[[float], None] | None = None,
) -> list[Row]:
    """Convert options.input once for each of INDEX_RATES into the folder options.output.

    The first row is the source itself. on_progress is told the share that is done. Raises
    UserError where the voice has no index, AudioError; then no file is left.
    """
    index = options.index or converter.own_index()
    if index is None:
        raise UserError("no_index", file=options.voice)
    if not options.input.is_file():
        raise NoFile("no_file", file=options.input)
    f0_method = load_f0_method(QUICK_METHOD)
    source = _listen(converter, options.input, index, f0_method)
    training = _training_timbre(index, options.speaker)
    rows = [Row(options.input, None, source.to_index, None, _distance(source.timbre, training))]
    with ExitStack() as undo:  # stopped, or failed: half a comparison is none
        for number, rate in enumerate(INDEX_RATES):

            def on_share(share: float, number: int = number) -> None:
                if on_progress is not None:
                    on_progress((number + share) / len(INDEX_RATES))

            target = (
                options.output / f"{options.input.stem}_index{rate:.2f}.{options.format or 'wav'}"
            )
            settings = {**vars(options), "index": index, "index_rate": rate, "output": target}
            done = converter.convert_file(ConvertOptions(**settings), on_share)
            undo.callback(target.unlink, missing_ok=True)
            made = _listen(converter, target, index, f0_method)
            rows.append(
                Row(
                    target, rate, made.to_index,
                    _distance(made.timbre, source.timbre), _distance(made.timbre, training),
                    *_melody(transpose(source.f0, done.semitones), made.f0),
                )
            )  # fmt: skip
        undo.pop_all()
    return rows


def _listen(converter: VoiceConverter, path: Path, index: Path, f0_method: F0Method) -> _Analysis:
    audio = high_pass(beginning(path, SAMPLE_RATE)[0], SAMPLE_RATE)
    f0 = f0_method(audio)
    content = converter.encoder(audio)
    statistics = converter.encoder.new_statistics()
    statistics.update(content)
    is_voiced = f0[::2][: len(content)] > 0
    content = statistics.result().normalize(content)[: len(is_voiced)][is_voiced]
    distances = converter.open_index(index).nearest(content.astype(np.float32))
    to_index = float(np.sqrt(np.mean(distances**2))) if len(distances) else float("nan")
    return _Analysis(to_index, mean_cepstrum([(audio, f0)]), f0)


def _training_timbre(index: Path, speaker: int) -> np.ndarray | None:
    """Mean cepstrum of the clips that a speaker was trained on, None where they are not here."""
    experiment = Experiment(index.parent)
    speakers = experiment.speakers() if experiment.wavs_16k.is_dir() else {}
    clips = [clip for clip, number in speakers.items() if number == speaker]
    spaced = clips[:: -(-len(clips) // TRAINING_CLIPS) or 1]
    recordings = [
        (load(experiment.wav_16k(clip), SAMPLE_RATE)[0], np.load(experiment.f0_hz_file(clip)))
        for clip in spaced
        if experiment.f0_hz_file(clip).is_file()
    ]
    return mean_cepstrum(recordings)


def _distance(one: np.ndarray | None, other: np.ndarray | None) -> float | None:
    return None if one is None or other is None else spectrum_distance_db(one, other)


def _melody(wanted: np.ndarray, made: np.ndarray) -> tuple[float | None, float | None]:
    """Median error in cents, and the share of wanted voiced frames that are voiced."""
    length = min(len(wanted), len(made))
    wanted, made = wanted[:length], made[:length]
    both = (wanted > 0) & (made > 0)
    if not both.any():
        return None, None
    cents = 1200 * np.abs(np.log2(made[both] / wanted[both]))
    return float(np.median(cents)), float(both.sum() / (wanted > 0).sum())
