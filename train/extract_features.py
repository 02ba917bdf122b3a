"""Worker 3: 16 kHz clips -> content features, normalised per speaker."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from itertools import groupby

import numpy as np
import soundfile
import soxr
import torch

import config
from config import replacing
from infer.content import ContentEncoder, content_of_clips, load_encoder
from infer.content.statistics import Statistics
from infer.f0 import F0_RATE, SAMPLE_RATE
from infer.threads import fit_threads
from train.clip_batches import clip_batches
from train.experiment import Experiment
from train.filelist import silent_clip
from train.neighbours import Neighbours
from train.options import ExtractFeaturesOptions, parse_options
from train.recipes import recipe
from train.worker import Progress, WorkerError, run_worker

SILENCE_SECONDS = 3
STATISTICS_CLIPS = 40  # clips of a speaker (about 2 minutes) that its normalisation is taken from
SPEEDS = (0.84, 1.19)  # altered versions are played slower or faster: other throat, other pitch
SPEED_GAP = 0.05  # ... but never so close to 1 that nothing changes
RETRIEVED_FROM = 2  # first version that is mixed with its neighbours in the speaker's other clips
RETRIEVED_RATES = (0.3, 1.0)  # index rates of such a mixture
EQUALIZER_HZ = (60, 120, 250, 500, 1000, 2000, 4000, 8000)
EQUALIZER_DB = 4.0  # standard deviation of an altered version's gain at each of them


def extract_features(options: ExtractFeaturesOptions) -> int:
    """Write the content features of every clip that lacks them; returns how many clips were done.

    Altered versions (the clip at another speed and through an equalizer, its features stretched
    back) teach the synthesizer to take the timbre from the speaker alone (after NANSY,
    arXiv:2110.14513). Each is normalised by itself, as a short recording is when it is converted.
    The second and later ones are also mixed with the speaker's other clips, as retrieval will.
    """
    experiment = Experiment(options.experiment)
    groups = experiment.read_config()
    way, model = recipe(groups["version"]), groups["model"]
    speakers = experiment.speakers()
    if not speakers:
        raise WorkerError("no_clips", folder=experiment.root)
    device = config.pick_device(options.device)
    encoder = load_encoder(model["content_encoder"], device)
    versions = range(options.perturbations or encoder.perturbations)
    todo = [
        (clip, version)
        for version in versions
        for clip in sorted(speakers, key=speakers.__getitem__)
        if not experiment.content_file(clip, model["content_dim"], version).exists()
    ]
    total = len(speakers) * len(versions)

    def whole(left: int) -> int:
        """Say how many clips that many files are, with as many versions of each."""
        return (total - left) // len(versions)

    lacks_silence = way.mute_rows and not silent_clip(experiment, model["content_dim"], 0)
    with Progress(len(speakers), "clips", "extract_features", done=whole(len(todo))) as progress:
        if not todo and not lacks_silence:
            return 0
        if lacks_silence:
            _write_silence(experiment.silence, encoder, groups["sample_rate"])
        statistics = _statistics(experiment, encoder, speakers)
        neighbours = lru_cache(1)(partial(_neighbours, experiment, encoder.dim, speakers, device))
        encoded = _encode_all(experiment, encoder, todo, speakers, device)
        for number, (clip, version, content) in enumerate(encoded, start=1):
            if version == 0:
                content = statistics[speakers[clip]].normalize(content)
            else:
                alone = encoder.new_statistics()
                alone.update(content)
                content = alone.result().normalize(content)
            content = content.astype(np.float32)
            if version >= RETRIEVED_FROM:
                rate = _random(clip, f"{version} retrieved").uniform(*RETRIEVED_RATES)
                content = neighbours(speakers[clip]).blend(clip, content, rate)
            path = experiment.content_file(clip, encoder.dim, version)
            path.parent.mkdir(exist_ok=True)
            with replacing(path) as temporary, temporary.open("wb") as file:
                np.save(file, content)
            progress.advance(whole(len(todo) - number) - progress.done)
    return len(todo)


def _write_silence(silence: Experiment, encoder: ContentEncoder, sample_rate: int) -> None:
    """A clip of silence with its features; the content, written last, makes it complete."""
    name, frames = silence.name, SILENCE_SECONDS * F0_RATE
    for folder in (silence.target_wavs, silence.wavs_16k, silence.f0_hz, silence.f0_coarse):
        folder.mkdir(parents=True, exist_ok=True)
    silence.content(encoder.dim).mkdir(exist_ok=True)
    wavs = {silence.target_wav(name): sample_rate, silence.wav_16k(name): SAMPLE_RATE}
    for path, rate in wavs.items():
        soundfile.write(path, np.zeros(SILENCE_SECONDS * rate, np.float32), rate, subtype="FLOAT")
    content = encoder(np.zeros(SILENCE_SECONDS * SAMPLE_RATE, np.float32))
    for path, array in (
        (silence.f0_hz_file(name), np.zeros(frames)),
        (silence.f0_coarse_file(name), np.ones(frames, np.int64)),
        (silence.content_file(name, encoder.dim), content.astype(np.float32)),
    ):
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.save(file, array)


def _neighbours(
    experiment: Experiment, dim: int, speakers: dict[str, int], device: torch.device, speaker: int
) -> Neighbours:
    """Return the unaltered content of all clips of a speaker."""
    clips = [clip for clip, number in speakers.items() if number == speaker]
    contents = (np.load(experiment.content_file(clip, dim), mmap_mode="r") for clip in clips)
    return Neighbours(zip(clips, contents, strict=True), device)


def _random(clip: str, use: object) -> np.random.Generator:
    """Random numbers of a clip that are the same every time it is worked on."""
    return np.random.default_rng(zlib.crc32(f"{clip} {use}".encode()))


def _statistics(
    experiment: Experiment, encoder: ContentEncoder, speakers: dict[str, int]
) -> dict[int, Statistics]:
    """Return each speaker's statistics; what was once measured stays, also when clips are added."""
    clips = defaultdict(list)
    for clip, speaker in speakers.items():
        clips[speaker].append(clip)
    found = {}
    for speaker, names in clips.items():
        path = experiment.statistics_file(speaker)
        if not path.exists():
            running = encoder.new_statistics()
            for clip in names[:: -(-len(names) // STATISTICS_CLIPS)]:
                if running.is_final:
                    break
                running.update(_encode(experiment, encoder, [clip], 0)[0])
            with replacing(path) as temporary, temporary.open("wb") as file:
                np.savez(file, **asdict(running.result()))
        with np.load(path) as saved:
            found[speaker] = Statistics(**saved)
    return found


def _encode_all(
    experiment: Experiment,
    encoder: ContentEncoder,
    todo: list[tuple[str, int]],
    speakers: dict[str, int],
    device: torch.device,
) -> Iterator[tuple[str, int, np.ndarray]]:
    """Yield clips and versions with their raw content, speaker after speaker of each version."""
    for (version, _), items in groupby(todo, lambda item: (item[1], speakers[item[0]])):
        for clips in clip_batches(experiment, [clip for clip, _ in items], device):
            fit_threads(device)
            for clip, content in zip(
                clips, _encode(experiment, encoder, clips, version), strict=True
            ):
                yield clip, version, content


def _encode(
    experiment: Experiment, encoder: ContentEncoder, clips: list[str], version: int
) -> list[np.ndarray]:
    """Raw content of one version of clips, (T, dim); the same every time it is asked for."""
    heard = [_hear(experiment, clip, version) for clip in clips]
    try:
        audios, offsets = [each.audio for each in heard], [each.offset for each in heard]
        contents = content_of_clips(encoder, audios, offsets)
    except RuntimeError:  # all together did not fit the memory
        if len(clips) == 1:
            raise
        return [_encode(experiment, encoder, [clip], version)[0] for clip in clips]
    return [each.stretch(content) for each, content in zip(heard, contents, strict=True)]


@dataclass(frozen=True)
class Heard:
    """One version of a clip: its audio, where in a window it is put, and its speed."""

    audio: np.ndarray
    offset: int
    speed: float
    frames: int  # of the clip at its own speed

    def stretch(self, content: np.ndarray) -> np.ndarray:
        """Bring the content (T, dim) of an altered version back to the clip's frames."""
        if self.speed == 1:
            return content
        position = np.minimum(np.arange(self.frames) / self.speed, len(content) - 1)
        whole = position.astype(int)
        following = np.minimum(whole + 1, len(content) - 1)
        share = (position - whole)[:, None].astype(np.float32)
        return content[whole] * (1 - share) + content[following] * share


def _hear(experiment: Experiment, clip: str, version: int) -> Heard:
    audio, rate = soundfile.read(experiment.wav_16k(clip), dtype="float32")
    frames = len(audio) // (rate // 50)
    random = _random(clip, version)
    offset = int(random.integers(400))
    if version == 0:
        return Heard(audio, offset, 1.0, frames)
    speed = random.uniform(*SPEEDS)
    while abs(speed - 1) < SPEED_GAP:
        speed = random.uniform(*SPEEDS)
    altered = _equalize(soxr.resample(audio, rate * speed, rate), rate, random)
    return Heard(altered, offset, speed, frames)


def _equalize(audio: np.ndarray, rate: int, random: np.random.Generator) -> np.ndarray:
    """Return the audio with random gains, smooth over the logarithm of frequency."""
    gains = random.normal(0, EQUALIZER_DB, len(EQUALIZER_HZ))
    hz = np.fft.rfftfreq(len(audio), 1 / rate)
    curve = np.interp(np.log(np.maximum(hz, 1)), np.log(EQUALIZER_HZ), gains)
    return np.fft.irfft(np.fft.rfft(audio) * 10 ** (curve / 20), len(audio)).astype(np.float32)


if __name__ == "__main__":
    run_worker(extract_features, parse_options(ExtractFeaturesOptions))
