"""A song's own stems become its cover: in step, at the right level, each stage made once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

import config
from errors import UserError
from infer.audio.reader import AudioReader, load
from tools.cmd import cover as command_line
from tools.songs import lead
from tools.songs.cover import make_cover
from tools.songs.loudness import Meter
from tools.songs.options import CoverOptions

RATE = 44100
SECONDS = 6.0


def stereo(path: Path, rate: int = RATE) -> np.ndarray:
    """Read a file, (n, 2)."""
    with AudioReader(path, rate, channels=2) as reader:
        return np.concatenate(list(reader.blocks()))


def loudness(audio: np.ndarray) -> float:
    meter = Meter(RATE)
    meter.push(audio)
    return meter.loudness()


def delay_ms(sound: np.ndarray, original: np.ndarray) -> float:
    """By how much a sound is late, by the peak of the correlation."""
    size = len(sound) + len(original)
    spectra = np.fft.rfft(sound, size) * np.conj(np.fft.rfft(original, size))
    place = int(np.argmax(np.fft.irfft(spectra, size)))
    return 1000 * (place if place < size / 2 else place - size) / RATE


@pytest.fixture(scope="session")
def stems(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Speech that was laid out as vocals in stereo, and chords with beats."""
    folder = tmp_path_factory.mktemp("song")
    speech, _ = load(config.ASSETS / "examples" / "english.flac", RATE)
    speech = 0.5 * np.tile(speech, 2)[: round(SECONDS * RATE)]
    speech[round(2.5 * RATE) : round(3.2 * RATE)] = 0  # two phrases
    room = 0.1 * np.roll(speech, 900)
    soundfile.write(
        folder / "vocals.wav", np.stack([speech + room, speech - room], axis=1), RATE, "PCM_24"
    )
    seconds = np.arange(len(speech)) / RATE
    random = np.random.default_rng(0)
    music = np.zeros((len(speech), 2))
    for number, hz in enumerate((110, 138.6, 164.8, 220)):
        music[:, number % 2] += 0.08 * np.sin(2 * np.pi * hz * seconds)
    beat = np.exp(-np.arange(4000) / 400) * random.normal(size=4000) * 0.3
    for start in range(0, len(music) - 4000, RATE // 2):
        music[start : start + 4000] += beat[:, None]
    soundfile.write(folder / "accompaniment.wav", music, RATE, "PCM_24")
    return folder / "vocals.wav", folder / "accompaniment.wav"


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture
def asked(
    stems: tuple[Path, Path], results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> CoverOptions:
    """What to make of the stems; stages that one test has made, the next one finds."""
    monkeypatch.setattr(config, "RESULTS", results)
    return CoverOptions(
        vocals=stems[0], accompaniment=stems[1], voice=config.LITE / "demo.pth",
        output=tmp_path / "cover.wav", stems=tmp_path / "stems", device="cpu",
    )  # fmt: skip


def test_a_cover_is_in_step_and_its_lead_as_loud_as_the_original(asked: CoverOptions) -> None:
    told: list[tuple[str, float]] = []
    cover = make_cover(asked, lambda *step: told.append(step))
    vocals, accompaniment = (stereo(path) for path in (asked.vocals, asked.accompaniment))
    voice, music = (stereo(asked.stems / f"{name}.wav") for name in ("voice", "accompaniment"))
    mix = stereo(cover.output)
    assert len(mix) == len(accompaniment)
    assert np.abs(music - accompaniment).max() < 1e-4  # sample by sample where it was
    assert abs(delay_ms(mix[:, 0] - voice[:, 0], accompaniment[:, 0])) < 1 / RATE
    assert abs(loudness(voice) - loudness(vocals)) < 1.0
    assert abs(loudness(mix) - loudness(vocals + accompaniment)) < 1.0
    for first, last in ((0.2, 2.4), (3.4, 5.8)):  # every phrase by itself
        part = slice(round(first * RATE), round(last * RATE))
        assert abs(loudness(voice[part]) - loudness(vocals[part])) < 1.5
    sides = [(each[:, 0] - each[:, 1]) / 2 for each in (voice, vocals)]
    assert np.corrcoef(*sides)[0, 1] > 0.999
    assert abs(delay_ms(*sides)) < 1 / RATE
    middle, before = (each.mean(axis=1) for each in (voice, vocals))
    assert np.corrcoef(middle, before)[0, 1] < 0.5  # somebody else sings
    envelopes = [np.square(each).reshape(-1, RATE // 100).mean(axis=1) for each in (middle, before)]
    assert np.corrcoef(*np.log(np.add(envelopes, 1e-7)))[0, 1] > 0.8
    assert [name for name, share in told if share == 1.0][-1] == "mix"
    assert all(0 <= share <= 1 for _, share in told)


def test_a_stage_is_made_once_and_again_when_what_it_is_made_of_changes(
    asked: CoverOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "RESULTS", tmp_path / "results")
    first = make_cover(asked)
    assert first.made == ("listen", "convert", "voice")
    assert all(path.is_file() for path in first.parts.values())
    assert make_cover(asked).made == ()
    assert make_cover(replace(asked, lead_db=3.0)).made == ()
    assert make_cover(replace(asked, reverb=0.3)).made == ("voice",)
    assert make_cover(replace(asked, seed=1)).made == ("convert", "voice")
    asked.vocals.write_bytes(asked.vocals.read_bytes())  # as old as new: the content counts
    assert make_cover(asked).made == ()
    assert not list(first.folder.glob(".*"))


def test_a_cover_that_was_stopped_goes_on_where_it_was(asked: CoverOptions) -> None:
    asked = replace(asked, sides=0.5)

    def stop(name: str, share: float) -> None:
        if (name, share >= 0.5) == ("voice", True):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_cover(asked, stop)
    assert not asked.output.exists()
    assert make_cover(asked).made == ("voice",)


def test_the_song_can_be_made_louder_and_the_lead_too(asked: CoverOptions) -> None:
    cover = make_cover(replace(asked, loudness=-20.0, lead_db=6.0))
    mix, voice, music = (
        stereo(path)
        for path in (cover.output, asked.stems / "voice.wav", asked.stems / "accompaniment.wav")
    )
    assert abs(loudness(mix) + 20) < 0.5
    before = loudness(stereo(asked.vocals)) - loudness(stereo(asked.accompaniment))
    assert abs(loudness(voice) - loudness(music) - before - 6) < 0.3


def test_the_song_is_transposed_with_its_lead(asked: CoverOptions) -> None:
    cover = make_cover(replace(asked, transpose=2.0, sides=0.0))
    assert cover.semitones % 12 == 2
    music = stereo(asked.stems / "accompaniment.wav")
    before = stereo(asked.accompaniment)
    hz = [
        np.argmax(np.abs(np.fft.rfft(each[:, 0] * np.hanning(len(each)))[: len(each) // 200]))
        for each in (music, before)
    ]
    assert 12 * np.log2(hz[0] / hz[1]) == pytest.approx(2, abs=0.1)
    assert len(music) == len(before)


def test_drums_keep_their_pitch_and_place(asked: CoverOptions, tmp_path: Path) -> None:
    drums = tmp_path / "drums.wav"
    soundfile.write(drums, stereo(asked.accompaniment), RATE, "PCM_24")  # nothing but drums
    make_cover(replace(asked, transpose=3.0, drums=drums))
    music = stereo(asked.stems / "accompaniment.wav")
    assert np.abs(music - stereo(drums)).max() < 1e-4


def test_every_format_is_in_step(asked: CoverOptions, tmp_path: Path) -> None:
    make_cover(asked)
    before = stereo(asked.output)
    for suffix in (".flac", ".mp3", ".m4a", ".ogg", ".opus"):
        cover = make_cover(replace(asked, output=tmp_path / f"cover{suffix}", stems=None))
        mix = stereo(cover.output)
        assert abs(delay_ms(mix[:, 0], before[:, 0])) < 1.0
        assert abs(len(mix) - len(before)) < RATE / 100


def test_a_phrase_gets_one_gain_and_a_breath_does_not_end_it() -> None:
    sung = np.full(10, 0.01)
    wanted = np.concatenate([sung, np.zeros(2), sung, np.zeros(10), sung / 100])
    found = np.concatenate([sung / 2, np.zeros(2), sung / 2, np.zeros(10), sung / 25])
    gains = lead.phrase_gains(wanted, found)
    assert gains[:22] == pytest.approx(10 * np.log10(2), abs=0.05)
    assert gains[-10:] == pytest.approx(-10 * np.log10(4), abs=0.05)
    assert (np.diff(gains[21:33]) < 0).all()


def test_what_is_missing_or_too_much_is_said(asked: CoverOptions, tmp_path: Path) -> None:
    for options, name in (
        (replace(asked, accompaniment=None), "both_stems"),
        (replace(asked, input=asked.vocals), "song_or_stems"),
        (replace(asked, vocals=None, accompaniment=None), "song_or_stems"),
        (replace(asked, vocals=tmp_path / "none.wav"), "no_file"),
        (replace(asked, output=asked.accompaniment), "output_is_input"),
        (replace(asked, output=tmp_path / "cover.mp4"), "video_of_stems"),
        (replace(asked, output=tmp_path / "cover.txt"), "file_type"),
    ):
        with pytest.raises(UserError) as error:
            make_cover(options)
        assert error.value.name == name


def test_the_command_makes_it_and_says_what_it_made(
    asked: CoverOptions, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = f"--vocals {asked.vocals} --accompaniment {asked.accompaniment} --voice {asked.voice}"
    output = tmp_path / "out.flac"
    assert command_line.main([*argv.split(), "--output", str(output), "--device", "cpu"]) == 0
    told = capsys.readouterr().out
    assert output.is_file()
    assert "convert 100/100 (100%)" in told
    assert "mix 100/100 (100%)" in told
