"""What a dataset is good for: its recordings in numbers, their faults, and advice for training.

Every sentence is a Finding: the name of a text in tools/web/i18n/*/report.json and its values.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import config
from config import replacing
from errors import AudioError, UserError, shown
from infer.audio.isolated import isolated
from infer.f0 import QUICK_METHOD, load_f0_method
from tools.datasets.measure import Measures, measure
from tools.datasets.similar import find_duplicates, find_other_voices
from tools.records import record
from train.preprocess import TOO_SHORT
from train.recordings import find_recordings

SILENT = -1e299  # stands for a loudness of minus infinity, which JSON does not know

# faults of a recording
NOISY_SNR = 15.0  # dB
CLIPPED = 0.002  # share of samples at the ceiling; unclipped speech has a tenth of that
QUIET_LUFS = -40.0
NARROW_HZ = 7000.0  # a telephone gives 4000, a good microphone over 16000

# quality of the whole
CLEAN_SNR = 30.0
FAIR_SNR = 20.0
FAULTY_SHARE = 0.1  # of the sound in clipped or noisy recordings that a clean dataset may hold
STEADY_PITCH = 0.5  # octaves between the 5th and 95th percentile of f0

# FAQ 9: minutes that are enough
LEAST_MINUTES = 1.0
LUCKY_MINUTES = 5.0
GOOD_MINUTES = 10.0
FULL_MINUTES = 50.0

# FAQ 8: epochs of the standard families; minutes on one CPU core for lite
EPOCHS = {"clean": (150, 200), "fair": (50, 100), "noisy": (20, 30)}
LITE_MINUTES = {"clean": 30, "fair": 20, "noisy": 10}


@dataclass(frozen=True)
class Recording:
    """One file: numbers, and problems as names of texts (report_file_*); -inf loudness = silent.

    repeats: the other file that this one is a copy of. error: why it cannot be read.
    """

    path: str  # below the dataset, with slashes
    seconds: float = 0.0
    usable_seconds: float = 0.0
    sample_rate: int = 0
    peak: float = 0.0
    loudness: float = -math.inf  # LUFS
    snr: float = 0.0  # dB
    clipped: float = 0.0  # share of samples
    bandwidth: float = 0.0  # Hz
    f0_median: float = 0.0  # Hz
    problems: tuple[str, ...] = ()
    repeats: str = ""
    error: UserError | None = None


@dataclass(frozen=True)
class Finding:
    """A sentence about the dataset. level: ok, warning or problem; files: below the dataset."""

    level: str
    text: str
    values: dict[str, str]
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class DatasetReport:
    """The whole; quality is clean, fair or noisy, pitches are Hz over all voiced frames."""

    dataset: str
    seconds: float
    usable_minutes: float
    quality: str
    loudness: float
    snr: float
    clipped: float
    bandwidth: float
    f0_low: float
    f0_median: float
    f0_high: float
    epochs: tuple[int, int]  # for the standard families, after FAQ 8
    lite_minutes: int  # of training on one CPU core
    findings: tuple[Finding, ...]
    recordings: tuple[Recording, ...]


def report_dataset(
    dataset: Path, on_progress: Callable[[int, int], None] | None = None
) -> DatasetReport:
    """Measure every recording of a folder and say what they are good for, without changing any.

    on_progress: recordings done, of all. FileNotFoundError, or WorkerError without a recording.
    """
    dataset = dataset.resolve()
    paths = find_recordings(dataset, leave_out=config.LOGS)
    root = dataset if dataset.is_dir() else dataset.parent
    names = [shown(path.relative_to(root).as_posix()) for path in paths]
    f0_method = load_f0_method(QUICK_METHOD)
    measured: list[Measures | AudioError] = []
    with isolated():
        for path in paths:
            try:
                measured.append(measure(path, f0_method))
            except AudioError as error:
                measured.append(error)
            if on_progress is not None:
                on_progress(len(measured), len(paths))
    good = [i for i, each in enumerate(measured) if isinstance(each, Measures)]
    repeats = {
        good[pair.later]: names[good[pair.earlier]]
        for pair in find_duplicates([measured[i].prints for i in good])
    }
    others = {
        good[i]: distance
        for i, distance in find_other_voices([measured[i].voice for i in good]).items()
        if good[i] not in repeats
    }
    recordings = []
    for i, (path, name, each) in enumerate(zip(paths, names, measured, strict=True)):
        if isinstance(each, AudioError):
            error = each.rename(path, path.name)
            recordings.append(Recording(name, problems=("report_file_unreadable",), error=error))
        else:
            recordings.append(_recording(name, each, repeats.get(i, ""), i in others))
    return _summarize(dataset, recordings, [measured[i] for i in good])


def _recording(name: str, measures: Measures, repeats: str, is_other: bool) -> Recording:
    voiced = measures.f0[measures.f0 > 0]
    problems = []
    if repeats:
        problems.append("report_file_duplicate")
    if measures.loudness == -math.inf:
        problems.append("report_file_silent")
    elif measures.usable_seconds == 0 and not measures.faults.keys() - {TOO_SHORT}:
        problems.append("report_file_short")
    else:
        problems += [
            text
            for text, is_so in (
                ("report_file_clipped", measures.clipped > CLIPPED),
                ("report_file_noisy", measures.snr < NOISY_SNR),
                ("report_file_quiet", measures.loudness < QUIET_LUFS),
                ("report_file_narrow", measures.bandwidth < NARROW_HZ),
                ("report_file_other_voice", is_other),
            )
            if is_so
        ]
    return Recording(
        path=name,
        seconds=round(measures.seconds, 2),
        usable_seconds=0.0 if repeats else round(measures.usable_seconds, 2),
        sample_rate=measures.sample_rate,
        peak=round(measures.peak, 4),
        loudness=round(measures.loudness, 1),
        snr=round(measures.snr, 1),
        clipped=round(measures.clipped, 5),
        bandwidth=round(measures.bandwidth),
        f0_median=round(float(np.median(voiced)), 1) if len(voiced) else 0.0,
        problems=tuple(problems),
        repeats=repeats,
    )


def _summarize(
    dataset: Path, recordings: list[Recording], measured: list[Measures]
) -> DatasetReport:
    minutes = sum(each.usable_seconds for each in recordings) / 60
    usable = [each for each in recordings if each.usable_seconds]
    weights = np.array([each.usable_seconds for each in usable])
    snr, loudness, bandwidth = (
        _weighted_median(np.array([getattr(each, name) for each in usable]), weights)
        for name in ("snr", "loudness", "bandwidth")
    )
    samples = sum(each.seconds * each.sample_rate for each in recordings)
    clipped = sum(each.clipped * each.seconds * each.sample_rate for each in recordings)
    voiced = np.concatenate([each.f0[each.f0 > 0] for each in measured] or [np.zeros(0)])
    low, median, high = np.percentile(voiced, [5, 50, 95]) if len(voiced) else (0.0, 0.0, 0.0)
    faulty = _share(usable, {"report_file_clipped", "report_file_noisy"})
    quality = "noisy"
    if snr >= CLEAN_SNR and faulty <= FAULTY_SHARE:
        quality = "clean"
    elif snr >= FAIR_SNR and faulty <= 5 * FAULTY_SHARE:
        quality = "fair"
    findings = [
        _about_minutes(minutes, quality),
        *_about_files(recordings),
        *_about_sound(snr, quality, bandwidth, float(low), float(high), len(voiced)),
        *_about_training(minutes, quality),
    ]
    return DatasetReport(
        dataset=str(dataset),
        seconds=round(sum(each.seconds for each in recordings), 1),
        usable_minutes=round(minutes, 2),
        quality=quality,
        loudness=round(loudness, 1),
        snr=round(snr, 1),
        clipped=round(clipped / samples, 6) if samples else 0.0,
        bandwidth=round(bandwidth),
        f0_low=round(float(low), 1),
        f0_median=round(float(median), 1),
        f0_high=round(float(high), 1),
        epochs=EPOCHS[quality],
        lite_minutes=LITE_MINUTES[quality],
        findings=tuple(findings),
        recordings=tuple(recordings),
    )


def _about_minutes(minutes: float, quality: str) -> Finding:
    """FAQ 9: is it enough?"""
    values = {"minutes": f"{minutes:.1f}"}
    if minutes < LEAST_MINUTES:
        return Finding("problem", "report_minutes_too_few", values)
    if minutes < LUCKY_MINUTES:
        return Finding("warning", "report_minutes_lucky", values)
    if minutes < GOOD_MINUTES and quality == "clean":
        return Finding("ok", "report_minutes_few_clean", values)
    if minutes < GOOD_MINUTES:
        return Finding("warning", "report_minutes_few", values)
    if minutes > FULL_MINUTES:
        return Finding("ok", "report_minutes_plenty", values)
    return Finding("ok", "report_minutes_good", values)


def _about_files(recordings: list[Recording]) -> list[Finding]:
    """One finding per fault, with the files that have it."""
    findings = []
    for text in (
        "report_file_unreadable", "report_file_silent", "report_file_short",
        "report_file_duplicate", "report_file_clipped", "report_file_noisy", "report_file_quiet",
        "report_file_narrow", "report_file_other_voice",
    ):  # fmt: skip
        files = tuple(each.path for each in recordings if text in each.problems)
        if files:
            values = {"count": str(len(files)), "all": str(len(recordings))}
            findings.append(Finding("warning", text.replace("_file_", "_files_"), values, files))
    return findings


def _about_sound(
    snr: float, quality: str, bandwidth: float, low: float, high: float, num_voiced: int
) -> list[Finding]:
    if not num_voiced:
        return [Finding("problem", "report_no_voice", {})]
    noise = Finding(
        "ok" if quality == "clean" else "warning",
        f"report_quality_{quality}",
        {"snr": f"{snr:.0f}"},
    )
    findings = [noise]
    if bandwidth >= NARROW_HZ:
        rate = next((rate for rate in (48, 40, 32) if bandwidth >= 0.45e3 * rate), 24)
        findings.append(
            Finding("ok", "report_bandwidth", {"khz": f"{bandwidth / 1000:.0f}", "rate": str(rate)})
        )
    pitch = {"low": f"{low:.0f}", "high": f"{high:.0f}"}
    if np.log2(high / low) < STEADY_PITCH:
        findings.append(Finding("warning", "report_pitch_narrow", pitch))
    else:
        findings.append(Finding("ok", "report_pitch", pitch))
    return findings


def _about_training(minutes: float, quality: str) -> list[Finding]:
    """FAQ 8: for how long?"""
    if minutes < LEAST_MINUTES:
        return []
    first, last = EPOCHS[quality]
    values = {"first": str(first), "last": str(last), "minutes": str(LITE_MINUTES[quality])}
    return [Finding("ok", f"report_train_{quality}", values)]


def _share(recordings: list[Recording], problems: set[str]) -> float:
    """Share of the usable sound that lies in recordings with one of these problems."""
    total = sum(each.usable_seconds for each in recordings)
    bad = sum(each.usable_seconds for each in recordings if problems & set(each.problems))
    return bad / total if total else 0.0


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    if not len(values):
        return 0.0
    order = np.argsort(values)
    middle = np.searchsorted(np.cumsum(weights[order]), weights.sum() / 2)
    return float(values[order][middle])


def write_report(report: DatasetReport, path: Path) -> None:
    """Write a report as JSON; a silent recording's loudness is null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_finite(asdict(report)), ensure_ascii=False, indent=1)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_report(path: Path) -> DatasetReport:
    """Read what write_report wrote. UserError: it is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        for each in [content, *content["recordings"]]:
            each["loudness"] = SILENT if each["loudness"] is None else each["loudness"]
        report = record(DatasetReport, content)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError("damaged", file=path, reason=str(error)[:200]) from error
    recordings = tuple(
        replace(each, loudness=-math.inf) if each.loudness <= SILENT else each
        for each in report.recordings
    )
    loudness = -math.inf if report.loudness <= SILENT else report.loudness
    return replace(report, recordings=recordings, loudness=loudness)


def _finite(value: Any) -> Any:
    """The value with every infinite number replaced by None, which JSON knows, errors too."""
    if isinstance(value, UserError):
        return value.to_json()
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
