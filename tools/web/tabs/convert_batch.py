"""Many recordings at once: their upload, and a table with a line for each."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from tools.datasets.recordings import take_recordings
from tools.jobs.batch import DONE, FAILED, RUNNING, Batch, Batches, Row
from tools.web.errors import chosen_voice, error_html, page_error
from tools.web.frame import POLL_SECONDS, Frame
from tools.web.i18n import translate
from tools.web.tabs.convert_settings import BY_HAND, NAMES, PRIVATE, SINGING, options_of
from tools.web.units import duration_text, size_text


class BatchPanel:
    """Uploads on one side of the tab, their table and their zip on the other.

    A batch goes on when the page is closed; the browser remembers which one is its own.
    """

    def __init__(self, frame: Frame) -> None:
        self._text = text = frame.text
        self._batches = Batches()
        self.files = gr.File(
            file_count="multiple", label=text("recordings"), height=220, elem_id="recordings"
        )
        self.folder = gr.UploadButton(
            text("choose_folder"), file_count="directory", size="sm", variant="secondary"
        )
        gr.HTML(translate("recordings_info"), elem_classes="quiet")

    def build_start(self) -> None:
        """Lay out the buttons below the settings."""
        text = self._text
        gr.HTML(translate("batch_pitch"), elem_classes="quiet")
        with gr.Row():
            self.start = gr.Button(text("convert_all"), variant="primary", scale=3, min_width=120)
            self.stop = gr.Button(text("stop"), interactive=False, scale=1, min_width=80)
            self.resume = gr.Button(text("resume_job"), visible=False, scale=1, min_width=80)

    def build_results(self) -> None:
        """Lay out the other side."""
        self.status = gr.HTML(
            f'<p class="waiting">{translate("batch_empty")}</p>',
            elem_classes="quiet", elem_id="batch-status",
        )  # fmt: skip
        self.table = gr.HTML()
        self.zip = gr.DownloadButton(self._text("download_zip"), visible=False)
        self.mine = gr.BrowserState("", storage_key="rvc-batch")
        self.timer = gr.Timer(POLL_SECONDS, active=False)

    def connect(
        self,
        voice: gr.components.Component,
        pitch: gr.components.Component,
        values: list[gr.components.Component],
    ) -> None:
        """Let the buttons and the timer do their work."""
        shown = [self.status, self.table, self.zip, self.start, self.stop, self.resume, self.timer]
        refresh = {"fn": self.refresh, "inputs": self.mine, "outputs": shown, **PRIVATE}
        self.folder.upload(_added, [self.files, self.folder], self.files, **PRIVATE)
        self.start.click(self.begin, [voice, self.files, pitch, *values], self.mine, **PRIVATE)
        self.mine.change(**refresh)  # also when the browser remembers one, after the page's load
        self.stop.click(self.cancel, self.mine, queue=False, **PRIVATE)
        self.resume.click(self.go_on, self.mine, **PRIVATE).then(**refresh)
        self.timer.tick(**refresh, show_progress="hidden")

    def begin(self, voice: str | None, files: list[str] | None, pitch: str, *values: Any) -> str:
        """Start converting; gives the name by which the browser finds the batch again.

        pitch: of PITCHES; but for BY_HAND every recording has a shift of its own.
        """
        path = chosen_voice(voice)
        if not files:
            raise gr.Error(translate("recordings_missing"), print_exception=False)
        try:
            recordings = unpacked(map(Path, files))
            options = options_of(values, path, recordings[0], Path("x.wav"))
            if pitch != BY_HAND:
                options = replace(options, semitones=None, singing=pitch == SINGING)
            return self._batches.start(options, recordings, values[NAMES.index("format")])
        except (ValueError, OSError) as error:
            raise page_error(error) from error

    def refresh(self, name: str) -> list[Any]:
        """Return how far the browser's batch is."""
        batch = self._batches.find(name)
        if batch is None:
            return [*[gr.skip()] * 6, gr.Timer(active=False)]
        is_running, ready = batch.is_running, batch.zip is not None
        size = size_text(batch.zip.stat().st_size) if ready else ""
        return [
            _status(batch),
            _table(batch.rows),
            gr.update(
                visible=ready,
                value=str(batch.zip) if ready else None,
                label=f"{self._text('download_zip')} ({size})",
            ),
            gr.update(interactive=not is_running),
            gr.update(interactive=is_running),
            gr.update(visible=batch.can_resume),
            gr.Timer(active=is_running),
        ]

    def cancel(self, name: str) -> None:
        """Stop the browser's batch; what is finished stays."""
        self._batches.stop(name)

    def go_on(self, name: str) -> None:
        """Convert what an interrupted batch has left."""
        try:
            self._batches.resume(name)
        except (ValueError, OSError) as error:
            raise page_error(error) from error


def unpacked(files: Iterable[Path]) -> list[Path]:
    """Return the recordings, with those inside zips in their place.

    What is refused of a zip is shown and does not stop the rest. UserError: nothing is left of one.
    """
    found: list[Path] = []
    for file in files:
        if file.suffix.lower() == ".zip":
            folder = Path(tempfile.mkdtemp(prefix="rvc-webui-zip-", dir=get_upload_folder()))
            taken = take_recordings([file], folder)
            found += taken.paths
            for problem in taken.problems:
                gr.Warning(error_html(problem))
        else:
            found.append(file)
    return found


def _added(files: list[str] | None, more: list[str] | None) -> list[str]:
    return [*(files or []), *(more or [])]


def _status(batch: Batch) -> str:
    counts = {state: sum(row.state == state for row in batch.rows) for state in (DONE, FAILED)}
    values = {"done": counts[DONE], "failed": counts[FAILED], "all": len(batch.rows)}
    if batch.error:
        return f'<p class="alert" role="alert">{error_html(batch.error)}</p>'
    if batch.can_resume:
        return translate("batch_interrupted", **values)
    if not batch.is_running:
        return translate("batch_ended", **values, spent=duration_text(batch.spent))
    left = batch.seconds_left
    bar = f'<progress max="1" value="{batch.share:.3f}"></progress>'
    if left is None:
        return bar + translate("batch_running", **values)
    return bar + translate("batch_left", **values, left=duration_text(left))


def _table(rows: list[Row]) -> str:
    heads = "".join(
        f"<th>{translate(f'batch_{head}')}</th>" for head in ("file", "state", "length")
    )
    lines = "".join(
        f'<tr class="row-{row.state}"><td>{escape(row.name)}</td><td>{_state(row)}</td>'
        f"<td>{duration_text(row.audio_seconds) if row.audio_seconds else ''}</td></tr>"
        for row in rows
    )
    return f'<table class="batch"><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table>'


def _state(row: Row) -> str:
    if row.state == RUNNING:
        return f"{translate('state_running')} {row.share:.0%}"
    return translate(f"state_{row.state}") + (f": {error_html(row.error)}" if row.error else "")
