"""From a song to its cover, top to bottom: separate, convert the lead, put it back, mix."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import config
from errors import AudioError, CheckpointError, UserError
from infer.audio.denoise import SAMPLE_RATE as DENOISE_RATE
from infer.audio.denoise import denoise
from infer.audio.meter import ABSOLUTE_GATE, Meter, db_to_gain, decibels
from infer.audio.reader import AudioReader
from infer.audio.writer import OUTPUT_SUFFIXES, AudioWriter
from infer.f0 import fitting_semitones, load_f0_method
from infer.f0.contour import f0_range, median_f0
from infer.options import ConvertOptions
from infer.retrieval import find_index
from infer.voice.header import VoiceHeader, read_header
from tools.songs import lead
from tools.songs.effects import (
    Compressor,
    DeEsser,
    Effect,
    Equalizer,
    HighPass,
    Limiter,
    Reverb,
    through,
)
from tools.songs.options import CoverOptions
from tools.songs.pitch import PitchShifter
from tools.songs.stages import (
    OnStage,
    Sound,
    Stages,
    float_wav,
    open_sound,
    song_folder,
    stereo_blocks,
    together,
)
from tools.songs.video import VIDEO_SUFFIXES, VideoWriter

DRY_STEMS = ("dry", "noreverb", "no_reverb", "no reverb")  # names of vocals without their room
LEAD_STEMS = ("lead", "karaoke", "vocals")  # names of the lead without backing vocals
PEAK_DB = -1.0  # true peaks of a cover stay below, so that players and coders do not clip
APART = np.array([1, -1], np.float32)  # what is at the sides is added left, taken away right
LENGTH_SECONDS = 0.5  # by which a lead may differ: coders add some silence
TRIED_RATE = 44100  # Hz; of files that are opened only to see whether they can be written
OnProgress = Callable[[float], None]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Song:
    """A song in parts; drums: those in the accompaniment, None = not known. rate: Hz of its mix."""

    vocals: Sound
    accompaniment: Sound
    drums: Sound | None
    rate: int


@dataclass(frozen=True)
class Cover:
    """What was made: the file, the song's folder, each part to be heard, and what was measured.

    semitones: the lead's shift. Loudness in LUFS of the original's vocals, of the new ones (as they
    stand in the mix), and of the accompaniment.
    """

    output: Path
    folder: Path
    parts: dict[str, Path]
    semitones: float
    vocals_lufs: float
    voice_lufs: float
    accompaniment_lufs: float
    made: tuple[str, ...]  # stages that were not there yet
    used: tuple[Path, ...]  # folders of what it is made of


def make_cover(options: CoverOptions, on_stage: OnStage | None = None) -> Cover:
    """Make a cover; on_stage takes a stage's name and the share of it that is done.

    Raises UserError.
    """
    named = options.song
    _check_output(options)
    sources = [options.input, options.vocals, options.accompaniment, options.drums, options.lead]
    sounds = {path: open_sound(path) for path in sources if path is not None}
    voice = open_sound(options.voice)
    stages = Stages(song_folder(named, sounds[named].key), on_stage)
    song = _open_song(options, sounds, stages)
    song = _without_backing(options, song, stages) if options.backing else song
    header = read_header(options.voice)
    if header.problem:
        raise CheckpointError("not_a_voice", file=options.voice, reason=header.problem)

    clean = _dereverbed(options, song.vocals, stages) if options.dereverb else song.vocals
    clean = _denoised(clean, stages) if options.denoise else clean
    if options.lead is not None:
        converted = sounds[options.lead]
        _check_length(converted.path, song.vocals.path)
        semitones = (options.semitones or 0.0) + options.transpose
    else:
        semitones = _semitones(options, clean, header, stages)
        converted = _convert(options, clean, voice, header, semitones, stages)
    accompaniment = _transposed(options, song, stages)
    placed, levels = _place(options, song, converted, stages)
    accompaniment_lufs = _mix(options, song, accompaniment, placed, levels, on_stage)
    return Cover(
        options.output, stages.folder,
        {
            "vocals": song.vocals.path, "accompaniment": accompaniment.path, "clean": clean.path,
            "lead": converted.path, "voice": placed.path, "cover": options.output,
        },
        semitones, levels["vocals"], levels["vocals"] + options.lead_db, accompaniment_lufs,
        tuple(stages.made), (*stages.used, *(path.parent for path in sounds)),
    )  # fmt: skip


class _OnlyTried(Exception):
    """Leaves what was opened to see whether it can be."""


def _check_output(options: CoverOptions) -> None:
    """Refuse now what could not be written after minutes of work, or would cost a file."""
    written = _written_files(options)
    for number, (flag, path) in enumerate(written):
        if any(_is_same(path, read) for read in _read_files(options)):
            raise UserError("read_and_written", file=path, flag=flag)
        if any(_is_same(path, other) for _, other in written[:number]):
            raise UserError("written_twice", file=path, flag=flag)
    suffix = options.output.suffix.lower()
    known = (*OUTPUT_SUFFIXES, *VIDEO_SUFFIXES)
    if suffix not in known:
        suffix = suffix or UserError("no_suffix")
        raise AudioError("file_type", file=options.output, suffix=suffix, known=known)
    if suffix in VIDEO_SUFFIXES and options.input is None:
        raise UserError("video_of_stems", file=options.output)
    with suppress(_OnlyTried), ExitStack() as files:
        files.enter_context(_open_output(options, TRIED_RATE))
        for writer in _open_stems(options, TRIED_RATE):
            files.enter_context(writer)
        raise _OnlyTried


def _read_files(options: CoverOptions) -> list[Path]:
    names = (
        "input", "vocals", "accompaniment", "drums", "lead", "voice", "index", "weights",
        "backing", "dereverb",
    )  # fmt: skip
    return [path for name in names if (path := getattr(options, name)) is not None]


def _written_files(options: CoverOptions) -> list[tuple[str, Path]]:
    """Every file that the user gets, with the flag that names it."""
    stems = [("--stems", path) for path in _stem_files(options)]
    report = [("--report", options.report)] if options.report else []
    return [("--output", options.output), *stems, *report]


def _is_same(one: Path, other: Path) -> bool:
    if one.resolve() == other.resolve():
        return True
    return one.exists() and other.exists() and one.samefile(other)


def _open_song(options: CoverOptions, sounds: dict[Path, Sound], stages: Stages) -> Song:
    """The song's parts: the user's own, or what separation gives."""
    if options.vocals is not None and options.accompaniment is not None:
        with AudioReader(options.accompaniment) as reader:
            rate = reader.sample_rate
        drums = sounds[options.drums] if options.drums else None
        return Song(sounds[options.vocals], sounds[options.accompaniment], drums, rate)
    assert options.input is not None
    weights = open_sound(options.weights) if options.weights else None
    settings = {"separator": options.separator, "weights": weights and weights.key}
    vocals, accompaniment, drums = stages.make(
        "separate", [sounds[options.input]], settings,
        ["vocals.wav", "accompaniment.wav", "drums.wav"],
        lambda folder, on_progress: _separate(options, folder, on_progress),
    )  # fmt: skip
    with AudioReader(accompaniment.path) as reader:
        rate = reader.sample_rate
    return Song(vocals, accompaniment, drums if drums.path.is_file() else None, rate)


def _separate(options: CoverOptions, folder: Path, on_progress: OnProgress) -> None:
    """Write the parts of a song as wav; their sum is the song."""
    from infer import memory
    from tools.songs.separation import load_separator
    from tools.songs.separation.overlap import separate

    assert options.input is not None
    separator = load_separator(options.separator, options.weights, options.device)
    if "vocals" not in separator.stems:
        raise UserError("no_stem", stem="vocals", known=list(separator.stems))
    device, rate = config.pick_device(options.device), separator.sample_rate
    number = separator.stems.index("vocals")
    drums = separator.stems.index("drums") if "drums" in separator.stems else None
    names = ["vocals", "accompaniment"] + (["drums"] if drums is not None else [])
    with ExitStack() as files, AudioReader(options.input, rate, channels=2) as reader:
        written = {
            name: files.enter_context(float_wav(folder / f"{name}.wav", rate)) for name in names
        }
        song = _Waiting()
        done = 0
        for stems in separate(
            separator,
            map(song.add, reader.blocks()),
            partial(memory.give_back, device),
            memory.is_out_of_memory,
        ):
            whole = song.take(stems.shape[1])
            written["vocals"].write(stems[number])
            written["accompaniment"].write(whole - stems[number])
            if drums is not None:
                written["drums"].write(stems[drums])
            done += len(whole)
            if reader.seconds:
                on_progress(done / rate / reader.seconds)


class _Waiting:
    """Samples that wait until another stream, which is late, is as far as they are."""

    def __init__(self) -> None:
        self._held = np.zeros((0, 2), np.float32)

    def __len__(self) -> int:
        return len(self._held)

    def add(self, audio: np.ndarray) -> np.ndarray:
        """Take (n, 2) samples; returns them too."""
        self._held = np.concatenate([self._held, audio])
        return audio

    def take(self, count: int) -> np.ndarray:
        """Return the next ones, fewer where there are no more."""
        taken, self._held = self._held[:count], self._held[count:]
        return taken


def _without_backing(options: CoverOptions, song: Song, stages: Stages) -> Song:
    """The song with its lead alone for vocals; the backing vocals are part of its accompaniment."""
    assert options.backing is not None
    weights = options.backing

    def work(folder: Path, on_progress: OnProgress) -> None:
        sung = folder / "vocals.wav"
        _write_stem(sung, song.vocals.path, weights, LEAD_STEMS, options.device, on_progress)
        sources = song.vocals.path, sung, song.accompaniment.path
        with float_wav(folder / "accompaniment.wav", song.rate) as file:
            for whole, own, music in together(
                *(stereo_blocks(each, song.rate) for each in sources)
            ):
                file.write(music + whole - own)

    sources = [song.vocals, song.accompaniment, open_sound(weights)]
    names = ["vocals.wav", "accompaniment.wav"]
    vocals, accompaniment = stages.make("backing", sources, {"rate": song.rate}, names, work)
    return replace(song, vocals=vocals, accompaniment=accompaniment)


def _dereverbed(options: CoverOptions, vocals: Sound, stages: Stages) -> Sound:
    """The vocals without their room, in stereo."""
    assert options.dereverb is not None
    weights = options.dereverb

    def work(folder: Path, on_progress: OnProgress) -> None:
        dry = folder / "vocals.wav"
        _write_stem(dry, vocals.path, weights, DRY_STEMS, options.device, on_progress)

    return stages.make("dereverb", [vocals, open_sound(weights)], {}, ["vocals.wav"], work)[0]


def _write_stem(
    file: Path,
    vocals: Path,
    weights: Path,
    wanted: Sequence[str],
    device: str,
    on_progress: OnProgress,
) -> None:
    """Write the stem of a RoFormer that has one of some names."""
    from infer import memory
    from tools.songs.separation import load_separator
    from tools.songs.separation.overlap import separate

    separator = load_separator("roformer", weights, device)
    found = [name for name in wanted if name in separator.stems]
    if not found:
        raise UserError("no_stem", stem=wanted[0], known=list(separator.stems))
    number, rate, done = separator.stems.index(found[0]), separator.sample_rate, 0
    give_back = partial(memory.give_back, config.pick_device(device))
    with AudioReader(vocals, rate, channels=2) as reader, float_wav(file, rate) as target:
        for stems in separate(separator, reader.blocks(), give_back, memory.is_out_of_memory):
            target.write(stems[number])
            done += stems.shape[1]
            if reader.seconds:
                on_progress(done / rate / reader.seconds)


def _denoised(vocals: Sound, stages: Stages) -> Sound:
    """The middle of the vocals without noise; the sides of the song stay as they are."""

    def work(folder: Path, on_progress: OnProgress) -> None:
        done = 0
        with (
            AudioReader(vocals.path, DENOISE_RATE) as reader,
            float_wav(folder / "vocals.wav", DENOISE_RATE, channels=1) as file,
        ):
            for block in denoise(reader.blocks()):
                file.write(block)
                done += len(block)
                if reader.seconds:
                    on_progress(done / DENOISE_RATE / reader.seconds)

    return stages.make("denoise", [vocals], {}, ["vocals.wav"], work)[0]


def _semitones(options: CoverOptions, vocals: Sound, header: VoiceHeader, stages: Stages) -> float:
    """The lead's shift: what was asked for, or the octaves that suit the voice; and the song's."""
    if options.semitones is not None:
        return options.semitones + options.transpose
    voice_hz = header.f0_median.get(options.speaker, 0.0)
    if not voice_hz or not header.use_f0:
        return options.transpose

    def listen(folder: Path, on_progress: OnProgress) -> None:
        f0 = lead.loudest_f0(vocals.path, load_f0_method(options.f0_method))
        found = {"f0_median": median_f0(f0), "f0_range": f0_range(f0)}
        (folder / "melody.json").write_text(json.dumps(found), encoding="ascii")

    (melody,) = stages.make(
        "listen", [vocals], {"f0_method": options.f0_method}, ["melody.json"], listen
    )
    found = json.loads(melody.path.read_text(encoding="ascii"))
    ratio = 2 ** (options.transpose / 12)
    fitted = fitting_semitones(
        ratio * found["f0_median"],
        voice_hz,
        is_singing=True,
        source_range=[ratio * hz for hz in found.get("f0_range", ())],  # older ones have none
        voice_range=header.f0_range.get(options.speaker),
    )
    return fitted + options.transpose


def _convert(
    options: CoverOptions,
    vocals: Sound,
    voice: Sound,
    header: VoiceHeader,
    semitones: float,
    stages: Stages,
) -> Sound:
    """The middle of the vocals in the new voice: mono, at the voice's own rate."""
    index = options.index
    if index is None and options.index_rate:
        index = find_index(options.voice, [config.LOGS], header.version, header.content_dim or None)
    sources = [vocals, voice] + ([open_sound(index)] if index and options.index_rate else [])
    asked = ConvertOptions(
        voice=options.voice, input=vocals.path, output=Path("lead.wav"), semitones=semitones,
        f0_method=options.f0_method, index=index, index_rate=options.index_rate,
        protect=options.protect, rms_mix_rate=0.0, speaker=options.speaker, device=options.device,
        seed=options.seed,
    )  # fmt: skip
    names = ("semitones", "f0_method", "index_rate", "protect", "speaker", "seed")

    def work(folder: Path, on_progress: OnProgress) -> None:
        from infer.converter import VoiceConverter

        converter = VoiceConverter(options.voice, options.device)
        wanted = {**vars(asked), "output": folder / "lead.wav"}
        converter.convert_file(ConvertOptions(**wanted), on_progress)

    settings = {name: getattr(asked, name) for name in names}
    return stages.make("convert", sources, settings, ["lead.wav"], work)[0]


