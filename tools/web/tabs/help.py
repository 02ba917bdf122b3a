"""The tab that answers: what users ask, and a check of this machine."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import gradio as gr

import config
from infer.options import command
from tools.dataset_report import read_report
from tools.doctor import Check, run_checks, write_bundle
from tools.options import DatasetReportOptions
from tools.web.data_charts import data_charts
from tools.web.errors import refusal
from tools.web.frame import Frame
from tools.web.i18n import read_texts, spoken
from tools.web.report_view import MARKS, report_html
from tools.web.results import RESULTS, unused_name

QUESTIONS = range(1, 19)
# question -> the tab in which it is done
TABS = {
    1: "train", 2: "train", 3: "voices", 6: "train", 8: "train", 10: "convert", 11: "train",
    12: "voices", 13: "train", 15: "train", 17: "train", 18: "train",
}  # fmt: skip
CHECKED = (4, 5, 7, 14, 16)  # answered by the check of this machine
DATASET_QUESTION = 9
MEASURED = {8: ("epochs",), 9: ("minutes", "noise"), 10: ("index",)}  # shown with charts
PRIVATE: dict[str, Any] = {"api_visibility": "private"}


class HelpTab:
    """Eighteen questions, each with what answers it here."""

    def __init__(self, frame: Frame) -> None:
        self._text = text = frame.text
        with gr.Row():
            with gr.Column():
                gr.HTML(spoken("help_doctor_info"), elem_classes="quiet")
                self.check = gr.Button(text("help_check"), variant="primary")
                self.report = gr.HTML(elem_id="doctor")
                self.bundle = gr.Button(text("help_bundle"))
                gr.HTML(spoken("help_bundle_info"), elem_classes="quiet")
                self.parcel = gr.File(
                    label=text("help_bundle_file"), visible=False, interactive=False
                )
            with gr.Column():
                checks = [self._build_question(frame, number) for number in QUESTIONS]
        self.check.click(self.doctor, outputs=self.report, api_name="doctor")
        for button in filter(None, checks):
            button.click(self.doctor, outputs=self.report, **PRIVATE)
        self.bundle.click(self.support_bundle, outputs=self.parcel, api_name="support_bundle")

    def _build_question(self, frame: Frame, number: int) -> gr.Button | None:
        """Lay out one question; returns its button if that starts the check."""
        with gr.Accordion(self._text(f"faq_{number}"), open=False):
            gr.HTML(spoken(f"faq_{number}_answer"))
            if charts := data_charts(*MEASURED.get(number, ())):
                gr.HTML(charts)
            if number in TABS:
                tab = TABS[number]
                go = gr.Button(self._text(f"help_go_{tab}"), size="sm")
                go.click(lambda tab=tab: gr.Tabs(selected=tab), outputs=frame.tabs, **PRIVATE)
            elif number == DATASET_QUESTION:
                folder = gr.Textbox(label=self._text("help_dataset"), max_lines=1)
                start = gr.Button(self._text("help_dataset_check"), size="sm")
                found = gr.HTML(elem_id="dataset-report")
                start.click(self.dataset_report, folder, found, api_name="dataset_report")
            elif number in CHECKED:
                return gr.Button(self._text("help_check"), size="sm")
        return None

    def doctor(self) -> str:
        """Check this machine and this copy of the program; gives HTML."""
        return _list(run_checks())

    def support_bundle(self) -> Any:
        """Write a zip with checks, versions and logs, without anything private."""
        RESULTS.mkdir(exist_ok=True)
        target = unused_name(RESULTS, "support-bundle", "zip")
        checks: list[Check] = run_checks()
        return gr.update(value=str(write_bundle(target, checks, read_texts()["en"])), visible=True)

    def dataset_report(self, folder: str) -> str:
        """Say what a folder of recordings is good for; gives HTML."""
        folder = folder.strip().strip("\"'")
        if not folder:
            raise gr.Error(spoken("help_dataset_none"), print_exception=False)
        RESULTS.mkdir(exist_ok=True)
        target = unused_name(RESULTS, "dataset-report", "json")
        options = DatasetReportOptions(dataset=Path(folder), json=target)
        try:
            ran = subprocess.run(
                command(options), cwd=config.ROOT, capture_output=True, text=True, encoding="utf-8"
            )
            if ran.returncode:
                said = (ran.stderr.strip().splitlines() or ["error: no message"])[-1]
                raise refusal(ValueError(said.removeprefix("error: ")))
            return report_html(read_report(target))
        finally:
            target.unlink(missing_ok=True)


def _list(checks: list[Check]) -> str:
    items = "".join(
        f'<li class="report-{check.level}" data-mark="{MARKS[check.level]}">'
        f"<strong>{spoken(f'help_level_{check.level}')}</strong> "
        f"{spoken(check.text, **check.values)}</li>"
        for check in checks
    )
    return f'<ul class="report">{items}</ul>'
