"""A song's own stems become its cover: in step, at the right level, each stage made once."""

from __future__ import annotations

import os
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

import config
from errors import AudioError, UserError
from tests.tools.songs.song import RATE, delay_ms, loudness, stereo, write_stems
from tests.tools.songs.test_video import write_sound
from tools.cmd import cover as command_line
from tools.cmd import infer_cli
from tools.songs import kept, lead, separation
from tools.songs.cover import make_cover
from tools.songs.options import CoverOptions
from tools.songs.pitch import PitchShifter


@pytest.fixture(scope="session")
def stems(tmp_path_factory: pytest.TempPathFactory, english: Path) -> tuple[Path, Path]:
    return write_stems(tmp_path_factory.mktemp("song"), english, 6.0)


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
    # each stage was made once, and is made again when what it is made of changes
    assert cover.made == ("listen", "convert", "voice")
    assert all(path.is_file() for path in cover.parts.values())
    assert make_cover(replace(asked, lead_db=3.0)).made == ()
    assert make_cover(replace(asked, reverb=0.3)).made == ("voice",)
    asked.vocals.write_bytes(asked.vocals.read_bytes())  # as old as new: the content counts
    assert make_cover(asked).made == ()
    assert not list(cover.folder.glob(".*"))


def test_a_part_of_the_lead_is_made_again_and_the_rest_of_the_cover_stays(
    asked: CoverOptions, tmp_path: Path
) -> None:
    first = make_cover(asked)
    before, better = stereo(first.output), tmp_path / "better.wav"
    argv = ["--voice", asked.voice, "--input", first.parts["clean"], "--output", better]
    argv += ["--into", first.parts["lead"], "--from", "4", "--to", "5", "--semitones", "7"]
    assert infer_cli.main([str(each) for each in argv]) == 0
    again = make_cover(replace(asked, lead=better, semitones=first.semitones))
    assert again.made == ("voice",)
    assert again.semitones == first.semitones and again.parts["lead"] == better
    difference = np.abs(stereo(again.output) - before).max(axis=1)
    assert difference[4 * RATE : 5 * RATE].max() > 0.1
    other = difference[: round(2.4 * RATE)]  # a phrase before; that of the part has its loudness
    assert other.max() < 0.02 * np.abs(before).max()
    soundfile.write(better, soundfile.read(first.parts["lead"])[0][: 2 * 24000], 24000)
    with pytest.raises(AudioError, match=r"2\.0 s, the vocals 6\.0 s") as error:
        make_cover(replace(asked, lead=better))
    assert error.value.name == "lead_length"


def test_another_seed_is_another_lead(asked: CoverOptions, untrained_voice: Path) -> None:
    asked = replace(asked, voice=untrained_voice)
    assert make_cover(asked).made == ("convert", "voice")  # its pitch is not known: no listening
    assert make_cover(replace(asked, seed=1)).made == ("convert", "voice")


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