def _check_length(converted: Path, vocals: Path) -> None:
    """Refuse a lead that was not made of these vocals: it would be sung beside the music."""
    seconds, needed = map(_counted_seconds, (converted, vocals))
    if abs(seconds - needed) > LENGTH_SECONDS:
        raise AudioError(
            "lead_length", file=converted, seconds=f"{seconds:.1f}", needed=f"{needed:.1f}"
        )


def _transposed(options: CoverOptions, song: Song, stages: Stages) -> Sound:
    """The accompaniment at its new pitch; its drums, where they are known, keep theirs."""
    if options.transpose == 0:
        return song.accompaniment

    def work(folder: Path, on_progress: OnProgress) -> None:
        shifter, done = PitchShifter(song.rate, options.transpose), 0
        total = _seconds(song.accompaniment.path) * song.rate
        streams = [stereo_blocks(song.accompaniment.path, song.rate)]
        if song.drums:
            streams.append(stereo_blocks(song.drums.path, song.rate))
        drums = _Waiting()
        with float_wav(folder / "accompaniment.wav", song.rate) as file:

            def write(shifted: np.ndarray) -> None:
                beats = drums.take(len(shifted))
                file.write(shifted + beats if len(beats) else shifted)

            for whole, *beats in together(*streams):
                if beats:
                    drums.add(beats[0])
                    whole = whole - beats[0]
                write(shifter.push(whole))
                done += len(whole)
                on_progress(done / max(1, total))
            write(shifter.flush())

    sources = [song.accompaniment] + ([song.drums] if song.drums else [])
    settings = {"transpose": options.transpose, "rate": song.rate}
    return stages.make("transpose", sources, settings, ["accompaniment.wav"], work)[0]


