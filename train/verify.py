"""Worker 6: proves that the voice and its index work, by using them."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import config
from infer.converter import VoiceConverter
from infer.options import ConvertOptions
from infer.retrieval import Retrieval
from train.experiment import Experiment
from train.options import VerifyOptions, parse_options
from train.worker import Progress, WorkerError, run_worker

logger = logging.getLogger(__name__)


def verify(options: VerifyOptions) -> Path:
    """Convert one clip with the voice and its index; returns the index that conversion finds.

    Raises UserError naming the file that does not work and what makes it anew.
    """
    experiment = Experiment(options.experiment)
    voice = options.voice or config.WEIGHTS / f"{experiment.name}.pth"
    clips = experiment.clips()
    if not clips:
        raise WorkerError("no_clips", folder=experiment.root)
    indexes = experiment.indexes()
    if not indexes:
        raise WorkerError("no_index_yet", folder=experiment.root)
    if not voice.is_file():
        raise WorkerError("no_voice_yet", path=voice)
    with Progress(3, "checks", "verify") as progress:
        converter = VoiceConverter(voice, options.device)
        progress.advance(note=f"{voice.name} loads")
        num_vectors = len(Retrieval(indexes[0], converter.params.content_dim))
        progress.advance(note=f"{indexes[0].name} opens")
        with tempfile.TemporaryDirectory() as folder:
            conversion = converter.convert_file(
                ConvertOptions(
                    voice=voice,
                    input=experiment.wav_16k(clips[0]),
                    output=Path(folder) / "clip.wav",
                    index=indexes[0],
                )
            )
        progress.advance(note="a clip converts")
    logger.info(
        "%s and %s work: %.1f s converted, %d vectors searched",
        voice, indexes[0], conversion.audio_seconds, num_vectors,
    )  # fmt: skip
    return indexes[0]


if __name__ == "__main__":
    run_worker(verify, parse_options(VerifyOptions))
