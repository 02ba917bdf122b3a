"""Audio files in and out, in constant memory, and resampling.

soundfile (libsndfile) reads the lossless containers, PyAV (libav) everything else: compressed audio
and the sound of videos. soxr resamples. No ffmpeg program is needed.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import soundfile
import soxr

import config
from infer.filters import high_pass, high_pass_causal
from infer.loudness import LoudnessMatcher, match_loudness

if TYPE_CHECKING:
    import av

__all__ = [
    "AudioError",
    "AudioReader",
    "AudioWriter",
    "LoudnessMatcher",
    "OUTPUT_SUFFIXES",
    "Resampler",
    "high_pass",
    "high_pass_causal",
    "load",
    "match_loudness",
    "resample",
]

logger = logging.getLogger(__name__)

DECODE_VALUES = 2**16  # samples times channels read at once
ENCODE_SAMPLES = 2**16  # libsndfile's ogg encoder overflows the stack on very long writes
WAV_LIMIT_SAMPLES = (2**32 - 4096) // 2  # a wav header counts bytes with 32 bits
AAC_BITS_PER_SAMPLE = 4  # 96 kbit/s at 24 kHz; the "fast" coder is twice as fast and cleaner

# First bytes of the files that libsndfile reads best; it stops early in mp3 and ogg files made of
# several parts, and prints to the terminal while it reads mp3.
LOSSLESS_MAGIC = (b"RIFF", b"RF64", b"riff", b"fLaC", b"FORM", b"caff", b".snd")
PLAYLISTS = ("hls", "concat", "dash", "sdp", "image2")  # libav would open the files named inside
EXACT_DURATION = ("mov,mp4,m4a,3gp,3g2,mj2", "ogg", "flac", "wav")

ENCODING_ERRORS = (OSError, soundfile.SoundFileError)
VORBIS_COMPRESSION = 0.1  # 0 best .. 1 smallest; about 100 kbit/s at 40 kHz
MP3_COMPRESSION = 0.1  # 0 best .. 1 smallest; about 75 kbit/s at 44.1 kHz
MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
AAC_RATES = (*MP3_RATES, 64000, 88200, 96000)


class AudioError(ValueError):
    """An audio file cannot be read or written; the message is one line that names the file."""


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
    """Read any audio or video file block by block as mono float32 at one sample rate.

    seconds is the length that the file states (an estimate for raw mp3 and aac streams, None if it
    states none); peak is the largest magnitude among the samples read so far.
    Opening and reading raise AudioError: missing, a folder, empty, not audio, no audio stream,
    NaN or infinite samples, damaged, or shorter than min_seconds in all.
    """

    def __init__(
        self, path: Path | str, sample_rate: int | None = None, min_seconds: float = 0.0
    ) -> None:
        self.path = Path(path)
        self.min_seconds = min_seconds
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
        """Yield (n,) float32 blocks of the given length; the last may be shorter."""
        size = max(1, round(seconds * self.sample_rate))
        pending = np.zeros(0, np.float32)
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
            raise AudioError(f"{self.path}: there is no sound in this file (0 samples)")
        if total < self.min_seconds * self.sample_rate:
            found = total / self.sample_rate
            raise AudioError(
                f"{self.path}: only {found:.3f} s long, at least {self.min_seconds:g} s are needed"
            )
        if held:
            yield np.concatenate(parts)

    def _resampled(self) -> Iterator[np.ndarray]:
        resampler: Resampler | None = None
        seconds = 0.0
        for mono, rate in self._source.blocks():
            if not np.isfinite(mono).all():
                seconds += int(np.argmin(np.isfinite(mono))) / rate
                raise AudioError(f"{self.path}: NaN or infinite samples at {seconds:.2f} s")
            self.peak = max(self.peak, float(np.abs(mono).max(initial=0.0)))
            seconds += len(mono) / rate
            if resampler is None or resampler.source_rate != rate:
                if resampler is not None:
                    yield resampler.flush()
                resampler = Resampler(rate, self.sample_rate)
            yield resampler.push(mono)
        if resampler is not None:
            yield resampler.flush()


class _Source(Protocol):
    """A decoder: mono blocks, each with the rate it was stored at."""

    sample_rate: int
    seconds: float | None

    def blocks(self) -> Iterator[tuple[np.ndarray, int]]: ...

    def close(self) -> None: ...


def _open_source(path: Path) -> _Source:
    try:
        if path.is_dir():
            raise AudioError(f"{path}: is a folder, not an audio file")
        if path.exists() and not path.is_file():
            raise AudioError(f"{path}: is not a file")
        with path.open("rb") as file:
            head = file.read(4)
    except FileNotFoundError as error:
        raise AudioError(f"{path}: no such file") from error
    except OSError as error:
        raise AudioError(f"{path}: cannot be opened ({error.strerror})") from error
    if not head:
        raise AudioError(f"{path}: the file is empty (0 bytes)")
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
            yield block.mean(axis=1, dtype=np.float32), self.sample_rate


class _LibavSource:
    def __init__(self, path: Path) -> None:
        import av

        self._path = path
        try:
            self._container = av.open(str(path.absolute()), metadata_errors="replace")
        except (av.FFmpegError, OSError) as error:
            raise AudioError(f"{path}: not an audio or video file that can be read") from error
        stream = self._container.streams.best("audio")
        if self._container.format.name in PLAYLISTS or stream is None:
            self.close()
            raise AudioError(f"{path}: there is no audio stream in this file")
        if stream.codec_context is None or not stream.codec_context.sample_rate:
            self.close()
            raise AudioError(f"{path}: its audio is stored in a way that cannot be decoded")
        self._stream = stream
        self.sample_rate: int = stream.codec_context.sample_rate
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
                    frames = packet.decode()
                except av.error.InvalidDataError:
                    damaged_at = position if damaged_at is None else damaged_at
                    continue
                for frame in frames:
                    if damaged_at is not None:
                        raise _damaged(self._path, damaged_at, self.seconds)
                    if held is not None:
                        yield held
                    position += frame.samples / frame.sample_rate
                    held = _frame_to_mono(frame), frame.sample_rate
        except av.FFmpegError as error:
            raise _damaged(self._path, position, self.seconds) from error
        if held is None and damaged_at is not None:
            raise AudioError(f"{self._path}: not an audio or video file that can be read")
        if held is not None:
            mono, rate = held
            yield mono[: len(mono) - self._padding(position, rate, len(mono))], rate
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
    of_all = f" of {seconds:.1f} s" if seconds else ""
    return AudioError(f"{path}: damaged, only the first {position:.1f} s{of_all} can be read")


def _frame_to_mono(frame: av.AudioFrame) -> np.ndarray:
    samples = frame.to_ndarray()  # (C, n) if planar, else (1, n * C)
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    if samples.dtype == np.uint8:
        samples = samples.astype(np.float32) / 128 - 1
    elif samples.dtype.kind == "i":
        samples = samples.astype(np.float32) / -float(np.iinfo(samples.dtype).min)
    return samples.mean(axis=0, dtype=np.float32)


class AudioWriter:
    """Write mono audio block by block into .wav .flac .mp3 .m4a or .ogg; 16 bit where that applies.

    sample_rate is that of the audio given; file_rate (default: the same) that of the file. mp3 and
    m4a know few rates, so their file gets the next higher one they know. Samples beyond -1..1 are
    clipped. The file appears under its name only when the `with` block ends without an error;
    until then it is a hidden temporary file beside it. Raises AudioError.
    """

    def __init__(self, path: Path | str, sample_rate: int, file_rate: int | None = None) -> None:
        self.path = Path(path)
        self._suffix = self.path.suffix.lower()
        if self._suffix not in OUTPUT_SUFFIXES:
            raise AudioError(
                f"{self.path}: cannot write {self._suffix or 'a file without a suffix'}; "
                f"choose one of {' '.join(OUTPUT_SUFFIXES)}"
            )
        encoder, rates = ENCODERS[self._suffix]
        self.file_rate = _next_rate(file_rate or sample_rate, rates)
        self._resampler = Resampler(sample_rate, self.file_rate)
        self._written = 0
        self._encoder: _Encoder | None = None
        self._temporary = config.unfinished(self.path, os.getpid())
        try:
            if self.path.is_dir():
                raise AudioError(f"{self.path}: is a folder; name a file to write")
            if self.path.parent.is_file():
                raise AudioError(
                    f"{self.path}: cannot be written ({self.path.parent} is a file, not a folder)"
                )
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._temporary.touch()  # libav would notice only when it writes
            self._encoder = encoder(self._temporary, self._suffix, self.file_rate)
        except ENCODING_ERRORS as error:
            raise self._failed(error) from error

    def __enter__(self) -> AudioWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        try:
            if kind is None:
                self._commit()
        finally:
            self._discard()

    def write(self, audio: np.ndarray) -> None:
        """Append audio: (n,) float in -1..1."""
        if audio.ndim != 1:
            raise ValueError(f"audio must be mono of shape (n,), not {audio.shape}")
        if not np.isfinite(audio).all():
            raise AudioError(f"{self.path}: not written, the audio has NaN or infinite samples")
        self._encode(self._resampler.push(audio))

    def _encode(self, audio: np.ndarray) -> None:
        assert self._encoder is not None
        self._written += len(audio)
        if self._suffix == ".wav" and self._written > WAV_LIMIT_SAMPLES:
            raise AudioError(f"{self.path}: a wav file holds at most 4 GiB; choose .flac")
        try:
            for start in range(0, len(audio), ENCODE_SAMPLES):
                self._encoder.write(np.clip(audio[start : start + ENCODE_SAMPLES], -1.0, 1.0))
        except ENCODING_ERRORS as error:
            raise self._failed(error) from error

    def _commit(self) -> None:
        assert self._encoder is not None
        self._encode(self._resampler.flush())
        if self._written == 0:
            raise AudioError(f"{self.path}: not written, there is no audio to write")
        try:
            self._encoder.finish()
            self._encoder.close()
            self._temporary.replace(self.path)
        except ENCODING_ERRORS as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> AudioError:
        self._discard()
        reason = getattr(error, "strerror", None) or f"{str(error).rstrip('.')}; is the disk full?"
        return AudioError(f"{self.path}: cannot be written ({reason})")

    def _discard(self) -> None:
        with suppress(*ENCODING_ERRORS):
            if self._encoder is not None:
                self._encoder.close()
        try:
            self._temporary.unlink(missing_ok=True)
        except NotADirectoryError:
            pass  # there is no such folder, so nothing was made in it
        except OSError as error:
            logger.warning("%s: could not be removed (%s)", self._temporary, error.strerror)


class _Encoder(Protocol):
    def write(self, audio: np.ndarray) -> None: ...

    def finish(self) -> None: ...

    def close(self) -> None: ...


class _LibsndfileEncoder:
    def __init__(self, path: Path, suffix: str, sample_rate: int) -> None:
        kind, subtype, compression = {
            ".wav": ("WAV", "PCM_16", None),
            ".flac": ("FLAC", "PCM_16", None),
            ".ogg": ("OGG", "VORBIS", VORBIS_COMPRESSION),
            ".mp3": ("MP3", "MPEG_LAYER_III", MP3_COMPRESSION),
        }[suffix]
        self._file = soundfile.SoundFile(
            str(path), "w", sample_rate, 1, subtype, format=kind, compression_level=compression
        )

    def write(self, audio: np.ndarray) -> None:
        self._file.write(audio)

    def finish(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class _AacEncoder:
    def __init__(self, path: Path, suffix: str, sample_rate: int) -> None:
        import av

        self._position = 0
        with _libav_errors():
            self._container = av.open(str(path.absolute()), "w", format="mp4")
            self._stream = self._container.add_stream(
                "aac", rate=sample_rate, layout="mono", options={"aac_coder": "fast"}
            )
            self._stream.bit_rate = AAC_BITS_PER_SAMPLE * sample_rate

    def write(self, audio: np.ndarray) -> None:
        import av

        if len(audio) == 0:
            return
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(audio[None], np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = self._stream.rate
        frame.time_base = Fraction(1, self._stream.rate)
        frame.pts = self._position
        self._position += len(audio)
        with _libav_errors():
            self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        with _libav_errors():
            self._container.mux(self._stream.encode(None))

    def close(self) -> None:
        with _libav_errors():
            self._container.close()


@contextmanager
def _libav_errors() -> Iterator[None]:
    import av

    try:
        yield
    except av.FFmpegError as error:
        raise OSError(error.errno, error.strerror) from error


ENCODERS: dict[str, tuple[Callable[[Path, str, int], _Encoder], tuple[int, ...]]] = {
    ".wav": (_LibsndfileEncoder, ()),
    ".flac": (_LibsndfileEncoder, ()),
    ".mp3": (_LibsndfileEncoder, MP3_RATES),
    ".m4a": (_AacEncoder, AAC_RATES),
    ".ogg": (_LibsndfileEncoder, ()),
}
OUTPUT_SUFFIXES = tuple(ENCODERS)


def _next_rate(wanted: int, rates: tuple[int, ...]) -> int:
    """Choose the lowest of the rates that is not below the wanted one; no rates = any is good."""
    return min((rate for rate in rates if rate >= wanted), default=rates[-1] if rates else wanted)


class Resampler:
    """Change the sample rate of a stream: (n,) float32 blocks in, blocks out, any block lengths."""

    def __init__(self, source_rate: int, target_rate: int) -> None:
        self.source_rate = source_rate
        self.target_rate = target_rate
        self._stream: soxr.ResampleStream | None = None
        if source_rate != target_rate:
            self._stream = soxr.ResampleStream(source_rate, target_rate, 1)

    def push(self, audio: np.ndarray) -> np.ndarray:
        """Take the next block, return what is ready."""
        audio = np.asarray(audio, np.float32)
        return audio if self._stream is None else self._stream.resample_chunk(audio)

    def flush(self) -> np.ndarray:
        """Return what is left; in all, N samples become N * target_rate / source_rate, rounded."""
        rest = np.zeros(0, np.float32)
        return rest if self._stream is None else self._stream.resample_chunk(rest, last=True)


def resample(audio: np.ndarray, source_rate: int, target_rate: int) -> np.ndarray:
    """Change the sample rate of (N,) float32 audio; returns (N * target_rate / source_rate,)."""
    if source_rate == target_rate:
        return np.asarray(audio, np.float32)
    return soxr.resample(np.asarray(audio, np.float32), source_rate, target_rate)
