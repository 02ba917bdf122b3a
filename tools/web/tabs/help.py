"""The tab that answers: what users ask, and a check of this machine."""

from __future__ import annotations

import json
from html import unescape
from typing import Any

import gradio as gr

from tools.machine.doctor import Check, run_checks
from tools.web.frame import Frame
from tools.web.i18n import read_texts, translate
from tools.web.support import write_support_bundle
from tools.web.tabs.help_answers import PRIVATE, Answers
from tools.web.views.data_charts import data_charts
from tools.web.views.report_view import MARKS

NEWCOMERS = (9, 20, 21, 8, 10, 13, 15, 3, 19, 12, 6, 11)  # what is asked before anything goes wrong
QUESTIONS = (*NEWCOMERS, 2, 1, 7, 14, 22, 4, 5, 16, 17, 18)  # in the order in which they stand
CHECKED = (4, 5, 7, 11, 14, 16)  # answered by the check of this machine
DATASET_QUESTION = 9
TO_DATASET = (8, 17)  # answered by what checks the recordings there
MEASURED = {8: ("epochs",), 9: ("minutes", "noise"), 10: ("index",)}  # shown with charts
SEARCH = """const texts = TEXTS;
element.addEventListener("input", (event) => {
  const words = event.target.value.toLowerCase().split(/\\s+/).filter(Boolean);
  const found = [...document.querySelectorAll(".question")].map((question, i) => {
    const fits = words.every((word) => texts[i].includes(word));
    question.style.display = fits ? "" : "none";
    return fits;
  });
  element.querySelector(".waiting").style.display = found.some(Boolean) ? "none" : "";
});"""  # in the browser alone
SHOW = (
    f"() => document.querySelector('#faq-{DATASET_QUESTION}').scrollIntoView({{block: 'center'}})"
)


class HelpTab:
    """Questions, each with what answers it here."""

    def __init__(self, frame: Frame) -> None:
        self._text = frame.text
        self.leads: list[gr.Button] = []  # to the question about recordings
        answers = Answers(frame)
        with gr.Row():
            with gr.Column():
                self._build_check()
            with gr.Column():
                self._build_search()
                self.questions = {
                    number: self._build_question(answers, number) for number in QUESTIONS
                }
        dataset = self.questions[DATASET_QUESTION]
        for lead in self.leads:
            lead.click(lambda: gr.update(open=True), None, dataset, **PRIVATE).then(
                None, js=SHOW, **PRIVATE
            )
        answers.connect(frame)

    def _build_check(self) -> None:
        text = self._text
        self.check = gr.Button(text("help_check"), variant="primary")
        gr.HTML(translate("help_doctor_info"), elem_classes="quiet")
        self.report = gr.HTML(elem_id="doctor")
        self.bundle = gr.Button(text("help_bundle"))
        gr.HTML(translate("help_bundle_info"), elem_classes="quiet")
        self.zip_file = gr.File(label=text("help_bundle_file"), visible=False, interactive=False)
        self.check.click(self.doctor, outputs=self.report, **PRIVATE)
        self.bundle.click(self.support_bundle, outputs=self.zip_file, **PRIVATE)

    def _build_search(self) -> None:
        found = json.dumps([_searched(number) for number in QUESTIONS], ensure_ascii=False)
        gr.HTML(
            f'<label class="search">{translate("help_search")}<input type="search"></label>'
            f'<p class="waiting" style="display: none">{translate("help_search_none")}</p>',
            js_on_load=SEARCH.replace("TEXTS", found),
            elem_id="search",
        )

    def _build_question(self, answers: Answers, number: int) -> gr.Accordion:
        question = gr.Accordion(
            self._text(f"faq_{number}"), open=False,
            elem_classes="question", elem_id=f"faq-{number}",
        )  # fmt: skip
        with question:
            gr.HTML(translate(f"faq_{number}_answer"))
            if charts := data_charts(*MEASURED.get(number, ())):
                gr.HTML(charts)
            if number in CHECKED:
                check = gr.Button(self._text("help_check"), size="sm")
                found = gr.HTML()
                check.click(self.doctor, outputs=found, **PRIVATE)
            elif number in TO_DATASET:
                self.leads.append(gr.Button(self._text("help_to_dataset"), size="sm"))
            else:
                answers.build(number)
        return question

    def doctor(self) -> str:
        """Check this machine and this copy of the program; gives HTML."""
        return _list(run_checks())

    def support_bundle(self) -> Any:
        """Write a zip with checks, versions and logs, without anything private."""
        return gr.update(value=str(write_support_bundle()), visible=True)


def _searched(number: int) -> str:
    """What a search looks through: question and answer in every language."""
    texts = [
        said[name]
        for said in read_texts().values()
        for name in (f"faq_{number}", f"faq_{number}_answer")
    ]
    return unescape(" ".join(texts)).lower()


def _list(checks: list[Check]) -> str:
    items = "".join(
        f'<li class="report-{check.level}" data-mark="{MARKS[check.level]}">'
        f"<strong>{translate(f'help_level_{check.level}')}</strong> "
        f"{translate(check.text, **check.values)}</li>"
        for check in checks
    )
    return f'<ul class="report">{items}</ul>'