def test_the_song_is_transposed_with_its_lead(asked: CoverOptions, untrained_voice: Path) -> None:
    cover = make_cover(replace(asked, voice=untrained_voice, transpose=2.0, sides=0.0))
    assert cover.semitones % 12 == 2
    music = stereo(asked.stems / "accompaniment.wav")
    before = stereo(asked.accompaniment)
    hz = [
        np.argmax(np.abs(np.fft.rfft(each[:, 0] * np.hanning(len(each)))[: len(each) // 200]))
        for each in (music, before)
    ]
    assert 12 * np.log2(hz[0] / hz[1]) == pytest.approx(2, abs=0.1)
    assert len(music) == len(before)


def test_a_song_of_many_blocks_is_transposed_with_the_sides_of_its_vocals(
    asked: CoverOptions, untrained_voice: Path, english: Path, tmp_path: Path
) -> None:
    vocals, rest = write_stems(tmp_path, english, 23.0)  # more than two blocks
    make_cover(
        replace(asked, vocals=vocals, accompaniment=rest, voice=untrained_voice, transpose=2.0)
    )
    side = stereo(vocals) @ [0.5, -0.5]
    shifter = PitchShifter(RATE, 2.0)
    wanted = shifter.push(np.stack([side, side], axis=1).astype(np.float32))
    wanted = np.concatenate([wanted, shifter.flush()])[:, 0]
    found = stereo(asked.stems / "voice.wav") @ [0.5, -0.5]
    assert len(found) == len(wanted)
    sides = found, wanted
    assert np.corrcoef(*sides)[0, 1] > 0.99
    assert abs(delay_ms(*sides)) < 1 / RATE


def test_drums_keep_their_pitch_and_place(
    asked: CoverOptions, untrained_voice: Path, tmp_path: Path
) -> None:
    drums = tmp_path / "drums.wav"
    soundfile.write(drums, stereo(asked.accompaniment), RATE, "PCM_24")  # nothing but drums
    make_cover(replace(asked, voice=untrained_voice, transpose=3.0, drums=drums))
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
        (replace(asked, output=asked.accompaniment), "read_and_written"),
        (replace(asked, output=tmp_path / "cover.mp4"), "video_of_stems"),
        (replace(asked, output=tmp_path / "cover.txt"), "file_type"),
        (replace(asked, output=tmp_path / "cover"), "file_type"),
    ):
        with pytest.raises(UserError) as error:
            make_cover(options)
        assert error.value.name == name


def test_what_cannot_be_written_is_refused_before_any_work(
    asked: CoverOptions, tmp_path: Path
) -> None:
    song, file = tmp_path / "sound only.mp4", tmp_path / "file"
    write_sound(song, stereo(asked.vocals))
    file.touch()
    whole = replace(asked, input=song, vocals=None, accompaniment=None)
    for options, name, told in (
        (replace(whole, output=tmp_path / "cover.mp4"), "no_picture", song.name),
        (replace(whole, output=tmp_path / "cover.avi"), "file_type", ".mp4"),
        (replace(asked, output=file / "cover.wav"), "written", "cover.wav"),
        (replace(asked, stems=file), "written", "voice.wav"),
        (replace(asked, output=tmp_path), "file_type", tmp_path.name),
    ):
        shown: list[str] = []
        with pytest.raises(UserError, match=re.escape(told)) as error:
            make_cover(options, lambda name, share, shown=shown: shown.append(name))
        assert (error.value.name, shown) == (name, [])
    assert sorted(path.name for path in tmp_path.iterdir()) == [file.name, song.name]


def test_no_file_of_the_user_is_written_over(asked: CoverOptions, tmp_path: Path) -> None:
    own = tmp_path / "own"
    shutil.copytree(asked.accompaniment.parent, own)
    accompaniment = (own / asked.accompaniment.name).rename(own / "accompaniment.wav")
    voice = (own / asked.vocals.name).rename(own / "voice.wav")
    linked = tmp_path / "linked"
    linked.symlink_to(own)
    content = [accompaniment.read_bytes(), voice.read_bytes()]
    for changes, name, flag in (
        ({"accompaniment": accompaniment, "stems": own}, "read_and_written", "--stems"),
        ({"accompaniment": accompaniment, "stems": linked}, "read_and_written", "--stems"),
        ({"vocals": voice, "stems": own / "../own"}, "read_and_written", "--stems"),
        ({"drums": voice, "stems": own}, "read_and_written", "--stems"),
        ({"drums": voice, "output": linked / "voice.wav"}, "read_and_written", "--output"),
        ({"report": asked.voice}, "read_and_written", "--report"),
        ({"stems": own, "output": own / "new/../voice.wav"}, "written_twice", "--stems"),
        ({"report": asked.output}, "written_twice", "--report"),
    ):
        with pytest.raises(UserError, match=flag) as error:
            make_cover(replace(asked, **changes))
        assert error.value.name == name
    assert [accompaniment.read_bytes(), voice.read_bytes()] == content


class FakeSeparator:
    """Takes the left side of a song for its vocals."""

    sample_rate, stems, segment, least_segment = RATE, ("vocals", "other"), 2 * RATE, RATE

    def __call__(self, audio: np.ndarray) -> np.ndarray:
        """Return vocals and the rest."""
        vocals = np.repeat(audio[:1], 2, axis=0) / 2
        return np.stack([vocals, audio - vocals])


def test_sound_in_an_mp4_is_a_song_like_any_other(
    asked: CoverOptions, untrained_voice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(separation, "load_separator", lambda *_: FakeSeparator())
    song = tmp_path / "sound only.mp4"
    write_sound(song, stereo(asked.vocals))
    options = replace(asked, input=song, vocals=None, accompaniment=None, voice=untrained_voice)
    cover = make_cover(options)
    assert "separate" in cover.made
    assert loudness(stereo(cover.output)) > -50


def test_the_command_makes_it_and_says_what_it_made(
    asked: CoverOptions, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.flac"
    argv = ["--vocals", asked.vocals, "--accompaniment", asked.accompaniment]
    argv += ["--voice", asked.voice, "--output", output, "--device", "cpu"]
    assert command_line.main([str(each) for each in argv]) == 0
    told = capsys.readouterr().out
    assert output.is_file()
    assert "convert 100/100 (100%)" in told
    assert "mix 100/100 (100%)" in told


def test_stages_beyond_the_limit_go_the_one_not_used_for_longest_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "RESULTS", tmp_path)
    folders = []
    for hours, song in ((9, "a-1"), (7, "b-2"), (5, "b-2"), (0.1, "c-3")):
        folders.append(tmp_path / song / f"voice-{len(folders):012x}")
        folders[-1].mkdir(parents=True)
        (folders[-1] / "voice.wav").write_bytes(bytes(1000))
        times = time.time() - 3600 * hours
        os.utime(folders[-1], (times, times))
    own = tmp_path / "a-1/voice-of mine"
    own.mkdir()
    assert kept.size_of(kept.stage_folders()) == 4000
    assert kept.forget_oldest(4000e-9, []) == 4000
    assert kept.forget_oldest(2500e-9, [folders[1]]) == 2000
    assert [folder.is_dir() for folder in folders] == [False, True, False, True]
    assert kept.forget_oldest(0, []) == 1000  # what was used within the hour stays
    assert not (tmp_path / "b-2").exists() and folders[3].is_dir() and own.is_dir()
