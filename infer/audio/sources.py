"""Decoders: blocks of samples from files of any kind, each at its place in time.

soundfile (libsndfile) reads the lossless containers, PyAV (libav) everything else: compressed audio
and the sound of videos. No ffmpeg program is needed.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import soundfile

from errors import AudioError, os_reason
from infer.voice.outline import HEAD, recognise

if TYPE_CHECKING:
    import av

logger = logging.getLogger(__name__)

DECODE_VALUES = 2**16  # samples times channels read at once
RATES = (1000, 1_000_000)  # Hz; no recording has another rate, whatever its header has

# First bytes of the files that libsndfile reads best; it stops early in mp3 and ogg files made of
# several parts, and prints to the terminal while it reads mp3.
LOSSLESS_MAGIC = (b"RIFF", b"RF64", b"riff", b"fLaC", b"FORM", b"caff", b".snd")

# The containers that libav may open: files that hold sound. What names other files, devices or
# addresses (hls, dash, concat, sdp, image2, lavfi ...) or has no mark of its own (raw samples) is
# none of them.
CONTAINERS = """
aa aac ac3 aiff amr amrnb amrwb ape asf au avi caf dsf dts dtshd dv eac3 flac flv gsm
gxf iff ircam live_flv latm loas matroska mlp mov mp3 mpc mpc8 mpeg mpegts mxf nistsphere nsv nut
ogg oma pva qcp rm rso shn smjpeg sox swf tak truehd tta ty vob voc vqf w64 wav webm wsd wtv wv
xwma
""".split()
STALL_SECONDS = 20.0  # libav has to give a sound, or the end, at least so often

JITTER_SECONDS = 0.1  # time stamps may be off by so much: coarse clocks, a frame too many or few
LONGEST_HOLE = 3600.0  # seconds of silence put in for a hole, where a file states no length
EXACT_DURATION = ("mov,mp4,m4a,3gp,3g2,mj2", "ogg", "flac", "wav")


class Source(Protocol):
    """A decoder: blocks (n, C) of all channels, each with the rate it was stored at.

    seconds: as the file states it, None if it does not.
    """

    sample_rate: int
    seconds: float | None

    def blocks(self) -> Iterator[tuple[np.ndarray, int]]: ...

    def close(self) -> None: ...


def open_source(path: Path) -> Source:
    """Open an audio or video file. AudioError."""
    try:
        if path.is_dir():
            raise AudioError("folder", file=path)
        if path.exists() and not path.is_file():
            raise AudioError("not_a_file", file=path)
        with path.open("rb") as file:
            head = file.read(HEAD)
    except FileNotFoundError as error:
        raise AudioError("no_file", file=path) from error
    except OSError as error:
        raise AudioError("opened", file=path, reason=os_reason(error)) from error
    if not head:
        raise AudioError("empty", file=path)
    if head[:4] not in LOSSLESS_MAGIC:
        try:
            return LibavSource(path)
        except AudioError as error:
            lossless = _open_lossless(path)  # a rare format of libsndfile
            if lossless is None:
                raise (_other_kind(path, head) or error) from None
            return lossless
    return _open_lossless(path) or LibavSource(path)


def _other_kind(path: Path, head: bytes) -> AudioError | None:
    """What a file that cannot be read is by its first bytes, None where they tell nothing."""
    what = recognise(head)
    if what is None or what.name == "is_recording":
        return None
    return AudioError("is_other", file=path, what=what)


def sound_name(path: Path) -> str | bytes:
    """Return a path as libsndfile takes it, a name that is no UTF-8 too."""
    return str(path) if os.name == "nt" else os.fsencode(path)


def _open_lossless(path: Path) -> LibsndfileSource | None:
    # libsndfile would take any bytes for samples, or search them for mp3 and say so on stderr
    if path.suffix.lower() in (".raw", ".mp3"):
        return None
    try:
        file = soundfile.SoundFile(sound_name(path))
    except soundfile.SoundFileError:
        return None
    # a wav that was streamed to disk states no length; libav does not mind
    if file.frames == 0 or not RATES[0] <= file.samplerate <= RATES[1]:
        file.close()
        return None
    return LibsndfileSource(path, file)


class LibsndfileSource:
    """A lossless file; behind the first damage libav goes on."""

    def __init__(self, path: Path, file: soundfile.SoundFile) -> None:
        self._path = path
        self._file = file
        self.sample_rate: int = file.samplerate
        self.seconds: float | None = file.frames / file.samplerate

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def blocks(self) -> Iterator[tuple[np.ndarray, int]]:
        """Yield (n, C) float32 and the rate."""
        frames = max(1, DECODE_VALUES // self._file.channels)
        position = 0
        while position < self._file.frames:
            try:
                block = self._file.read(frames, dtype="float32", always_2d=True)
            except soundfile.SoundFileError:
                block = np.zeros((0, self._file.channels), np.float32)
            if len(block) == 0:
                yield from self._rest(position)
                return
            position += len(block)
            yield block, self.sample_rate

    def _rest(self, position: int) -> Iterator[tuple[np.ndarray, int]]:
        """What libav decodes behind a position where libsndfile stops."""
        known = position
        try:
            rest = LibavSource(self._path)
            try:
                for block, rate in rest.blocks():
                    skipped = min(known, len(block))
                    known -= skipped
                    if skipped < len(block):
                        yield block[skipped:], rate
            finally:
                rest.close()
        except AudioError:
            if position == 0:
                raise
            seconds = position / self.sample_rate
            logger.warning("%s: damaged; only the first %.1f s are read", self._path, seconds)


class LibavSource:
    """Sound from a container that libav knows, placed by its time stamps."""

    def __init__(self, path: Path) -> None:
        import av

        self._path = path
        self._damages = 0  # packets that cannot be decoded
        try:
            self._container: Any = av.open(
                str(path.absolute()),
                metadata_errors="replace",
                options={"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "file"},
                timeout=STALL_SECONDS,
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            raise AudioError("unreadable", file=path) from error
        self._stream: Any = self._container.streams.best("audio")
        if self._stream is None:
            self.close()
            raise AudioError("no_stream", file=path)
        context: Any = self._stream.codec_context
        if context is None or not RATES[0] <= (context.sample_rate or 0) <= RATES[1]:
            self.close()
            raise AudioError("codec", file=path)
        self.sample_rate: int = context.sample_rate
        self.seconds: float | None = self._length()

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def blocks(self) -> Iterator[tuple[np.ndarray, int]]:
        """Yield (n, C) float32 and the rate; holes in the time stamps are silence.

        AudioError where nothing can be decoded, or libav is at work for ever.
        """
        position = 0.0  # seconds that were given
        origin = self._origin()
        held: tuple[np.ndarray, int] | None = None  # the last frame, whose end may be padding
        for frame in self._frames():
            rate = frame.sample_rate
            if held is not None:
                yield held
            if frame.pts is not None and frame.time_base:
                hole = float(frame.pts * frame.time_base) - origin - position
                if JITTER_SECONDS < hole <= self._longest_hole(position):
                    if position:
                        logger.warning("%s: a hole of %.1f s at %.1f s", self._path, hole, position)
                    yield from _silence(round(hole * rate), _channels(frame), rate)
                    position += round(hole * rate) / rate
                elif abs(hole) > JITTER_SECONDS:  # a part with a clock of its own
                    origin += hole
            position += frame.samples / rate
            held = _frame_to_samples(frame), rate
        if held is None and self._damages:
            raise AudioError("unreadable", file=self._path)
        if held is None:
            return
        last, rate = held
        yield last[: len(last) - self._padding(position, rate, len(last))], rate
        self._check_length(position)

    def _frames(self) -> Iterator[Any]:
        """Yield what can be decoded; damage is noted in the log."""
        import av

        progress = time.monotonic()
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
                frames = [] if packet is None else packet.decode()
            except av.error.InvalidDataError:
                self._damages += 1
                packet, frames = True, []
            except av.FFmpegError as error:
                self._damages += 1
                logger.warning("%s: damaged; reading ends there (%s)", self._path, error.strerror)
                return
            for frame in frames:
                if RATES[0] <= frame.sample_rate <= RATES[1] and frame.samples:
                    progress = time.monotonic()
                    yield frame
                    progress = time.monotonic()
            if time.monotonic() - progress > STALL_SECONDS:
                raise AudioError("stalled", file=self._path, seconds=STALL_SECONDS)
            if packet is None:
                break
        if self._damages:
            logger.warning("%s: damaged; %d parts cannot be decoded", self._path, self._damages)

    def _length(self) -> float | None:
        """Seconds from the beginning of the file to the end of its sound, as it states them."""
        import av

        stream = self._stream
        if stream.duration is not None and stream.time_base is not None:
            late = 0.0
            if stream.start_time is not None:
                late = max(0.0, float(stream.start_time * stream.time_base) - self._origin())
            return late + float(stream.duration * stream.time_base)
        if self._container.duration is not None:
            return self._container.duration / av.time_base
        return None

    def _origin(self) -> float:
        """The time stamp of the beginning, in seconds; the picture may begin before the sound."""
        import av

        start = self._container.start_time
        return 0.0 if start is None else start / av.time_base

    def _longest_hole(self, position: float) -> float:
        """A hole that ends behind the stated end is an error of the clock."""
        return LONGEST_HOLE if self.seconds is None else self.seconds - position + JITTER_SECONDS

    @property
    def _is_exact(self) -> bool:
        exact = self._container.format.name in EXACT_DURATION
        return exact and self._stream.duration is not None

    def _padding(self, position: float, rate: int, last: int) -> int:
        """Samples of the last frame beyond the stated end, which libav does not always cut off."""
        excess = round((position - (self.seconds or 0.0)) * rate)
        return excess if self._is_exact and 0 < excess < last else 0

    def _check_length(self, position: float) -> None:
        stated = self.seconds or 0.0
        tolerance = 0.5 + 0.01 * stated if self._is_exact else 0.1 * stated
        if stated - position > tolerance:
            logger.warning("%s: %.1f s of about %.1f s found", self._path, position, stated)


def _silence(samples: int, channels: int, rate: int) -> Iterator[tuple[np.ndarray, int]]:
    step = max(1, DECODE_VALUES // channels)
    for start in range(0, samples, step):
        yield np.zeros((min(step, samples - start), channels), np.float32), rate


def _channels(frame: av.AudioFrame) -> int:
    return max(1, frame.layout.nb_channels)


def _frame_to_samples(frame: av.AudioFrame) -> np.ndarray:
    """(n, C) float32 in -1..1."""
    samples: np.ndarray  # (C, n) if planar, else (1, n * C)
    if frame.format.name == "s64":  # which PyAV does not know
        plane = memoryview(frame.planes[0])
        samples = np.frombuffer(plane, np.int64, frame.samples * _channels(frame))
    else:
        samples = frame.to_ndarray()
    samples = samples.T if frame.format.is_planar else samples.reshape(-1, _channels(frame))
    if samples.dtype == np.uint8:
        return samples.astype(np.float32) / 128 - 1
    if samples.dtype.kind == "i":
        return samples.astype(np.float32) / -float(np.iinfo(samples.dtype.name).min)
    return samples.astype(np.float32)