def _place(
    options: CoverOptions, song: Song, converted: Sound, stages: Stages
) -> tuple[Sound, dict[str, float]]:
    """The new voice as it belongs into the mix, in stereo; and the levels of both voices."""
    names = (
        "sides", "high_pass", "bass_db", "presence_db", "air_db", "de_ess", "compress", "reverb",
        "transpose",
    )  # fmt: skip
    settings: dict[str, Any] = {name: getattr(options, name) for name in names}

    def work(folder: Path, on_progress: OnProgress) -> None:
        wanted = lead.measure(song.vocals.path, song.rate, lambda share: on_progress(share / 4))
        found = lead.measure(converted.path, song.rate, lambda share: on_progress(0.25 + share / 4))
        gains = lead.Gains(song.rate, lead.phrase_gains(wanted, found))
        sung = wanted[decibels(wanted) > ABSOLUTE_GATE]
        level = float(decibels(sung.mean())) if len(sung) else ABSOLUTE_GATE
        meters = {"vocals": Meter(song.rate), "voice": Meter(song.rate)}
        sides = _Sides(song.rate, options)
        total, done = _seconds(song.vocals.path) * song.rate, 0
        with float_wav(folder / "voice.wav", song.rate) as file:

            def original() -> Iterator[np.ndarray]:
                for block in stereo_blocks(song.vocals.path, song.rate):
                    meters["vocals"].push(block)
                    sides.push(block)
                    yield block

            def new() -> Iterator[np.ndarray]:
                streams = original(), stereo_blocks(converted.path, song.rate)
                for before, after in together(*streams):
                    mono = gains.push(after[: len(before)].mean(axis=1))
                    yield np.repeat(mono[:, None], 2, axis=1)

            def whole() -> Iterator[np.ndarray]:
                for block in through(_effects(options, song.rate, level), new()):
                    yield sides.add_to(block)
                yield sides.flush()

            for block in whole():
                meters["voice"].push(block)
                file.write(block)
                done += len(block)
                on_progress(0.5 + 0.5 * done / max(1, total))
        levels = {name: meter.loudness() for name, meter in meters.items()}
        (folder / "levels.json").write_text(json.dumps(levels), encoding="ascii")

    placed, levels_file = stages.make(
        "voice", [song.vocals, converted], {**settings, "rate": song.rate},
        ["voice.wav", "levels.json"], work,
    )  # fmt: skip
    return placed, json.loads(levels_file.path.read_text(encoding="ascii"))


