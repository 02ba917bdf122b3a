"""Worker 1: recordings -> short, level clips at the target rate and at 16 kHz."""

from __future__ import annotations

import logging
import multiprocessing
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from errors import UserError
from infer.audio.denoise import SAMPLE_RATE as DENOISE_RATE
from infer.audio.denoise import denoise_to
from infer.audio.filters import high_pass_causal
from infer.audio.isolated import isolate, isolated
from infer.audio.reader import AudioError, AudioReader
from infer.audio.resampling import resample
from infer.audio.writer import write_wav
from infer.content import CONTENT_ENCODERS, DEFAULT_EMBEDDER, EMBEDDER_NAME, embedder_file
from infer.f0 import SAMPLE_RATE
from infer.voice.hparams import read_config
from options import command, printable
from train.experiment import Experiment, Source
from train.options import PreprocessOptions, parse_options
from train.recordings import survey
from train.reuse import copy_features
from train.slicer import cut_to_clips, slice_at_silence
from train.worker import Progress, WorkerError, run_worker

logger = logging.getLogger(__name__)

SECTION_SECONDS = 120.0  # of a recording in memory at a time
LEAD_SECONDS = 0.5  # before a section, for the high-pass to settle in
PEAK = 0.9  # of a clip made fully level
LEVELLING = 0.75  # share of the levelled clip; the rest keeps the recording's own loudness
MAX_PEAK = 2.5  # beyond this the decoder or the recording is broken
MIN_SECONDS = 0.3  # of a clip
FULL_SCALE = 0.99  # below 1, because resampling bends clipped tops
MAX_CLIPPED = 0.005  # share of samples at full scale

TOO_SHORT = f"too short (under {MIN_SECONDS} s)"
SILENT = "silent (never above -42 dB)"
OTHER_KIND = "other kind"
COUNTS = {  # texts that count recordings, by the first words of a reason in sources.jsonl
    "too short": "count_short",
    "silent": "count_silent",
    "overloaded": "count_overloaded",
    "clipped": "count_clipped",
    "unreadable": "count_unreadable",
    OTHER_KIND: "count_other",
}


def preprocess(options: PreprocessOptions) -> int:
    """Cut every recording that is not done yet; returns the number of clips of the dataset.

    Unusable recordings are listed and skipped. Raises WorkerError where nothing is usable,
    UserError where the experiment was made with other settings.
    """
    experiment, dataset = Experiment(options.experiment), options.dataset.resolve()
    if options.reuse is not None:
        Experiment(options.reuse).read_config()  # it must be one
    found = survey(dataset, leave_out=experiment.root.resolve())
    if not found.recordings:
        raise WorkerError("other_kinds", folder=dataset, count=len(found.others))
    _open_experiment(experiment, options)
    todo, kept = _plan(experiment, found.recordings, dataset, options)
    finished = []
    with (
        Progress(len(found.recordings), "files", "preprocess", done=len(kept)) as progress,
        closing(_cut_all(todo, options)) as results,
    ):
        for source in results:
            experiment.append_sources([source])
            finished.append(source)
            progress.advance()
    for path, reason in found.others:
        logger.info("skipped %s: %s", path, reason, extra={"log_only": True})
    num_clips = _report(finished, kept, len(found.others), dataset)
    if options.reuse is not None:
        copy_features(Experiment(options.reuse), experiment)
    return num_clips


def cut_recording(source: Source, options: PreprocessOptions) -> Source:
    """Write the clips of one recording; returns its entry with clips, seconds and reason."""
    experiment, rate = Experiment(options.experiment), options.sample_rate
    left_out: Counter[str] = Counter()
    num_clips, num_samples = 0, 0
    try:
        for raw, filtered in _sections(Path(source.path), rate, options.denoise):
            for start, length in _clips(filtered, rate, options.clip_seconds):
                clip = filtered[start : start + length]
                if reason := find_fault(clip, raw[start : start + length], rate):
                    left_out[reason] += 1
                    continue
                _write_clip(experiment, f"{source.number}_{num_clips}", normalize(clip), rate)
                num_clips += 1
                num_samples += length
    except AudioError as error:
        experiment.remove_clips(source.number)
        message = str(error).removeprefix(f"{source.path}: ")
        return replace(source, clips=0, seconds=0.0, reason=f"unreadable ({message})")
    if num_clips == 0:
        reason = left_out.most_common(1)[0][0] if left_out else SILENT
    else:  # a click between two silences is nothing to report
        del left_out[TOO_SHORT]
        reason = ", ".join(f"{count} {fault}" for fault, count in left_out.items())
    return replace(source, clips=num_clips, seconds=round(num_samples / rate, 2), reason=reason)


