"""The terminal's conversion: bad input is one line, an exit code, and no file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import faiss
import numpy as np
import pytest
import soundfile

from infer.voice.checkpoint import load_voice_model, save_voice_model
from tools.cmd.infer_cli import main
from tools.jobs.outcomes import BEGUN, DONE, FAILED, Outcome, note, read_outcomes

RATE = 16000


def speech_like(seconds: float, channels: int = 1, rate: int = RATE) -> np.ndarray:
    time = np.arange(int(seconds * rate)) / rate
    wave = 0.3 * np.sin(2 * np.pi * 150 * time) * (1 + np.sin(2 * np.pi * 3 * time)) / 2
    return np.repeat(wave[:, None], channels, 1).astype(np.float32)


def bad_inputs(folder: Path) -> dict[str, Path]:
    files = {name: folder / f"{name}.wav" for name in ("text", "empty", "short", "zero", "nan")}
    files["text"].write_text("no sound in here, only words " * 50)
    files["empty"].touch()
    soundfile.write(files["short"], speech_like(0.01), RATE)
    soundfile.write(files["zero"], np.zeros(RATE), RATE)
    broken = speech_like(1.0)
    broken[500:600] = np.nan
    soundfile.write(files["nan"], broken, RATE, subtype="FLOAT")
    return {**files, "missing": folder / "missing.wav"}


@pytest.mark.parametrize("kind", ["text", "empty", "short", "zero", "nan", "missing"])
def test_bad_recordings(
    kind: str, untrained_voice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = bad_inputs(tmp_path)[kind]
    out = tmp_path / "results"
    argv = ["--voice", str(untrained_voice), "--input", str(path), "--output", str(out / "o.wav")]
    assert main(argv) == 1
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ") and "\n" not in error and path.name in error
    assert not out.exists() or not list(out.iterdir())


def test_bad_voices_indexes_and_outputs(
    untrained_voice: Path, english: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "voice.pth"
    text.write_text("not a voice")
    strange = tmp_path / "strange.pth"
    model = load_voice_model(untrained_voice)
    model.params["content_encoder"] = "hubert-nobody-has"
    save_voice_model(strange, model)
    index = tmp_path / "narrow.index"
    flat = faiss.IndexFlatL2(256)
    flat.add(np.zeros((3, 256), np.float32))
    faiss.write_index(flat, str(index))
    (tmp_path / "file").touch()
    good = {"--voice": untrained_voice, "--input": english, "--output": tmp_path / "o.wav"}
    for change, named in (
        ({"--voice": text}, "voice.pth"),
        ({"--voice": strange}, "hubert-nobody-has"),
        ({"--voice": tmp_path / "none.pth"}, "none.pth"),
        ({"--index": index}, "narrow.index"),
        ({"--output": tmp_path / "file" / "o.wav"}, "o.wav"),
        ({"--output": tmp_path / "o.xyz"}, "o.xyz"),
    ):
        argv = [str(part) for pair in {**good, **change}.items() for part in pair]
        assert main(argv) == 1, change
        error = capsys.readouterr().err.strip()
        assert error.startswith("error: ") and "\n" not in error and named in error
        assert not (tmp_path / "o.wav").exists()


def test_a_recording_is_never_replaced_by_its_conversion(
    untrained_voice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    soundfile.write(folder / "a.wav", speech_like(1.0), RATE)
    (tmp_path / "link.wav").symlink_to(folder / "a.wav")
    before = (folder / "a.wav").read_bytes()
    for source, output in (
        (folder / "a.wav", folder / "a.wav"),
        (folder / "a.wav", folder),  # a.wav in that folder
        (folder / "a.wav", tmp_path / "link.wav"),
        (folder, folder),
    ):
        argv = ["--voice", str(untrained_voice), "--input", str(source), "--output", str(output)]
        assert main(argv) == 1, output
        error = capsys.readouterr().err.strip()
        assert error.startswith("error: ") and "\n" not in error and str(output) in error
        assert (folder / "a.wav").read_bytes() == before


@pytest.mark.parametrize("rate", ["7", "-1", "1000000"])
def test_an_absurd_output_rate_is_refused(
    rate: str, untrained_voice: Path, english: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["--voice", str(untrained_voice), "--input", str(english), "--output", "o.wav"]
    with pytest.raises(SystemExit) as stop:
        main([*argv, "--resample-rate", rate])
    assert stop.value.code == 2
    assert f"--resample-rate is {rate}; it must be 0 or from 8000" in capsys.readouterr().err


def test_eight_channels_at_192_khz_convert(untrained_voice: Path, tmp_path: Path) -> None:
    wide = tmp_path / "wide.wav"
    soundfile.write(wide, speech_like(1.0, 8, 192000), 192000)
    out = tmp_path / "o.mp3"
    assert main(["--voice", str(untrained_voice), "--input", str(wide), "--output", str(out)]) == 0
    assert soundfile.info(out).duration == pytest.approx(1.0, abs=0.1)


def test_a_folder_with_one_broken_file_converts_the_others_and_says_so(
    untrained_voice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    soundfile.write(folder / "a.flac", speech_like(1.0), RATE)
    (folder / "b.wav").write_text("no sound")
    argv = ["--voice", str(untrained_voice), "--input", str(folder), "--output", str(out)]
    assert main(argv) == 1
    assert [path.name for path in out.iterdir()] == ["a.flac"]
    assert "1 of 2" in capsys.readouterr().err


def test_what_a_report_tells_as_done_is_left_out_and_what_ended_the_process_twice_too(
    untrained_voice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out, report = tmp_path / "in 录", tmp_path / "out", tmp_path / "report.jsonl"
    folder.mkdir()
    argv = ["--voice", untrained_voice, "--input", folder, "--output", out, "--report", report]
    argv = [*map(str, argv), "--f0-method", "pm"]
    soundfile.write(folder / "a.wav", speech_like(1.0), RATE)
    assert main(argv) == 0
    first = (out / "a.wav").stat().st_mtime_ns
    for name in ("b.wav", "c.wav"):
        soundfile.write(folder / name, speech_like(1.0), RATE)
    for _ in range(2):
        note(report, Outcome(str(folder / "b.wav"), str(out / "b.wav")), state=BEGUN)
    assert main(argv) == 1
    assert sorted(path.name for path in out.iterdir()) == ["a.wav", "c.wav"]
    assert (out / "a.wav").stat().st_mtime_ns == first
    states = [outcome.state for outcome in read_outcomes(report).values()]
    assert states == [DONE, FAILED, DONE]
    assert "b.wav: the process ended twice in the middle of it" in capsys.readouterr().err


def test_it_runs_as_a_file_from_any_folder(
    untrained_voice: Path, english: Path, tmp_path: Path, root: Path
) -> None:
    argv = [sys.executable, root / "tools/cmd/infer_cli.py", "--voice", untrained_voice]
    argv += ["--input", english, "--output", "o.wav"]
    subprocess.run(argv, cwd=tmp_path, check=True, timeout=120)
    assert (tmp_path / "o.wav").stat().st_size > 100_000


def test_a_conversion_never_imports_librosa_or_the_page(
    untrained_voice: Path, english: Path, tmp_path: Path, root: Path
) -> None:
    words = ["--voice", untrained_voice, "--input", english, "--output", tmp_path / "o.wav"]
    code = (
        "import sys, tools.cmd.infer_cli as command\n"
        "assert command.main(sys.argv[1:]) == 0\n"
        "print({'librosa', 'gradio'} & set(sys.modules))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=root, capture_output=True, text=True
    )
    assert ran.stdout.splitlines()[-1:] == ["set()"], ran.stderr