class _Sides:
    """What left and right of the vocals do not share, at the song's new pitch, put to the voice."""

    def __init__(self, sample_rate: int, options: CoverOptions) -> None:
        self._share = np.float32(options.sides / 2)
        self._shifter = PitchShifter(sample_rate, options.transpose) if options.transpose else None
        self._sides, self._voice = _Waiting(), _Waiting()

    def push(self, audio: np.ndarray) -> None:
        """Take the next block of the vocals."""
        side = (audio[:, 0] - audio[:, 1]) * self._share
        stereo = np.stack([side, side], axis=1)  # in phase: a shifter listens to their sum
        self._sides.add(stereo if self._shifter is None else self._shifter.push(stereo))

    def add_to(self, voice: np.ndarray) -> np.ndarray:
        """Take the next block of the voice; return what is ready: a shifter keeps some back."""
        self._voice.add(voice)
        count = min(len(self._voice), len(self._sides))
        return self._voice.take(count) + self._sides.take(count) * APART

    def flush(self) -> np.ndarray:
        """Return the rest of the voice."""
        if self._shifter is not None:
            self._sides.add(self._shifter.flush())
        voice = self._voice.take(len(self._voice))
        sides = self._sides.take(len(voice)) * APART
        return voice + np.pad(sides, ((0, len(voice) - len(sides)), (0, 0)))


