"""Audio files written block by block: by soundfile (libsndfile), m4a by PyAV (libav)."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile

import config
from config import replacing
from errors import AudioError, UserError, os_reason
from infer.audio.resampling import Resampler
from infer.audio.sources import sound_name

logger = logging.getLogger(__name__)

ENCODE_SAMPLES = 2**16  # libsndfile's ogg encoder overflows the stack on very long writes
WAV_LIMIT_SAMPLES = (2**32 - 4096) // 2  # a wav header counts bytes with 32 bits
AAC_BITS_PER_SAMPLE = 4  # 96 kbit/s at 24 kHz; the "fast" coder is twice as fast and cleaner

ENCODING_ERRORS = (OSError, soundfile.SoundFileError)
VORBIS_COMPRESSION = 0.1  # 0 best .. 1 smallest; about 100 kbit/s at 40 kHz
OPUS_COMPRESSION = 0.5  # 0 best .. 1 smallest
MP3_COMPRESSION = 0.1  # 0 best .. 1 smallest; about 75 kbit/s at 44.1 kHz
MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
OPUS_RATES = (48000,)  # what every decoder gives, whatever it was made from
AAC_RATES = (*MP3_RATES, 64000, 88200, 96000)


class AudioWriter:
    """Write audio block by block: .wav .flac .mp3 .m4a .ogg .opus; 16 bit where that applies.

    sample_rate is that of the audio given; file_rate (default: the same) that of the file. mp3, m4a
    and opus know few rates, so their file gets the next higher one they know. channels: 1 or 2.
    Samples beyond -1..1 are clipped. The file appears under its name only when the `with` block
    ends without an error; until then it is a hidden temporary file beside it. Raises AudioError.
    """

    def __init__(
        self,
        path: Path | str,
        sample_rate: int,
        file_rate: int | None = None,
        channels: int = 1,
    ) -> None:
        self.path = Path(path)
        self._suffix = self.path.suffix.lower()
        if self._suffix not in OUTPUT_SUFFIXES:
            suffix = self._suffix or UserError("no_suffix")
            raise AudioError("file_type", file=self.path, suffix=suffix, known=OUTPUT_SUFFIXES)
        encoder, rates = ENCODERS[self._suffix]
        self.file_rate = _next_rate(file_rate or sample_rate, rates)
        self._resampler = Resampler(sample_rate, self.file_rate, channels)
        self._shape = () if channels == 1 else (channels,)
        self._written = 0
        self._encoder: _Encoder | None = None
        self._temporary = config.unfinished(self.path, os.getpid())
        try:
            if self.path.is_dir():
                raise AudioError("written_folder", file=self.path)
            if self.path.parent.is_file():
                reason = UserError("file_not_folder", file=self.path.parent)
                raise AudioError("written", file=self.path, reason=reason)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._temporary.touch()  # libav would notice only when it writes
            self._encoder = encoder(self._temporary, self._suffix, self.file_rate, channels)
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
        """Append audio: float in -1..1, (n,), of more than one channel (n, channels)."""
        if audio.shape[1:] != self._shape or audio.ndim == 0:
            raise ValueError(f"audio must have the shape {('n', *self._shape)}, not {audio.shape}")
        if not np.isfinite(audio).all():
            raise AudioError("written_numbers", file=self.path)
        self._encode(self._resampler.push(audio))

    def _encode(self, audio: np.ndarray) -> None:
        assert self._encoder is not None
        self._written += len(audio)
        if self._suffix == ".wav" and self._written > WAV_LIMIT_SAMPLES:
            raise AudioError("wav_size", file=self.path)
        try:
            for start in range(0, len(audio), ENCODE_SAMPLES):
                self._encoder.write(np.clip(audio[start : start + ENCODE_SAMPLES], -1.0, 1.0))
        except ENCODING_ERRORS as error:
            raise self._failed(error) from error

    def _commit(self) -> None:
        assert self._encoder is not None
        self._encode(self._resampler.flush())
        if self._written == 0:
            raise AudioError("written_empty", file=self.path)
        try:
            self._encoder.finish()
            self._encoder.close()
            self._temporary.replace(self.path)
        except ENCODING_ERRORS as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> AudioError:
        self._discard()
        if isinstance(error, OSError) and error.strerror:
            reason = os_reason(error)
        else:
            reason = UserError("written_full", reason=str(error).rstrip("."))
        return AudioError("written", file=self.path, reason=reason)

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
    def __init__(self, path: Path, suffix: str, sample_rate: int, channels: int) -> None:
        kind, subtype, compression = {
            ".wav": ("WAV", "PCM_16", None),
            ".flac": ("FLAC", "PCM_16", None),
            ".ogg": ("OGG", "VORBIS", VORBIS_COMPRESSION),
            ".opus": ("OGG", "OPUS", OPUS_COMPRESSION),
            ".mp3": ("MP3", "MPEG_LAYER_III", MP3_COMPRESSION),
        }[suffix]
        self._file = soundfile.SoundFile(
            sound_name(path), "w", sample_rate, channels, subtype, format=kind,
            compression_level=compression,
        )  # fmt: skip

    def write(self, audio: np.ndarray) -> None:
        self._file.write(audio)

    def finish(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class _AacEncoder:
    def __init__(self, path: Path, suffix: str, sample_rate: int, channels: int) -> None:
        import av

        self._layout = "mono" if channels == 1 else "stereo"
        self._position = 0
        with _libav_errors():
            self._container = av.open(str(path.absolute()), "w", format="mp4")
            self._stream = self._container.add_stream(
                "aac", rate=sample_rate, layout=self._layout, options={"aac_coder": "fast"}
            )
            self._stream.bit_rate = AAC_BITS_PER_SAMPLE * sample_rate * channels

    def write(self, audio: np.ndarray) -> None:
        import av

        if len(audio) == 0:
            return
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(np.atleast_2d(audio.T), np.float32),
            format="fltp", layout=self._layout,
        )  # fmt: skip
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


def write_wav(path: Path, audio: np.ndarray, sample_rate: int, subtype: str = "FLOAT") -> None:
    """Write (N,) samples as they are: complete, or not at all. UserError."""
    with replacing(path) as temporary:
        try:
            soundfile.write(temporary, audio, sample_rate, format="WAV", subtype=subtype)
        except soundfile.SoundFileError as error:
            reason = UserError("written_full", reason=str(error).rstrip("."))
            raise UserError("written", file=path, reason=reason) from error


ENCODERS: dict[str, tuple[Callable[[Path, str, int, int], _Encoder], tuple[int, ...]]] = {
    ".wav": (_LibsndfileEncoder, ()),
    ".flac": (_LibsndfileEncoder, ()),
    ".mp3": (_LibsndfileEncoder, MP3_RATES),
    ".m4a": (_AacEncoder, AAC_RATES),
    ".ogg": (_LibsndfileEncoder, ()),
    ".opus": (_LibsndfileEncoder, OPUS_RATES),
}
OUTPUT_SUFFIXES = tuple(ENCODERS)


def _next_rate(wanted: int, rates: tuple[int, ...]) -> int:
    """Choose the lowest of the rates that is not below the wanted one; no rates = any is good."""
    return min((rate for rate in rates if rate >= wanted), default=rates[-1] if rates else wanted)


def result_suffix(source: Path, format: str) -> str:
    """Return how the name of a result ends: in the format asked for, else as its recording."""
    suffix = f".{format}" if format else source.suffix.lower()
    return suffix if suffix in OUTPUT_SUFFIXES else ".wav"
