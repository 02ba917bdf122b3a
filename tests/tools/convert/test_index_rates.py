"""Index rates compared: the shipped voice on real speech, and a voice whose training is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from infer.audio.reader import load
from infer.converter import VoiceConverter
from infer.f0 import load_f0_method
from infer.options import ConvertOptions
from tools.cmd.index_rates import main
from tools.convert.index_rates import compare_index_rates
from tools.datasets.measure import mean_cepstrum, spectrum_distance_db
from tools.options import INDEX_RATES, IndexRatesOptions
from train.experiment import Experiment


@pytest.fixture
def options(root: Path, english: Path, tmp_path: Path) -> IndexRatesOptions:
    """Three seconds of speech to the shipped voice."""
    speech, rate = load(english)
    soundfile.write(tmp_path / "speech.flac", speech[: 3 * rate], rate)
    return IndexRatesOptions(
        voice=root / "assets/lite/demo.pth",
        input=tmp_path / "speech.flac",
        output=tmp_path / "rates",
        device="cpu",
    )


def test_a_higher_rate_comes_nearer_to_the_voice_and_leaves_the_source(
    options: IndexRatesOptions,
) -> None:
    converter = VoiceConverter(options.voice, "cpu")
    shares: list[float] = []
    source, *rows = compare_index_rates(converter, options, shares.append)
    assert (source.index_rate, source.path) == (None, options.input)
    assert tuple(row.index_rate for row in rows) == INDEX_RATES
    assert source.to_index > rows[0].to_index > rows[2].to_index > rows[4].to_index > 0
    assert 1 < rows[0].to_source < rows[4].to_source < 12
    assert all(row.melody < 20 and row.voiced > 0.9 for row in rows)
    assert {row.to_training for row in [source, *rows]} == {None}  # its clips are not here
    assert shares == sorted(shares) and shares[-1] == pytest.approx(1.0)
    # each is what a conversion with that rate gives
    alone = options.output / "alone.wav"
    settings = {**vars(options), "index_rate": 0.75, "output": alone}
    converter.convert_file(ConvertOptions(**settings))
    assert alone.read_bytes() == rows[3].path.read_bytes() != rows[2].path.read_bytes()


def test_stopping_in_the_middle_leaves_no_file(options: IndexRatesOptions) -> None:
    converter = VoiceConverter(options.voice, "cpu")

    def stop(share: float) -> None:
        if share > 0.25:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare_index_rates(converter, options, stop)
    assert list(options.output.iterdir()) == []


def test_the_training_clips_are_compared_with_where_they_are(
    options: IndexRatesOptions, tmp_path: Path
) -> None:
    experiment = Experiment(tmp_path / "logs" / "demo")
    for folder in (experiment.target_wavs, experiment.wavs_16k, experiment.f0_hz):
        folder.mkdir(parents=True)
    audio = load(options.input, 16000)[0]
    for path in (experiment.wav_16k("0_0"), experiment.target_wav("0_0")):
        soundfile.write(path, audio, 16000)
    np.save(experiment.f0_hz_file("0_0"), load_f0_method("swift")(audio))
    (own,) = options.voice.parent.glob("*_demo_lite.index")
    (experiment.root / own.name).write_bytes(own.read_bytes())
    options = IndexRatesOptions(**{**vars(options), "index": experiment.root / own.name})
    source, *rows = compare_index_rates(VoiceConverter(options.voice, "cpu"), options)
    assert source.to_training < 0.5  # the source itself was "trained" on
    assert all(row.to_training == pytest.approx(row.to_source, abs=0.5) for row in rows)


def test_a_mean_spectrum_knows_no_loudness_but_a_filter(english: Path) -> None:
    audio = load(english, 16000)[0]
    f0 = load_f0_method("swift")(audio)
    plain = mean_cepstrum([(audio, f0)])
    assert spectrum_distance_db(plain, mean_cepstrum([(0.1 * audio, f0)])) < 0.05
    muffled = np.convolve(audio, [0.5, 0.5], "same")  # 0 dB at 0 Hz, -12 dB at 6.7 kHz
    assert 1 < spectrum_distance_db(plain, mean_cepstrum([(muffled, f0)])) < 6
    assert mean_cepstrum([(audio, 0 * f0)]) is None


def test_the_command_prints_the_table_and_refuses_a_voice_without_index(
    options: IndexRatesOptions,
    untrained_voice: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    argv = ["--input", str(options.input), "--output", str(options.output), "--device", "cpu"]
    assert main(["--voice", str(untrained_voice), *argv]) == 1
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ") and "untrained.pth has no index" in error
    assert not options.output.exists()
    assert main(["--voice", str(options.voice), *argv]) == 0
    table = capsys.readouterr().out
    assert [line.split()[0] for line in table.splitlines() if "speech" in line] == [
        "source", "0.00", "0.25", "0.50", "0.75", "1.00",
    ]  # fmt: skip
