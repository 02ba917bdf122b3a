"""A video with another sound: the picture is copied as it is, packet by packet."""

from __future__ import annotations

import os
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

import config
from errors import AudioError, UserError, os_reason
from infer.audio.sources import CONTAINERS, STALL_SECONDS

if TYPE_CHECKING:
    import av

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv")
FORMATS = {".mkv": "matroska"}  # libav's names, where they are not those of the suffixes
AUDIO_BITS_PER_SECOND = 256_000


def has_picture(path: Path) -> bool:
    """Whether a song comes with a picture, which a video of its cover would keep.

    AudioError: libav cannot open the file.
    """
    with _open(path) as container:
        return bool(_pictures(container))


class VideoWriter:
    """Write (n, 2) blocks as the sound of a copy of a video; it appears when it is complete.

    The sound begins where the source does, as AudioReader reads it. Raises AudioError.
    """

    def __init__(self, path: Path, source: Path, sample_rate: int) -> None:
        import av

        self._path = path
        hidden = config.unfinished(path, os.getpid())
        self._temporary = hidden.with_name(hidden.name + path.suffix)
        self._source = _open(source)
        pictures = _pictures(self._source)
        if not pictures:
            self._source.close()
            raise AudioError("no_picture", file=source)
        suffix = path.suffix.lower()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._target = av.open(
                str(self._temporary.absolute()), "w", format=FORMATS.get(suffix, suffix[1:])
            )
        except (av.FFmpegError, OSError) as error:
            self._give_up()
            raise self._failed(error) from error
        try:
            self._picture = self._target.add_stream_from_template(pictures[0])
            self._sound = self._target.add_stream("aac", rate=sample_rate, layout="stereo")
            self._sound.bit_rate = AUDIO_BITS_PER_SECOND
            self._target.start_encoding()
        except (av.FFmpegError, ValueError) as error:
            self._give_up()
            codec = pictures[0].codec_context.name
            raise AudioError("picture_kind", file=path, codec=codec, suffix=suffix) from error
        self._packets = self._source.demux(pictures[0])
        try:
            self._next: av.Packet | None = next(self._packets, None)
        except (av.FFmpegError, OSError) as error:
            self._give_up()
            raise AudioError("unreadable", file=source) from error
        begins = Fraction(self._source.start_time or 0, av.time_base)
        self._position = round(begins * sample_rate)
        self._rate = sample_rate

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._give_up()

    def write(self, audio: np.ndarray) -> None:
        """Append (n, 2) samples in -1..1, and the pictures that are seen with them."""
        import av

        if not len(audio):
            return
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(np.clip(audio, -1, 1).T, np.float32), "fltp", "stereo"
        )
        frame.sample_rate = self._rate
        frame.time_base = Fraction(1, self._rate)
        frame.pts = self._position
        self._position += len(audio)
        try:
            self._target.mux(self._sound.encode(frame))
            self._copy_pictures(self._position / self._rate)
        except av.FFmpegError as error:
            raise self._failed(error) from error

    def _copy_pictures(self, until: float) -> None:
        """Copy the packets up to a time in seconds."""
        while self._next is not None:
            packet = self._next
            if packet.dts is not None:
                if packet.dts * packet.time_base > until:
                    return
                packet.stream = self._picture
                self._target.mux(packet)
            self._next = next(self._packets, None)

    def _finish(self) -> None:
        import av

        try:
            self._target.mux(self._sound.encode(None))
            self._copy_pictures(float("inf"))
            self._target.close()
            self._temporary.replace(self._path)
        except (av.FFmpegError, OSError) as error:
            raise self._failed(error) from error

    def _give_up(self) -> None:
        for container in (self._source, getattr(self, "_target", None)):
            if container is not None:
                container.close()
        with suppress(NotADirectoryError):  # there is no such folder, so nothing was made in it
            self._temporary.unlink(missing_ok=True)

    def _failed(self, error: Exception) -> AudioError:
        has_reason = isinstance(error, OSError) and error.strerror
        reason = os_reason(error) if has_reason else UserError("other", message=str(error))
        return AudioError("written", file=self._path, reason=reason)


def _open(path: Path) -> av.container.InputContainer:
    import av

    try:
        return av.open(
            str(path.absolute()),
            metadata_errors="replace",
            options={"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "file"},
            timeout=STALL_SECONDS,
        )
    except FileNotFoundError as error:
        raise AudioError("no_file", file=path) from error
    except (av.FFmpegError, OSError, ValueError) as error:
        raise AudioError("unreadable", file=path) from error


def _pictures(container: av.container.InputContainer) -> list[av.VideoStream]:
    return [stream for stream in container.streams.video if not _is_cover_art(stream)]


def _is_cover_art(stream: av.VideoStream) -> bool:
    import av

    return bool(stream.disposition & av.stream.Disposition.attached_pic)
