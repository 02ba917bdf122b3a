"""Where to cut a recording: at its silences, then into clips of one length (RVC's rules)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from train.experiment import CLIP_SECONDS

OVERLAP_SECONDS = 0.3  # of neighbouring clips


@dataclass(frozen=True)
class SilenceParams:
    """When a silence is cut out and how much of it stays; the values of RVC since 2023."""

    threshold_db: float = -42.0  # quieter is silent
    min_length_ms: int = 1500  # of the sound between two cuts
    min_interval_ms: int = 400  # of a silence that may be cut
    hop_ms: int = 15  # cuts lie on this grid
    max_kept_ms: int = 500  # of silence left on either side of a cut


def slice_at_silence(
    audio: np.ndarray, sample_rate: int, params: SilenceParams | None = None
) -> list[tuple[int, int]]:
    """Return (first sample, length) of every stretch of sound; none when all is silent.

    audio: (N,) float. A pause inside a stretch stays where it is short or comes too early.
    """
    params = params or SilenceParams()
    hop = round(sample_rate * params.hop_ms / 1000)
    interval = sample_rate * params.min_interval_ms / 1000
    rms = _frame_rms(audio, min(round(interval), 4 * hop), hop)
    num_frames = len(rms)
    min_interval = round(interval / hop)
    min_length = round(sample_rate * params.min_length_ms / 1000 / hop)
    max_kept = round(sample_rate * params.max_kept_ms / 1000 / hop)
    is_silent = rms < 10 ** (params.threshold_db / 20)

    def quietest(first: int, last: int) -> int:
        return first + int(np.argmin(rms[first : last + 1]))

    removed: list[tuple[int, int]] = []  # frames
    stretch_start = 0
    for start, end in _runs(is_silent):
        if end == num_frames:  # silence up to the end
            if end - start >= min_interval:
                removed.append((quietest(start, min(end, start + max_kept)), num_frames + 1))
            break
        length = end - start
        is_leading = start == 0 and end > max_kept
        if not is_leading and (length < min_interval or end - stretch_start < min_length):
            continue
        if length <= max_kept:
            left = right = quietest(start, end)
        else:
            left, right = quietest(start, start + max_kept), quietest(end - max_kept, end)
        removed.append((0 if start == 0 else left, right))
        stretch_start = right

    edges = [0, *(frame for pair in removed for frame in pair), num_frames]
    stretches = []
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        start, end = first * hop, min(last * hop, len(audio))
        if end > start:
            stretches.append((start, end - start))
    return stretches


def cut_to_clips(
    length: int, sample_rate: int, clip_seconds: float = CLIP_SECONDS
) -> list[tuple[int, int]]:
    """Return (first sample, length) of overlapping clips that cover a stretch of `length` samples.

    All have clip_seconds but the last one, which holds what is left (at most clip_seconds plus
    the overlap).
    """
    clips, start, clip_length = [], 0, int(clip_seconds * sample_rate)
    while length - start > (clip_seconds + OVERLAP_SECONDS) * sample_rate:
        clips.append((start, clip_length))
        start = int(sample_rate * (clip_seconds - OVERLAP_SECONDS) * len(clips))
    clips.append((start, length - start))
    return clips


def _frame_rms(audio: np.ndarray, window: int, hop: int) -> np.ndarray:
    """RMS of windows centred at 0, hop, 2 hop ... up to the end, zeros beyond the edges."""
    padded = np.pad(audio.astype(np.float64), window // 2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    return np.sqrt(np.einsum("ij,ij->i", windows, windows) / window)


def _runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Return (first, one past the last) of every run of True."""
    steps = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0))
    return [(int(first), int(last)) for first, last in zip(steps[::2], steps[1::2], strict=True)]
