"""Audio files read block by block, in constant memory.

soundfile (libsndfile) reads the lossless containers, PyAV (libav) everything else: compressed audio
and the sound of videos. No ffmpeg program is needed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import soundfile

from errors import AudioError, os_reason
from infer.audio.resampling import Resampler

if TYPE_CHECKING:
    import av

logger = logging.getLogger(__name__)

DECODE_VALUES = 2**16  # samples times channels read at once

# First bytes of the files that libsndfile reads best; it stops early in mp3 and ogg files made of
# several parts, and prints to the terminal while it reads mp3.
LOSSLESS_MAGIC = (b"RIFF", b"RF64", b"riff", b"fLaC", b"FORM", b"caff", b".snd")
PLAYLISTS = ("hls", "concat", "dash", "sdp", "image2")  # libav would open the files named inside
EXACT_DURATION = ("mov,mp4,m4a,3gp,3g2,mj2", "ogg", "flac", "wav")


def load(
    path: Path | str, sample_rate: int | None = None, min_seconds: float = 0.0
) -> tuple[np.ndarray, int]:
    """Read a whole file as mono.

    sample_rate: Hz wanted, None for the file's own. Returns (N,) float32 and the rate in Hz.
    Raises AudioError.
    """
    with AudioReader(path, sample_rate, min_seconds) as reader:
        return np.concatenate(list(reader.blocks())), reader.sample_rate


class AudioReader:
    """Read any audio or video file block by block as float32 at one sample rate.

    channels: 1 mixes a file's channels to one, 2 gives left and right (equal for a mono file).
    seconds is the length that the file states (an estimate for raw mp3 and aac streams, None if it
    states none); peak is the largest magnitude among the samples read so far.
    Opening and reading raise AudioError: missing, a folder, empty, not audio, no audio stream,
    NaN or infinite samples, damaged, or shorter than min_seconds in all.
    """

    def __init__(
        self,
        path: Path | str,
        sample_rate: int | None = None,
        min_seconds: float = 0.0,
        channels: int = 1,
    ) -> None:
        self.path = Path(path)
        self.min_seconds = min_seconds
        self.channels = channels
        self.peak = 0.0
        self._source = _open_source(self.path)
        self.sample_rate: int = sample_rate or self._source.sample_rate
        self.seconds: float | None = self._source.seconds

    def __enter__(self) -> AudioReader:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._source.close()

    def blocks(self, seconds: float = 10.0) -> Iterator[np.ndarray]:
        """Yield float32 blocks of one length (the last is shorter): (n,), or (n, 2) in stereo."""
        size = max(1, round(seconds * self.sample_rate))
        parts: list[np.ndarray] = []
        total = held = 0
        for part in self._resampled():
            parts.append(part)
            total += len(part)
            held += len(part)
            if held >= size:
                pending = np.concatenate(parts)
                whole = held - held % size
                for start in range(0, whole, size):
                    yield pending[start : start + size]
                parts, held = [pending[whole:].copy()], held - whole
        if total == 0:
            raise AudioError("no_sound", file=self.path)
        if total < self.min_seconds * self.sample_rate:
            found = total / self.sample_rate
            raise AudioError("short", file=self.path, found=found, needed=self.min_seconds)
        if held:
            yield np.concatenate(parts)

    def _resampled(self) -> Iterator[np.ndarray]:
        resampler: Resampler | None = None
        seconds = 0.0
        for stored, rate in self._source.blocks():
            mixed = _mix(stored, self.channels)
            is_number = np.isfinite(mixed).reshape(len(mixed), -1).all(axis=1)
            if not is_number.all():
                seconds += int(np.argmin(is_number)) / rate
                raise AudioError("not_numbers", file=self.path, seconds=seconds)
            self.peak = max(self.peak, float(np.abs(mixed).max(initial=0.0)))
            seconds += len(mixed) / rate
            if resampler is None or resampler.source_rate != rate:
                if resampler is not None:
                    yield resampler.flush()
                resampler = Resampler(rate, self.sample_rate, self.channels)
            yield resampler.push(mixed)
        if resampler is not None:
            yield resampler.flush()


class _Source(Protocol):
    """A decoder: blocks (n, C) of all channels, each with the rate it was stored at."""

    sample_rate: int
    seconds: float | None

    def blocks(self) -> Iterator[tuple[np.ndarray, int]]: ...

    def close(self) -> None: ...


def _open_source(path: Path) -> _Source:
    try:
        if path.is_dir():
            raise AudioError("folder", file=path)
        if path.exists() and not path.is_file():
            raise AudioError("not_a_file", file=path)
        with path.open("rb") as file:
            head = file.read(4)
    except FileNotFoundError as error:
        raise AudioError("no_file", file=path) from error
    except OSError as error:
        raise AudioError("opened", file=path, reason=os_reason(error)) from error
    if not head:
        raise AudioError("empty", file=path)
    if head not in LOSSLESS_MAGIC:
        try:
            return _LibavSource(path)
        except AudioError as error:
            lossless = _open_lossless(path)  # a rare format of libsndfile
            if lossless is None:
                raise error from None
            return lossless
    return _open_lossless(path) or _LibavSource(path)


def _open_lossless(path: Path) -> _LibsndfileSource | None:
    # libsndfile would take any bytes for samples, or search them for mp3 and say so on stderr
    if path.suffix.lower() in (".raw", ".mp3"):
        return None
    try:
        file = soundfile.SoundFile(str(path))
    except soundfile.SoundFileError:
        return None
    if file.frames == 0:  # a wav that was streamed to disk states no length; libav does not mind
        file.close()
        return None
    return _LibsndfileSource(path, file)


class _LibsndfileSource:
    def __init__(self, path: Path, file: soundfile.SoundFile) -> None:
        self._path = path
        self._file = file
        self.sample_rate: int = file.samplerate
        self.seconds: float | None = file.frames / file.samplerate

    def close(self) -> None:
        self._file.close()

    def blocks(self) -> Iterator[tuple[np.ndarray, int]]:
        frames = max(1, DECODE_VALUES // self._file.channels)
        position = 0
        while position < self._file.frames:
            try:
                block = self._file.read(frames, dtype="float32", always_2d=True)
            except soundfile.SoundFileError as error:
                raise _damaged(self._path, position / self.sample_rate, self.seconds) from error
            if len(block) == 0:
                raise _damaged(self._path, position / self.sample_rate, self.seconds)
            position += len(block)
            yield block, self.sample_rate


class _LibavSource:
    def __init__(self, path: Path) -> None:
        import av

        self._path = path
        try:
            self._container = av.open(str(path.absolute()), metadata_errors="replace")
        except (av.FFmpegError, OSError) as error:
            raise AudioError("unreadable", file=path) from error
        stream = self._container.streams.best("audio")
        if self._container.format.name in PLAYLISTS or stream is None:
            self.close()
            raise AudioError("no_stream", file=path)
        context: Any = stream.codec_context
        if context is None or not context.sample_rate:
            self.close()
            raise AudioError("codec", file=path)
        self._stream = stream
        self.sample_rate: int = context.sample_rate
        self.seconds: float | None = None
        if stream.duration is not None and stream.time_base is not None:
            self.seconds = float(stream.duration * stream.time_base)
        elif self._container.duration is not None:
            self.seconds = self._container.duration / av.time_base

    def close(self) -> None:
        self._container.close()

    def blocks(self) -> Iterator[tuple[np.ndarray, int]]:
        import av

        position = 0.0
        held: tuple[np.ndarray, int] | None = None  # the last frame, whose end may be padding
        damaged_at: float | None = None  # undecodable bytes behind the last sound are tolerated
        try:
            for packet in self._container.demux(self._stream):
                try:
                    frames: list[Any] = list(packet.decode())
                except av.error.InvalidDataError:
                    damaged_at = position if damaged_at is None else damaged_at
                    continue
                for frame in frames:
                    if damaged_at is not None:
                        raise _damaged(self._path, damaged_at, self.seconds)
                    if held is not None:
                        yield held
                    position += frame.samples / frame.sample_rate
                    held = _frame_to_samples(frame), frame.sample_rate
        except av.FFmpegError as error:
            raise _damaged(self._path, position, self.seconds) from error
        if held is None and damaged_at is not None:
            raise AudioError("unreadable", file=self._path)
        if held is not None:
            last, rate = held
            yield last[: len(last) - self._padding(position, rate, len(last))], rate
        self._check_complete(position)

    @property
    def _exact(self) -> bool:
        exact = self._container.format.name in EXACT_DURATION
        return exact and self._stream.duration is not None

    def _padding(self, position: float, rate: int, last: int) -> int:
        """Samples of the last frame beyond the stated end, which libav does not always cut off."""
        excess = round((position - (self.seconds or 0.0)) * rate)
        return excess if self._exact and 0 < excess < last else 0

    def _check_complete(self, position: float) -> None:
        stated = self.seconds or 0.0
        if self._exact and stated - position > 0.5 + 0.01 * stated:
            raise _damaged(self._path, position, stated)
        if position < 0.9 * stated:
            logger.warning("%s: %.1f s of about %.1f s found", self._path, position, stated)


def _damaged(path: Path, position: float, seconds: float | None) -> AudioError:
    name = "damaged_audio_of" if seconds else "damaged_audio"
    return AudioError(name, file=path, seconds=position, all=seconds or 0.0)


def _frame_to_samples(frame: av.AudioFrame) -> np.ndarray:
    """(n, C) float32 in -1..1."""
    samples: np.ndarray = frame.to_ndarray()  # (C, n) if planar, else (1, n * C)
    samples = samples.T if frame.format.is_planar else samples.reshape(-1, frame.layout.nb_channels)
    if samples.dtype == np.uint8:
        return samples.astype(np.float32) / 128 - 1
    if samples.dtype.kind == "i":
        return samples.astype(np.float32) / -float(np.iinfo(samples.dtype.name).min)
    return samples.astype(np.float32)


def _mix(samples: np.ndarray, channels: int) -> np.ndarray:
    """(n, C) of a file -> (n,) mono, or (n, 2); what has more than two channels, mixed to both."""
    if channels == 2 and samples.shape[1] == 2:
        return samples
    mono = samples.mean(axis=1, dtype=np.float32)
    return mono if channels == 1 else np.repeat(mono[:, None], channels, axis=1)
