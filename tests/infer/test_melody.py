"""The melody as a file: what was measured comes back the same, and what is edited is sung."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from errors import UserError
from infer.audio.filters import high_pass
from infer.audio.reader import load
from infer.converter import VoiceConverter
from infer.f0 import fitting_semitones
from infer.f0.contour import median_f0
from infer.f0.curve import read_curve, write_curve
from infer.options import ConvertOptions
from infer.voice.checkpoint import load_voice_model, save_voice_model
from tests.infer.standard_voices import install_contentvec, write_voice


def test_a_written_curve_is_read_again_bit_for_bit(tmp_path: Path) -> None:
    f0 = np.random.default_rng(0).uniform(60, 900, 500).astype(np.float32)
    f0[100:180] = 0
    write_curve(tmp_path / "c.csv", f0)
    assert np.array_equal(read_curve(tmp_path / "c.csv").frames(0, 500), f0)
    assert np.array_equal(read_curve(tmp_path / "c.csv").frames(90, 100), f0[90:190])
    assert not read_curve(tmp_path / "c.csv").frames(500, 9).any()  # unvoiced after its end


def test_any_sampling_is_read_glides_and_gaps_and_octaves_stay(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text("\ufeffTIME;F0\n0.1; 100\n0.3;\t121\n\n0.305 0\n0.405,0\n0.41,200\n0.51,420\n")
    f0 = read_curve(path).frames(0, 70)
    assert f0[10] == 100 and f0[20] == pytest.approx(110)  # half of the way, by ear
    assert f0[30] == 121 and not f0[31:41].any() and f0[41] == 200
    assert f0[45] == pytest.approx(200) and f0[47] == pytest.approx(420)  # no pitch lies between
    assert not f0[65:].any()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0,100\n0.01,abc\n", r"line 2: '0\.01,abc' is not a time"),
        ("0,100,0.9\n", "line 1"),
        ("0,100\n0.01,nan\n", "line 2"),
        ("0,100\n-1,100\n", "line 2"),
        ("0,100\n0.02,100\n0.02,100\n", r"line 3: 0\.02 s does not come after 0\.02 s"),
        ("0,-100\n", "line 1: a pitch of -100 Hz"),
        ("0,100\n1,1e9\n", r"line 2: a pitch of 1e\+09 Hz"),
        ("seconds,hz\n", "holds no melody"),
        ("", "holds no melody"),
        ("\x00\xff" * 90, "line 1"),
        (" " * 65 * 2**20, "larger than 64 MiB"),
    ],
)
def test_what_is_no_curve_is_named_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "c.csv"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=said):
        read_curve(path)


@pytest.fixture(params=["lite", "v1"])
def converter(
    request: pytest.FixtureRequest,
    untrained_voice: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> VoiceConverter:
    if request.param == "lite":
        return VoiceConverter(untrained_voice, "cpu")
    monkeypatch.setattr("config.DOWNLOADS", tmp_path / "downloads")
    install_contentvec(tmp_path / "downloads", 256)
    return VoiceConverter(write_voice(tmp_path / "v.pth", "v1"), "cpu")


def test_a_melody_that_is_measured_and_not_edited_changes_nothing(
    converter: VoiceConverter, english: Path, tmp_path: Path
) -> None:
    speech, rate = load(english)
    soundfile.write(tmp_path / "long.flac", np.tile(speech, 3), rate)
    options = ConvertOptions(
        voice=converter.path, input=tmp_path / "long.flac", output=tmp_path / "o.wav",
        index_rate=0.0, semitones=3.0, save_f0=tmp_path / "a/curve.csv",
        x_pad=1.0, x_query=1.0, x_center=7.0, x_max=8.0,
    )  # fmt: skip
    converter.convert_file(options)
    made = load(options.output)[0]
    rows = np.loadtxt(options.save_f0, delimiter=",", skiprows=1)
    assert len(rows) == len(speech) * 3 * 100 // rate
    again = replace(options, f0_file=options.save_f0, save_f0=tmp_path / "b.csv", f0_method="rmvpe")
    converter.convert_file(again)  # rmvpe, whose weights are not here, is not asked
    assert np.array_equal(load(options.output)[0], made)
    assert (tmp_path / "b.csv").read_bytes() == options.save_f0.read_bytes()
    rows[:, 1] = np.where(rows[:, 0] < 15, rows[:, 1], 0.0)
    edited = "\n".join(f"{seconds},{hz}" for seconds, hz in rows)
    (tmp_path / "edited.csv").write_text(edited)
    converter.convert_file(replace(again, f0_file=tmp_path / "edited.csv"))
    other, edge = load(options.output)[0], 7 * converter.sample_rate
    assert np.abs(other[:edge] - made[:edge]).max() < 1e-3 < np.abs(other - made).max()


def test_a_voice_without_pitch_takes_no_melody_and_a_folder_not_one(
    english: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    from tools.cmd.infer_cli import main

    monkeypatch.setattr("config.DOWNLOADS", tmp_path / "downloads")
    install_contentvec(tmp_path / "downloads", 256)
    voice = write_voice(tmp_path / "v.pth", "v1", use_f0=False)
    for source, said in ((english, "follows no melody"), (english.parent, "--save-f0 belongs to")):
        options = ["--voice", voice, "--input", source, "--output", tmp_path / "o"]
        output = tmp_path / "o.wav" if source is english else tmp_path / "o"
        options[-1] = output
        assert main([str(o) for o in [*options, "--save-f0", tmp_path / "c.csv"]]) == 1
        assert said in capsys.readouterr().err
        assert not output.exists() and not (tmp_path / "c.csv").exists()


def test_fitting_is_exact_for_speech_and_whole_octaves_for_singing() -> None:
    assert fitting_semitones(109, 190) == 10
    assert fitting_semitones(109, 190, is_singing=True) == 12
    assert fitting_semitones(200, 190, is_singing=True) == 0
    # half an octave from both: where more of the melody lies within the voice's range
    assert fitting_semitones(200, 290, is_singing=True) == 12
    assert fitting_semitones(200, 290, True, (120, 390), (200, 400)) == 0
    assert fitting_semitones(200, 276, True, (190, 220), (250, 450)) == 12
    assert fitting_semitones(20, 1000) == 24
    assert fitting_semitones(0, 190) == fitting_semitones(190, 0) == 0


def test_an_automatic_shift_is_that_of_the_recordings_melody_and_is_measured_once(
    untrained_voice: Path, english: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    from tools.cmd import infer_cli, voices

    model = load_voice_model(untrained_voice)
    model.f0_median[0] = 400.0
    voice = tmp_path / "high.pth"
    save_voice_model(voice, model)
    assert voices.main(["show", "--file", str(voice)]) == 0
    said = capsys.readouterr().out
    assert "below 400 Hz" in said and "range: not noted" in said
    converter, measured = VoiceConverter(voice, "cpu"), []
    method = converter.f0_method("swift")
    converter.f0_method = lambda name: lambda audio: measured.append(1) or method(audio)
    options = ConvertOptions(
        voice=voice, input=english, output=tmp_path / "o.wav", index_rate=0.0, f0_method="swift",
        x_pad=0.5, x_query=1.0, x_center=3.0, x_max=4.0,
    )  # fmt: skip
    done = converter.convert_file(options)
    whole = median_f0(method(high_pass(load(english, 16000)[0], 16000)))
    assert done.semitones == fitting_semitones(whole, 400.0) != 0
    pieces = len(measured)
    made = options.output.read_bytes()
    converter.convert_file(replace(options, semitones=done.semitones))
    assert len(measured) == 2 * pieces and options.output.read_bytes() == made
    write_curve(tmp_path / "c.csv", np.full(600, 100.0))
    argv = ["--voice", voice, "--input", english, "--output", options.output, "--index-rate", "0"]
    argv += ["--semitones", "auto", "--f0-file", tmp_path / "c.csv"]
    assert infer_cli.main([str(each) for each in argv]) == 0
    assert "+24 semitones" in capsys.readouterr().out
    write_curve(tmp_path / "c.csv", np.full(600, 160.0))  # 16 semitones below the voice
    assert infer_cli.main([str(each) for each in argv]) == 0
    assert "+16 semitones" in capsys.readouterr().out
    assert infer_cli.main([str(each) for each in [*argv, "--singing"]]) == 0
    assert "+12 semitones" in capsys.readouterr().out
    assert infer_cli.main([str(each) for each in [*argv, "--semitones", "-1.5"]]) == 0
    assert "-1.5 semitones" in capsys.readouterr().out
