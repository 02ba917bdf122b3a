"""Many recordings, one after the other, on a thread of its own: the page only looks at it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from infer.options import ConvertOptions
from tools.web import results
from tools.web.session import ConversionCancelled, ConversionError, Request, Session

WAITING, RUNNING, DONE, FAILED, STOPPED = "waiting", "running", "done", "failed", "stopped"


@dataclass(frozen=True)
class Row:
    """One recording: its name, how far it is, and what became of it."""

    name: str
    state: str = WAITING
    share: float = 0.0
    audio_seconds: float = 0.0
    error: str = ""
    output: Path | None = None


class Batch:
    """Converts recordings into a new folder and zips them; a bad one does not stop the others.

    options: what all have in common, their input and output are replaced.
    """

    def __init__(
        self, session: Session, options: ConvertOptions, recordings: Sequence[Path], format: str
    ) -> None:
        self.rows = [Row(path.name) for path in recordings]
        self.folder = results.new_folder(options.voice)
        self.zip: Path | None = None
        self.error = ""  # why there is no zip, when that went wrong
        self.started, self.ended = time.monotonic(), 0.0
        self._session, self._options, self._format = session, options, format
        self._recordings = recordings
        self._lock = threading.Lock()
        self._request: Request | None = None
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether there is more to come."""
        return self._thread.is_alive()

    @property
    def share(self) -> float:
        """Return how much is done, 0..1."""
        return sum(1.0 if row.state != RUNNING else row.share for row in self._begun()) / max(
            1, len(self.rows)
        )

    @property
    def seconds_left(self) -> float | None:
        """Return the estimated seconds to the end, None while nothing is known."""
        share = self.share
        if not 0.02 < share < 1:
            return None
        return (time.monotonic() - self.started) * (1 - share) / share

    def stop(self) -> None:
        """Give up the recording that is converted and those that wait; finished ones stay."""
        with self._lock:
            self._is_stopping = True
            if self._request is not None:
                self._session.cancel(self._request.number)

    def wait(self, seconds: float | None = None) -> None:
        """Wait for the end."""
        self._thread.join(seconds)

    def _begun(self) -> list[Row]:
        return [row for row in self.rows if row.state != WAITING]

    def _run(self) -> None:
        for number, recording in enumerate(self._recordings):
            self.rows[number] = self._convert(number, recording)
        made = [row.output for row in self.rows if row.output]
        try:
            if made:
                self.zip = results.zip_files(made, self.folder.with_name(self.folder.name + ".zip"))
            else:
                self.folder.rmdir()
        except OSError as error:
            self.error = f"{self.folder}: {error}"
        self.ended = time.monotonic()

    def _convert(self, number: int, recording: Path) -> Row:
        row = self.rows[number]
        output = results.unused_name(self.folder, recording.stem, self._format)
        options = replace(self._options, input=recording, output=output)
        with self._lock:
            if self._is_stopping:
                return replace(row, state=STOPPED)
            self._request = self._session.convert(options)
        try:
            outcome = self._request.result(self._progress_of(number))
        except ConversionCancelled:
            return replace(row, state=STOPPED)
        except ConversionError as error:
            return replace(row, state=FAILED, error=without_folder(str(error), recording))
        return replace(row, state=DONE, audio_seconds=outcome["audio_seconds"], output=output)

    def _progress_of(self, number: int) -> Callable[[float], None]:
        def tell(share: float) -> None:
            self.rows[number] = replace(self.rows[number], state=RUNNING, share=share)

        tell(0.0)
        return tell


def without_folder(message: str, path: Path) -> str:
    """Return a message that names a file by its name alone: its folder is the page's own."""
    return message.replace(str(path), path.name)
