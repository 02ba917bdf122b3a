"""The Train tab: real speech, real workers, and kills in the middle, seen through the page."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from dataclasses import astuple
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from infer.retrieval import find_index
from tests.tools.conftest import wait_until
from tests.tools.web.conftest import Opens, settle, start_page
from tests.tools.web.training_page import (
    STEP_MS,
    button,
    expect,
    fill_in,
    open_tab,
    says,
    start,
)
from tools.convert.client import Session
from tools.jobs.jobs import Job, Jobs
from tools.jobs.training import Settings, write_settings
from tools.machine.hardware import Gpu
from tools.options import DatasetReportOptions
from tools.voices.library import from_root
from tools.web.frame import Frame
from tools.web.i18n import load_texts
from tools.web.tabs.train import TrainTab
from tools.web.train_work import start_check
from train.experiment import Experiment
from train.metrics import read_metrics

pytestmark = pytest.mark.skipif(os.name == "nt", reason="kills by POSIX signals")


@pytest.mark.timeout(1500)  # twelve processes that import torch, on a busy machine
@pytest.mark.parametrize(
    ("minutes", "copies"), [("0.1", 1), pytest.param("1", 5, marks=pytest.mark.slow)]
)
def test_a_voice_is_trained_through_a_reload_a_stop_and_three_kills(
    minutes: str,
    copies: int,
    browser: Any,
    own_page: list[subprocess.Popen[str]],
    experiment: Experiment,
    root: Path,
    data: Path,
    tmp_path: Path,
) -> None:
    recordings = []
    for name in ("english", "italian"):
        for number in range(copies):
            recordings.append(tmp_path / f"{name} {number}.flac")
            shutil.copy(root / "assets/examples" / f"{name}.flac", recordings[-1])
    process, url = start_page(root)
    port = url.rstrip("/").rpartition(":")[2]
    own_page.append(process)
    context = browser.new_context(locale="en-US")
    page = open_tab(context.new_page(), url)
    fill_in(page, experiment, recordings)
    page.get_by_role("button", name="Commands and single steps").click()
    shown = page.locator(".command textarea:visible")
    expect(shown).to_have_value(
        re.compile(f"(--experiment '{re.escape(str(experiment.root))}'.*?){{6}}", re.DOTALL)
    )
    start(page, "Train", experiment)

    # the same is seen in another tab, after a reload, and in Chinese
    other = open_tab(browser.new_context(locale="zh-CN").new_page(), url)
    says(other, "第 4 / 6 步")
    expect(other.get_by_label("音色名称")).to_have_value(experiment.name)
    page.reload()
    open_tab(page)
    says(page, "Step 4 of 6: Training the voice")
    expect(page.get_by_label("Minutes to train in all")).to_have_value("30")

    # stopped, with its state saved, and resumed
    button(page, "Stop").click()
    says(page, "Stopped in step 4 of 6")
    says(page, "Nothing is lost")
    saved = experiment.saved_steps()[-1]
    start(page, "Go on", experiment)
    assert f"going on from step {saved}" in Jobs().log(experiment)[1]

    # the page is killed while training goes on, and recovers by itself
    process.kill()
    process.wait()
    before = Jobs().log(experiment)[0].done
    own_page.append(start_page(root, "--port", port)[0])
    wait_until(lambda: Jobs().log(experiment)[0].done > before)
    page.get_by_role("tab", name="Train", selected=True).wait_for()  # its address says so
    open_tab(page)
    says(page, "Step 4 of 6: Training the voice")

    # the training process is killed, and started again by itself
    killed = experiment.pid_file.read_text()
    os.kill(int(killed), signal.SIGKILL)
    wait_until(lambda: experiment.pid_file.read_text() != killed)
    assert "was killed (exit code -9); starting it again" in Jobs().log(experiment)[1]

    # finished with another setting
    button(page, "Stop").click()
    says(page, "Stopped in step 4 of 6")
    page.get_by_label("Minutes to train in all").fill(minutes)
    button(page, "Train").click()
    says(page, "Done.", 6 * STEP_MS)
    seconds = [entry["seconds"] for entry in read_metrics(experiment)]
    assert seconds == sorted(seconds) and seconds[-1] >= 60 * float(minutes)

    # voice and index are there, and Convert finds both
    voice = data / "weights" / f"{experiment.name}.pth"
    assert find_index(voice, [data / "logs"]) == experiment.indexes()[0]
    says(page, str(voice))

    # so does what one of its saved states makes
    step = experiment.saved_steps()[-1]
    button(page, "Make a voice of it").click()
    page.get_by_text(f"_s{step}.pth is ready").locator("visible=true").wait_for()
    (tried,) = voice.parent.glob(f"{experiment.name}_e*_s{step}.pth")
    assert find_index(tried, [data / "logs"]) == experiment.indexes()[0]
    assert find_index(voice, [data / "logs"]) == experiment.indexes()[0]
    page.reload()
    page.get_by_role("tab", name="Convert", exact=True).click()
    page.get_by_label("Voice", exact=True).click()
    page.get_by_role("option", name=experiment.name, exact=True).wait_for()
    page.get_by_role("option", name=tried.stem).click()
    page.get_by_text("with index").locator("visible=true").wait_for()


def test_what_is_missing_is_said_in_both_languages_and_nothing_starts(
    opened: Opens, data: Path
) -> None:
    before = set((data / "logs").iterdir())
    page = opened()
    open_tab(page)
    name = page.get_by_label("Name of the voice")
    name.fill("a/../b")
    name.press("Enter")
    button(page, "Train").click()
    page.get_by_text("cannot be a name").filter(visible=True).first.wait_for()
    page.get_by_label("Folder of recordings").fill("nowhere")
    name.fill(f"new {os.getpid()}")
    name.press("Enter")
    button(page, "Train").click()
    page.get_by_text(re.compile("no folder .*nowhere")).filter(visible=True).first.wait_for()
    assert set((data / "logs").iterdir()) == before
    page = opened(language="zh-CN", width=390)
    open_tab(page)
    button(page, "训练").wait_for()
    assert "i18n" not in page.locator("body").inner_text()
    settle(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_remembered_settings_never_replace_what_was_typed_after_the_name(
    opened: Opens, experiment: Experiment
) -> None:
    page = opened()
    open_tab(page)
    page.get_by_text(re.compile("Trains on")).first.wait_for()  # the page's own load is answered
    settle(page)
    write_settings(experiment, Settings(dataset="remembered", minutes=7, f0_method="pm"))
    held: list[Any] = []
    page.route("**/queue/join*", lambda request: held.append(request))  # answers take long
    name, dataset = page.get_by_label("Name of the voice"), page.get_by_label("Folder of rec")
    name.fill(experiment.name)
    name.press("Enter")
    wanted = json.dumps(experiment.name)[1:-1]
    while not any(wanted in json.dumps(each.request.post_data_json) for each in held):
        page.wait_for_timeout(100)
    dataset.fill("typed 后")
    page.route("**/queue/join*", lambda request: request.continue_())  # the later route wins
    for request in held:
        request.continue_()
    minutes = page.get_by_label("Minutes to train")
    expect(minutes).to_have_value("7")  # what was not touched comes back
    expect(dataset).to_have_value("typed 后")
    page.get_by_role("button", name="Commands and single steps").click()
    expect(page.locator(".command textarea:visible")).to_have_value(
        re.compile("--dataset 'typed 后'.*--method pm.*--minutes 7", re.DOTALL)
    )


def test_commands_asked_for_earlier_that_arrive_later_change_nothing() -> None:
    preview = partial(TrainTab.preview, TrainTab.__new__(TrainTab))
    settings = astuple(Settings(dataset="d", f0_method="pm"))
    answered, commands, _ = preview(0.0, 20.0, "mi", *settings)
    assert "--method pm" in commands
    assert all(each == gr.skip() for each in preview(answered, 10.0, "mi", *astuple(Settings())))
    assert preview(answered, 30.0, "mi", *astuple(Settings()))[2]  # what is missing


def test_v2_is_trained_for_epochs_on_chosen_devices_and_can_branch_from_a_saved_state(
    opened: Opens, experiment: Experiment
) -> None:
    for step in (300, 400):
        for path in (experiment.generator_state(step), experiment.discriminator_state(step)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    write_settings(experiment, Settings())
    page = opened()
    open_tab(page)
    page.get_by_label("Name of the voice").fill(f"branch {os.getpid()}")
    page.get_by_label("Name of the voice").press("Enter")
    page.get_by_label("Folder of recordings").fill("some where")
    page.get_by_label("Kind of voice").click()
    page.get_by_role("option", name="v2 48k").click()
    page.get_by_label("Epochs in all").fill("33")
    expect(page.get_by_label("Minutes to train in all")).to_be_hidden()
    page.get_by_role("button", name="More settings").last.click()
    page.get_by_label("Device").last.fill("cpu,cpu")
    page.get_by_label("Device").last.press("Enter")
    page.get_by_label("Branch from").click()
    page.get_by_role("option", name=experiment.name).click()
    page.get_by_label("Its saved state").click()
    page.get_by_role("option", name="300").click()
    page.get_by_role("button", name="Commands and single steps").click()
    shown = page.locator(".command textarea:visible")
    expect(shown).to_have_value(re.compile("--from-step 300"))
    training = shown.input_value().splitlines()[3]
    assert " -m torch.distributed.run --nproc-per-node 2 -m train.train " in training
    assert " --epochs 33 " in training and " --device cpu,cpu" in training
    assert "--minutes" not in training
    assert f"--from-experiment '{experiment.root}' --from-step 300" in training


def built_tab() -> TrainTab:
    with gr.Blocks() as page, gr.Tabs() as tabs, gr.Tab() as tab:
        return TrainTab(Frame(page, tabs, load_texts(), Session(), Jobs(), tab))


def test_a_new_name_keeps_what_was_filled_in_and_an_old_one_forgets_what_is_gone(
    experiment: Experiment,
) -> None:
    tab = built_tab()
    form = list(astuple(Settings()))
    typed = list(astuple(Settings(dataset="typed", epochs=33)))

    def wanted(values: list[Any], loaded: list[Any]) -> list[Any]:
        offer = tab.open_experiment(experiment.name, *values, loaded)[tab.offer]
        assert offer["seen"] == [experiment.name, *values]
        return offer["wanted"][1:]

    assert wanted(typed, []) == wanted(typed, form) == typed  # also before the page has answered
    assert wanted(typed, typed)[1] == ""  # loaded with another name, not filled in
    write_settings(experiment, Settings(minutes=3, parent="gone", parent_step=7))
    assert wanted(typed, form) == list(astuple(Settings(minutes=3)))


def test_a_check_that_runs_is_not_begun_again_and_no_name_shows_nothing_of_the_one_before(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    settings = Settings(dataset=str(root / "assets/examples"))
    began: list[str] = []
    monkeypatch.setattr(Jobs, "start", lambda jobs, folder, *more: began.append(folder.name))
    start_check(Jobs(), experiment.name, settings)
    running = Job(((DatasetReportOptions.MODULE,),), state="running")
    monkeypatch.setattr(Jobs, "read", lambda jobs, folder: running)
    start_check(Jobs(), experiment.name, settings)
    assert began == [experiment.name]
    panel = built_tab().progress
    shown = panel.refresh("a/b", {"name": experiment.name})
    assert shown[panel.report] == shown[panel.held_out] == ""


def test_several_gpus_are_offered_alone_and_together_and_the_largest_is_chosen(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus = [Gpu(0, "RTX 3060", 12, 11, "GPU-a"), Gpu(1, "A100", 80, 79, "GPU-b")]
    monkeypatch.setattr("tools.machine.hardware.usable_gpus", lambda: gpus)
    monkeypatch.setattr("tools.machine.hardware.torch_build", lambda: "cuda")
    tab = built_tab()
    form = list(astuple(Settings()))
    opened = tab.open_experiment(experiment.name, *form, [])
    assert opened[tab.offer]["wanted"][5] == "cuda:1"
    assert "cuda:0,cuda:1" not in dict(opened[tab.device]["choices"]).values()  # lite
    told = tab.recommend("v2 48k")
    assert told[tab.device]["choices"] == [
        ("auto", "auto"),
        ("GPU 0 · RTX 3060 · 12 GB", "cuda:0"),
        ("GPU 1 · A100 · 80 GB", "cuda:1"),
        ("GPU 0 + 1", "cuda:0,cuda:1"),
        ("CPU", "cpu"),
    ]
    assert told[tab.epochs]["visible"] and not told[tab.minutes]["visible"]
    assert "2 GPUs can share this" in told[tab.hardware]


def test_only_uploaded_recordings_are_set_aside(
    experiment: Experiment, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = data / "datasets" / experiment.name
    folder.mkdir(parents=True)
    (folder / "other voice.wav").touch()
    monkeypatch.setattr("tools.web.tabs.train._suspects", lambda name: ["other voice.wav"])
    tab, own = built_tab(), from_root(folder)

    def offered(dataset: str) -> list[bool]:
        updates = tab.offer_to_set_aside(experiment.name, dataset)
        return [update["visible"] for update in updates]

    assert offered(own) == [True, False]
    assert offered(str(tmp_path)) == [False, False]
    assert "other voice.wav" in tab.set_aside(experiment.name, own)
    assert not (folder / "other voice.wav").exists()
    assert offered(own)[1]
    tab.bring_back(experiment.name, own)
    assert (folder / "other voice.wav").exists()