def _effects(options: CoverOptions, sample_rate: int, level_db: float) -> list[Effect]:
    effects: list[Effect] = []
    if options.high_pass:
        effects.append(HighPass(sample_rate, options.high_pass))
    if options.de_ess:
        effects.append(DeEsser(sample_rate, options.de_ess))
    if options.compress:
        effects.append(Compressor(sample_rate, options.compress, level_db))
    bands = options.bass_db, options.presence_db, options.air_db
    if any(bands):  # behind those whose thresholds were measured without it
        effects.append(Equalizer(sample_rate, *bands))
    if options.reverb:
        effects.append(Reverb(sample_rate, options.reverb))
    return effects


def _mix(
    options: CoverOptions,
    song: Song,
    accompaniment: Sound,
    placed: Sound,
    levels: dict[str, float],
    on_stage: OnStage | None,
) -> float:
    """Write the cover, and its stems if they are wanted; returns the accompaniment's LUFS."""
    gain = np.float32(db_to_gain(levels["vocals"] - levels["voice"] + options.lead_db))
    if levels["vocals"] <= ABSOLUTE_GATE or levels["voice"] <= ABSOLUTE_GATE:
        gain = np.float32(db_to_gain(options.lead_db))
    meter = Meter(song.rate)
    total = max(_seconds(accompaniment.path), _seconds(placed.path)) * song.rate
    passes = 2 if options.loudness is not None else 1

    def parts(number: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        done = 0
        streams = [stereo_blocks(each.path, song.rate) for each in (accompaniment, placed)]
        for music, voice in together(*streams):
            yield music, voice * gain
            done += len(music)
            if on_stage:
                on_stage("mix", min(1.0, (number + done / max(1, total)) / passes))

    whole = np.float32(1.0)
    if options.loudness is not None:
        mixed = Meter(song.rate)
        for music, voice in parts(0):
            mixed.push(music + voice)
        if mixed.loudness() > ABSOLUTE_GATE:
            whole = np.float32(db_to_gain(options.loudness - mixed.loudness()))
    with ExitStack() as files:
        stems = [files.enter_context(each) for each in _open_stems(options, song.rate)]

        def sums() -> Iterator[np.ndarray]:
            for music, voice in parts(passes - 1):
                meter.push(music)
                for writer, block in zip(stems, (voice, music), strict=False):
                    writer.write(block * whole)
                yield (music + voice) * whole

        writer = files.enter_context(_open_output(options, song.rate))
        for block in through([Limiter(song.rate, PEAK_DB)], sums()):
            writer.write(block)
    return meter.loudness()


def _open_output(options: CoverOptions, sample_rate: int) -> AudioWriter | VideoWriter:
    if options.output.suffix.lower() in VIDEO_SUFFIXES:
        assert options.input is not None
        return VideoWriter(options.output, options.input, sample_rate)
    return AudioWriter(options.output, sample_rate, channels=2)


def _open_stems(options: CoverOptions, sample_rate: int) -> Iterator[AudioWriter]:
    for path in _stem_files(options):
        yield AudioWriter(path, sample_rate, channels=2)


def _stem_files(options: CoverOptions) -> list[Path]:
    if options.stems is None:
        return []
    suffix = options.output.suffix.lower()
    suffix = ".flac" if suffix in VIDEO_SUFFIXES else suffix
    return [options.stems / f"{name}{suffix}" for name in ("voice", "accompaniment")]


def _counted_seconds(path: Path) -> float:
    """How long a file really is: some state another length, or none."""
    return sum(map(len, stereo_blocks(path, TRIED_RATE))) / TRIED_RATE


def _seconds(path: Path) -> float:
    with AudioReader(path) as reader:
        return reader.seconds or 0.0
