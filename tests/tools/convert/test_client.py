"""The conversion process as the page uses it: a real one, on real speech."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from infer.options import ConvertOptions
from options import command
from tools.convert.client import ConversionCancelled, ConversionError, Session


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    session = Session()
    yield session
    session.close()


@pytest.fixture
def options(untrained_voice: Path, english: Path, tmp_path: Path) -> ConvertOptions:
    return ConvertOptions(
        voice=untrained_voice, input=english, output=tmp_path / "out.wav", f0_method="pm"
    )


@pytest.fixture
def long_options(english: Path, options: ConvertOptions, tmp_path: Path) -> ConvertOptions:
    """Four minutes of speech, which take seconds to convert."""
    audio, sample_rate = soundfile.read(english)
    soundfile.write(tmp_path / "long.flac", np.tile(audio, 40), sample_rate)
    return ConvertOptions(
        voice=options.voice, input=tmp_path / "long.flac", output=options.output, f0_method="pm"
    )


def test_the_page_gets_the_same_file_as_the_command_it_shows(
    session: Session, options: ConvertOptions, root: Path
) -> None:
    melody = options.output.with_suffix(".csv")
    outcome = session.convert(replace(options, save_f0=melody)).result()
    options = replace(options, f0_file=melody)
    of_page = options.output.read_bytes()
    assert outcome["audio_seconds"] == pytest.approx(6.07, abs=0.05)
    assert np.abs(soundfile.read(options.output)[0]).max() > 0.001
    options.output.unlink()
    subprocess.run(command(options), cwd=root, check=True, capture_output=True)
    assert options.output.read_bytes() == of_page


def test_pages_that_open_do_not_wait_for_a_long_conversion_and_can_end_it(
    session: Session, long_options: ConvertOptions, english: Path
) -> None:
    long = session.convert(long_options)
    next(long.shares())
    waiting = session.convert(replace(long_options, output=long_options.output.with_name("b.wav")))
    assert session.load(long_options.voice).result()["sample_rate"] > 0
    assert session.listen(english, "pm").result()["seconds"] == pytest.approx(6.07, abs=0.05)
    assert session.outputs == [long.output, waiting.output]
    for each in (waiting, long):
        session.cancel_making(each.output)
    for each in (long, waiting):
        with pytest.raises(ConversionCancelled):
            each.result()
    session.cancel_making(long.output)
    assert session.outputs == [] and not long_options.output.exists()


def test_a_refused_conversion_says_why_and_the_next_one_works(
    session: Session, options: ConvertOptions, tmp_path: Path
) -> None:
    wrong = ConvertOptions(
        voice=options.voice, input=tmp_path / "missing.wav", output=tmp_path / "no.wav"
    )
    with pytest.raises(ConversionError, match=r"missing\.wav"):
        session.convert(wrong).result()
    assert session.end.state == "failed"
    with pytest.raises(ConversionError, match=r"nobody\.pth"):
        session.load(tmp_path / "nobody.pth").result()
    began = time.time()
    session.convert(options).result()
    assert [path.name for path in tmp_path.iterdir()] == ["out.wav"]
    end = session.end
    assert end.state == "done" and began <= end.at - end.seconds <= end.at <= time.time()


def test_a_stopped_conversion_leaves_no_file_and_the_waiting_one_goes_on(
    session: Session,
    options: ConvertOptions,
    long_options: ConvertOptions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tools.convert.client.CANCEL_SECONDS", 120.0)  # also on a busy machine
    shares: list[float] = []
    running, before = session.convert(long_options), session.end

    def stop(share: float) -> None:
        shares.append(share)
        session.cancel(running.number)

    waiting = session.load(options.voice)
    with pytest.raises(ConversionCancelled):
        running.result(stop)
    assert 0 <= shares[-1] < 1
    assert waiting.result()["sample_rate"] == 24000
    assert [path.name for path in tmp_path.iterdir()] == ["long.flac"]
    session.cancel(running.number)  # once more changes nothing
    assert session.end is before  # what was given up is not told


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="there is no SIGSTOP here")
def test_what_waits_is_asked_again_when_a_process_that_does_not_stop_is_killed(
    session: Session, options: ConvertOptions, long_options: ConvertOptions
) -> None:
    options = replace(options, output=options.output.with_name("waiting.wav"))
    running, waiting = session.convert(long_options), session.convert(options)
    next(running.shares())
    process = session.process
    os.kill(process.pid, signal.SIGSTOP)
    session.cancel(running.number)
    process.kill()  # as `shares` does after CANCEL_SECONDS
    with pytest.raises(ConversionCancelled):
        running.result()
    assert waiting.result()["audio_seconds"] > 0
    assert session.process is not process and options.output.is_file()
    assert not long_options.output.exists() and session.outputs == []


def test_a_conversion_stopped_before_its_turn_never_starts(
    session: Session, options: ConvertOptions, long_options: ConvertOptions
) -> None:
    running, waiting = session.convert(long_options), session.convert(options)
    session.cancel(waiting.number)
    session.cancel(running.number)
    for request in (running, waiting):
        with pytest.raises(ConversionCancelled):
            request.result()
    assert not options.output.exists()


def test_a_killed_process_is_told_cleaned_up_after_and_replaced(
    session: Session, options: ConvertOptions, long_options: ConvertOptions, tmp_path: Path
) -> None:
    running, begun = session.convert(long_options), set()

    def kill(share: float) -> None:
        begun.update(tmp_path.glob(".*.tmp"))
        if begun:
            session.process.kill()

    with pytest.raises(ConversionError, match="ended by itself"):
        running.result(kill)
    assert len(begun) == 1 and session.end.state == "failed"
    assert [path.name for path in tmp_path.iterdir()] == ["long.flac"]
    session.convert(options).result()
    assert options.output.exists()


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="children are looked up there")
def test_a_decoder_that_dies_costs_one_recording_and_the_waiting_one_is_converted(
    session: Session, options: ConvertOptions, long_options: ConvertOptions
) -> None:
    session.load(options.voice).result()
    process, killed = session.process, set()
    dying = session.convert(replace(long_options, output=options.output.with_name("no.wav")))
    waiting = session.convert(options)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")

    def kill(share: float) -> None:
        for child in [] if killed else children.read_text().split():
            if "isolated" in Path(f"/proc/{child}/cmdline").read_text():
                os.kill(int(child), signal.SIGSEGV)
                killed.add(child)

    with pytest.raises(ConversionError, match=r"long\.flac: reading it crashed the decoder"):
        dying.result(kill)
    waiting.result()
    assert session.process is process and process.poll() is None
    assert sorted(path.name for path in options.output.parent.iterdir()) == ["long.flac", "out.wav"]


def test_unloading_waits_for_what_runs_ends_the_process_and_the_next_request_starts_one(
    session: Session, options: ConvertOptions
) -> None:
    request = session.convert(options)
    busy = session.process
    assert not session.unload()
    request.result()
    assert session.unload()
    assert busy.wait(15) == 0
    assert session.unload()  # nothing to end is no error
    session.load(options.voice).result()
    assert session.process.pid != busy.pid


def test_closing_ends_the_process_even_in_the_middle_of_a_conversion(
    long_options: ConvertOptions,
) -> None:
    session = Session()
    session.convert(long_options)
    process = session.process
    session.close()
    assert process.wait(15) is not None
    assert not long_options.output.exists()