def find_fault(clip: np.ndarray, raw: np.ndarray, sample_rate: int) -> str:
    """Say why a clip is of no use, "" if it is; raw: the same samples before the high-pass."""
    if len(clip) < MIN_SECONDS * sample_rate:
        return TOO_SHORT
    peak = np.abs(clip).max()
    if peak == 0:
        return SILENT
    if peak > MAX_PEAK:
        return f"overloaded (peak above {MAX_PEAK})"
    if np.mean(np.abs(raw) >= FULL_SCALE) > MAX_CLIPPED:
        return f"clipped (over {MAX_CLIPPED:.1%} of it at full scale)"
    return ""


def normalize(clip: np.ndarray) -> np.ndarray:
    """Bring a clip three quarters of the way to a common peak; (N,) float -> (N,) float32."""
    levelled = clip / np.abs(clip).max() * PEAK
    return (LEVELLING * levelled + (1 - LEVELLING) * clip).astype(np.float32)


def _clips(audio: np.ndarray, sample_rate: int, clip_seconds: float) -> Iterator[tuple[int, int]]:
    for start, length in slice_at_silence(audio, sample_rate):
        for offset, clip_length in cut_to_clips(length, sample_rate, clip_seconds):
            yield start + offset, clip_length


def _sections(
    path: Path, sample_rate: int, without_noise: bool
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield a recording in sections of SECTION_SECONDS: (N,) as it is, and high-passed."""
    blocks: list[np.ndarray] = []
    lead = np.zeros(0, np.float32)
    with AudioReader(path, DENOISE_RATE if without_noise else sample_rate) as reader:
        read = reader.blocks()
        for block in denoise_to(read, sample_rate) if without_noise else read:
            blocks.append(block)
            if sum(map(len, blocks)) >= SECTION_SECONDS * sample_rate:
                raw = np.concatenate(blocks)
                yield raw, _high_passed(lead, raw, sample_rate)
                blocks, lead = [], raw[-round(LEAD_SECONDS * sample_rate) :]
    if blocks:
        raw = np.concatenate(blocks)
        yield raw, _high_passed(lead, raw, sample_rate)


def _high_passed(lead: np.ndarray, raw: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return raw (N,) high-passed as the continuation of lead; (N,) float64."""
    both = np.concatenate([lead, raw], dtype=np.float64)
    return high_pass_causal(both, sample_rate)[len(lead) :]


def _write_clip(experiment: Experiment, clip: str, audio: np.ndarray, sample_rate: int) -> None:
    audio_16k = resample(audio, sample_rate, SAMPLE_RATE)
    for path, samples, rate in (
        (experiment.wav_16k(clip), audio_16k, SAMPLE_RATE),
        (experiment.target_wav(clip), audio, sample_rate),
    ):
        write_wav(path, samples, rate)


def _open_experiment(experiment: Experiment, options: PreprocessOptions) -> None:
    """Create the experiment, or check that it was made with the same settings."""
    groups = read_config(options.version, options.sample_rate)
    if "use_f0" in groups["model"]:
        groups["model"]["use_f0"] = options.use_f0
    elif not options.use_f0:
        raise UserError("always_f0", version=options.version)
    if options.embedder is not None:
        groups["model"]["content_encoder"] = _encoder_of(options.embedder, groups["model"])
    if experiment.config_file.exists():
        made, asked = (
            _describe(experiment.read_config()),
            _describe({"version": options.version, "sample_rate": options.sample_rate, **groups}),
        )
        if made == asked:
            return
        if experiment.clips() or experiment.saved_steps():
            name = f"{experiment.name}-{options.version}-{options.sample_rate // 1000}k"
            other = replace(
                options, experiment=options.experiment.with_name(name), reuse=options.experiment
            )
            values = {"made": made, "asked": asked, "command": printable(command(other))}
            raise UserError("made_for", folder=experiment.root, **values)
    for folder in (experiment.target_wavs, experiment.wavs_16k):
        folder.mkdir(parents=True, exist_ok=True)
    experiment.write_config(options.version, options.sample_rate, groups)


def _describe(config: dict[str, Any]) -> str:
    """What cannot change in an experiment."""
    melody = "" if config["model"].get("use_f0", True) else " without f0"
    encoder = config["model"]["content_encoder"]
    is_usual = encoder in CONTENT_ENCODERS or encoder.startswith(f"{DEFAULT_EMBEDDER}-")
    content = "" if is_usual else f" with {encoder}"
    return f"{config['version']} at {config['sample_rate']} Hz{melody}{content}"


def _encoder_of(embedder: str, model: dict[str, Any]) -> str:
    """Return the content encoder of that embedder for a family; UserError where there is none."""
    if model["content_encoder"] in CONTENT_ENCODERS:
        raise UserError("embedder_family", name=repr(embedder))
    name = f"{embedder}-{model['content_dim']}"
    if not EMBEDDER_NAME.fullmatch(name):
        raise UserError("embedder_name", name=repr(embedder))
    embedder_file(embedder)
    return name


def _plan(
    experiment: Experiment, recordings: list[Path], dataset: Path, options: PreprocessOptions
) -> tuple[list[Source], list[Source]]:
    """Return the recordings to cut, with their numbers, and those that are done."""
    _follow_moved(experiment, recordings)
    sources = experiment.read_sources()
    on_disk = {clip.split("_")[0] for clip in experiment.clips()}
    numbers = [source.number for source in sources.values()]
    number = max([-1, *numbers, *(int(text) for text in on_disk if text.isdecimal())])

    found = {str(path) for path in recordings}
    for path, source in sources.items():
        if path not in found and Path(path).is_relative_to(dataset):
            logger.warning("no longer in the dataset, its clips are deleted: %s", path)
            experiment.forget_source(source)

    todo, finished = [], []
    for path in recordings:
        size, modified = _size_and_time(path)
        fresh = Source(
            str(path), 0, size, modified,
            speaker=options.speaker, clip_seconds=options.clip_seconds, denoise=options.denoise,
        )  # fmt: skip
        known = sources.get(str(path))
        if known and (known.size, known.modified) != (size, modified):
            logger.info("changed, cut again: %s", path)
            experiment.forget_source(known)
            known = None
        is_cut = known and known.clips and str(known.number) in on_disk
        cut_as = (known.clip_seconds, known.denoise) if known else None
        if is_cut and cut_as == (options.clip_seconds, options.denoise):
            finished.append(replace(known, speaker=options.speaker))
            continue
        if known:  # stopped half-way, of no use last time, or cut in another way
            experiment.remove_clips(known.number)
            todo.append(replace(fresh, number=known.number))
        else:
            number += 1
            todo.append(replace(fresh, number=number))
    moved = [source for source in finished if source != sources[source.path]]  # to another speaker
    experiment.append_sources([*moved, *todo])
    return todo, finished


def _follow_moved(experiment: Experiment, recordings: list[Path]) -> None:
    """Give the clips of a recording that was moved to its new path; else they would be doubled."""
    sources = experiment.read_sources()
    unknown = {
        (path.name, *_size_and_time(path)): path for path in recordings if str(path) not in sources
    }
    for source in sources.values():
        here = Path(source.path)
        now = unknown.pop((here.name, source.size, source.modified), None)
        if now is not None and not here.exists():
            logger.info("moved: %s is now %s", here, now)
            experiment.append_sources([replace(source, number=-1), replace(source, path=str(now))])


def _size_and_time(path: Path) -> tuple[int, int]:
    """Bytes, and nanoseconds of the last change; zeros for a link to nowhere."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _cut_all(todo: list[Source], options: PreprocessOptions) -> Iterator[Source]:
    cut = partial(cut_recording, options=options)
    if options.processes == 1:
        with isolated():
            yield from map(cut, todo)
        return
    with ProcessPoolExecutor(
        options.processes,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_open_process,
    ) as pool:
        try:
            yield from pool.map(cut, todo)
        finally:
            pool.shutdown(cancel_futures=True)


def _open_process() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a stop is the parent's
    isolate()


def _report(cut: list[Source], kept: list[Source], num_others: int, dataset: Path) -> int:
    """List what was left out and why, then the totals; returns the number of clips.

    Every file that was seen is counted once: cut now, kept from before, or skipped.
    """
    sources, skipped = [*kept, *cut], Counter({OTHER_KIND: num_others} if num_others else {})
    for source in sources:
        if not source.clips:
            logger.warning("skipped %s: %s", source.path, source.reason)
            skipped[source.reason.split(" (")[0]] += 1
        elif source.reason:
            logger.warning("clips left out of %s: %s", source.path, source.reason)
    why = [UserError(COUNTS[fault], count=count) for fault, count in skipped.most_common()]
    num_clips = sum(source.clips or 0 for source in sources)
    if num_clips == 0:
        raise WorkerError("nothing_usable", folder=dataset, why=why)
    minutes = sum(source.seconds for source in sources) / 60
    seen, left_out = len(sources) + num_others, ", ".join(map(str, why)) or "none"
    used = seen - skipped.total()
    logger.info(
        "%d recordings gave %d clips, %.1f minutes; skipped: %s",
        used, num_clips, minutes, left_out,
    )  # fmt: skip
    logger.info(
        "%d files seen = %d cut + %d kept from before + %d skipped",
        seen, used - len(kept), len(kept), skipped.total(),
    )  # fmt: skip
    return num_clips


if __name__ == "__main__":
    run_worker(preprocess, parse_options(PreprocessOptions))
