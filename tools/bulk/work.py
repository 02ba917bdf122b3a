"""What a bulk worker does with one recording; its models are loaded once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from config import pick_device
from infer.audio.reader import load
from infer.audio.writer import result_suffix
from infer.content import load_encoder
from infer.converter import VoiceConverter
from infer.f0 import SAMPLE_RATE, load_f0_method
from tools.bulk.options import BulkConvertOptions, BulkF0Options, BulkFeaturesOptions, BulkOptions
from train.extract_f0 import save_array

Work = Callable[[Path, Path], float]  # source, target -> seconds of audio; the target comes whole


def open_work(options: BulkOptions) -> Work:
    """Load what the work needs. NoFile, CheckpointError, UserError."""
    return OPENS[options.ACTION](options)


def _convert(options: BulkConvertOptions) -> Work:
    converter = VoiceConverter(options.voice, options.device)

    def convert(source: Path, target: Path) -> float:
        return converter.convert_file(replace(options, input=source, output=target)).audio_seconds

    return convert


def _extract_f0(options: BulkF0Options) -> Work:
    method = load_f0_method(options.method, str(pick_device(options.device)))
    return _saves(lambda audio: method(audio).astype(np.float64))


def _extract_features(options: BulkFeaturesOptions) -> Work:
    encoder = load_encoder(options.encoder, pick_device(options.device))

    def extract(audio: np.ndarray) -> np.ndarray:
        """Normalise each recording by itself, as it is when it is converted."""
        content = encoder(audio)
        statistics = encoder.new_statistics()
        statistics.update(content)
        return statistics.result().normalize(content).astype(np.float32)

    return _saves(extract)


def _saves(extract: Callable[[np.ndarray], np.ndarray]) -> Work:
    """Return the work that saves what is extracted from 16 kHz audio."""

    def save(source: Path, target: Path) -> float:
        audio, _ = load(source, SAMPLE_RATE)
        found = extract(audio)
        target.parent.mkdir(parents=True, exist_ok=True)
        save_array(target, found)
        return len(audio) / SAMPLE_RATE

    return save


OPENS: dict[str, Callable[..., Work]] = {
    "convert": _convert,
    "extract_f0": _extract_f0,
    "extract_features": _extract_features,
}


def suffix_of(options: BulkOptions, source: Path) -> str:
    """Return how the result's name ends."""
    if not isinstance(options, BulkConvertOptions):
        return ".npy"
    return result_suffix(source, options.format)
