"""Teach the shipped encoder to hear in noise, rooms and telephones what it hears without them.

A maintainer's tool. The sound is altered as a converter gets it (noise, music, several people,
rooms, telephones, overload, levels) and cut anywhere, as in a live conversion that knows little of
what follows; the aim is what the encoder heard in the whole clean recording, and how loud its
speech was. Voices made with the encoder stay as they are. A stopped run goes on where it was.

    python -m tools.research.harden_encoder --corpus corpus --synth corpus/synth \\
        --state state/ears --minutes 60 --output hardened.safetensors --bench bench
"""

from __future__ import annotations

import csv
import math
import sys
import time
import zlib
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

import config
from config import replacing
from errors import AudioError
from infer.audio.reader import load
from infer.content import CONTENT_ENCODERS, FRAME, ContentEncoder, load_encoder
from infer.content.statistics import SPEECH_RANGE
from infer.content.whisper import SAMPLE_RATE, WhisperContent, pack_steps
from infer.content.whisper_encoder import WINDOW
from infer.voice.checkpoint import load_training_state
from infer.voice.tensors import read_tensors, save_tensors, unpack
from options import Options, option, parse_options

TEACHER = "whisper-base-4"
PIECE = 120 * SAMPLE_RATE  # samples of a speaker that the teacher hears at once
CROPS = (60, 110, 170)  # frames of the crops of a step; shorter ones are more
STEP_SHARE = 0.4
STEP_FRAMES = 1320  # of all crops of a step
LENGTH = 2**16  # samples that are altered: a crop, and what echoes from before it
BEFORE = 25 * FRAME  # samples before a crop in them
HELD_BACK = 0.03  # of every speaker, at the end ...
HELD_BACK_FROM = 5  # ... of whom there are so many minutes
PAUSE_WEIGHT = 0.3  # of a frame in which nobody speaks
CLEAN_SHARE = 0.3  # of the crops, altered in level alone
SYNTHESIZER_WEIGHT, ENERGY_WEIGHT = 0.5, 0.3
EQUALIZER_HZ = (60, 120, 250, 500, 1000, 2000, 4000, 8000)
PEAK_RATE, WARM_UP = 1e-4, 50  # learning rate, steps
HEAD_RATE, NOISE_AT_FIRST = 10, -1.0  # of what is new: the energy of the noise
SAVE_SECONDS, TELL_STEPS = 240, 100


@dataclass(frozen=True, kw_only=True)
class HardenEncoderOptions(Options):
    """Teach the shipped encoder to hear in noise what it hears without."""

    MODULE = "tools.research.harden_encoder"

    corpus: Path = option("folder with manifest.tsv; its train split")
    synth: Path = option("folder in which are folders with manifest.tsv; their synth splits")
    state: Path = option("folder of the teacher's content and of the training's state")
    output: Path = option("file to write at the end, .safetensors")
    minutes: float = option("of this run; the learning rate ends with it", within=(0, 100_000))
    bench: Path | None = option("folder of tools.research.hard_bench to be compared on", None)
    real_share: float = option("share of the crops that real people speak", 0.6, within=(0, 1))
    seed: int = option("of everything random", 0, within=(0, 2**31))


@dataclass(frozen=True)
class Speech:
    """All clips of one speaker in a row, and what the teacher hears in them."""

    name: str
    audio: np.ndarray  # (T * FRAME,) int16
    content: np.ndarray  # (T, dim) float16
    energy: np.ndarray  # (T,) log10
    loud: float  # log10 energy of the loud frames

    @property
    def is_real(self) -> bool:
        return self.name.startswith("train-")


def listen(options: HardenEncoderOptions) -> list[Speech]:
    """Hear every speaker with the teacher, once; returns all of them."""
    rows = defaultdict(list)
    manifests = [options.corpus / "manifest.tsv", *sorted(options.synth.rglob("manifest.tsv"))]
    for manifest in manifests:
        with manifest.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                if row["split"] in ("train", "synth"):
                    rows[f"{row['split']}-{row['speaker']}"].append(manifest.parent / row["file"])
    teacher = load_encoder(TEACHER, torch.device("cpu"))
    assert isinstance(teacher, WhisperContent)
    teacher.hears_in_noise = False
    options.state.mkdir(parents=True, exist_ok=True)
    for name, files in rows.items():
        path = options.state / f"{name}.content.npy"
        if not path.is_file():
            audio = _joined(files, zlib.crc32(name.encode()))
            content = np.concatenate(
                [teacher(audio[i : i + PIECE]) for i in range(0, len(audio), PIECE)]
            )
            scaled = np.round(audio[: len(content) * FRAME] * 32767).clip(-32768, 32767)
            for kind, array in (
                ("audio", scaled.astype(np.int16)),
                ("energy", content[:, -1].astype(np.float32)),
                ("content", content[:, :-1].astype(np.float16)),
            ):
                with replacing(options.state / f"{name}.{kind}.npy") as part, part.open("wb") as f:
                    np.save(f, array)
            print(f"{name}: {len(audio) / SAMPLE_RATE / 60:.1f} min", flush=True)
    found = []
    for path in sorted(options.state.glob("*.content.npy")):
        name = path.name.removesuffix(".content.npy")
        energy = np.load(options.state / f"{name}.energy.npy")
        audio = np.load(options.state / f"{name}.audio.npy", mmap_mode="r")
        loud = float(np.percentile(energy, 95))
        found.append(Speech(name, audio, np.load(path, mmap_mode="r"), energy, loud))
    return found


def _joined(files: list[Path], seed: int) -> np.ndarray:
    """The clips one after another, in random order."""
    clips = []
    for number in np.random.default_rng(seed).permutation(len(files)):
        try:
            clips.append(load(files[number], SAMPLE_RATE)[0])
        except AudioError as error:
            print(f"left out: {error}", flush=True)
    return np.concatenate(clips)


class Alterations:
    """Crops of speech, altered, and what of them is to be heard."""

    def __init__(self, speech: list[Speech], real_share: float) -> None:
        self.speech = speech
        minutes = np.array([len(s.content) for s in speech], float)
        is_real = np.array([s.is_real for s in speech])
        self.shares = minutes.copy()
        for group, share in ((is_real, real_share), (~is_real, 1 - real_share)):
            if group.any():
                self.shares[group] *= share / minutes[group].sum()
        self.shares /= self.shares.sum()
        self.held_back = np.flatnonzero(minutes > HELD_BACK_FROM * 3000)
        random = np.random.default_rng(0)
        self.noises = [_noise(random) for _ in range(60)] + [_music(random) for _ in range(60)]
        self.hz = np.fft.rfftfreq(LENGTH, 1 / SAMPLE_RATE)

    def crop(self, random: np.random.Generator, is_held_back: bool) -> tuple[Speech, int]:
        """A speaker and the content frame with which LENGTH samples begin."""
        number = random.choice(len(self.speech), p=self.shares)
        if is_held_back:
            number = random.choice(self.held_back)
        speech, low, high = self.speech[number], 0, len(self.speech[number].content)
        if number in self.held_back:
            border = int(high * (1 - HELD_BACK))
            low, high = (border, high) if is_held_back else (0, border)
        return speech, int(random.integers(low, high - LENGTH // FRAME - 1))

    def babble(self, random: np.random.Generator) -> np.ndarray:
        """Several people at once."""
        count = int(random.integers(1, 6))
        return sum(
            self._take(*self.crop(random, False)) * random.uniform(0.3, 1) for _ in range(count)
        )

    def _take(self, speech: Speech, start: int) -> np.ndarray:
        return speech.audio[start * FRAME :][:LENGTH].astype(np.float32) / 32768

    def _filter(self, random: np.random.Generator, how_much: float) -> np.ndarray:
        """Frequency response of a room, a microphone: (LENGTH // 2 + 1,) complex."""
        response = np.ones(len(self.hz), complex)
        if random.random() < 0.35 * how_much:
            response *= np.fft.rfft(_room(random), LENGTH)
        if random.random() < 0.6 * how_much:
            gains = random.normal(0, 4, len(EQUALIZER_HZ))
            curve = np.interp(np.log(np.maximum(self.hz, 1)), np.log(EQUALIZER_HZ), gains)
            response *= 10 ** (curve / 20)
        return response

    def _band(self, random: np.random.Generator) -> np.ndarray:
        """Gain of a telephone or of a narrow recording."""
        low = random.choice([0, 100, 200, 300, 400])
        high = random.choice([3200, 3400, 3700, 4000, 5500, 7000, 8000])
        slopes = np.maximum(0, (low - self.hz) / (low / 4 + 1)) + np.maximum(
            0, (self.hz - high) / 150
        )
        return 10 ** (-np.minimum(slopes, 1) * 3)

    def _sound(
        self, random: np.random.Generator, speech: Speech, start: int, how_much: float
    ) -> tuple[np.ndarray, float]:
        """An altered crop from `start` on, and the log10 energy by which its speech was raised."""
        clean = self._take(speech, start)
        spectrum = np.fft.rfft(clean) * self._filter(random, how_much)
        room = np.fft.irfft(spectrum, LENGTH)
        power = float(np.mean(room**2)) + 1e-12
        raised = math.log10(power / (float(np.mean(clean**2)) + 1e-12))
        loud = 10**speech.loud * 10**raised + 1e-9
        sound = room
        if random.random() < 0.6 * how_much:
            kind = random.random()
            noise = (
                self.babble(random)
                if kind < 0.15
                else np.roll(
                    self.noises[random.integers(len(self.noises))], random.integers(LENGTH)
                )
            )
            level = float(np.mean(noise**2)) + 1e-12
            ratio = random.uniform(0, 30)
            sound = room + noise * math.sqrt(loud / level * 10 ** (-ratio / 10) * 0.5)
        if random.random() < 0.25 * how_much:
            sound = np.fft.irfft(np.fft.rfft(sound) * self._band(random), LENGTH)
        if random.random() < 0.1 * how_much:
            limit = float(np.abs(sound).max()) * random.uniform(0.05, 0.5)
            sound = np.clip(sound, -limit, limit)
        decibels = -20 - 10 * math.log10(loud)  # to -20 dBFS of its loud frames
        spread = random.normal(0, 6) if random.random() < 0.8 else random.uniform(-45, 10)
        gain = (decibels + (how_much or 0.7) * spread) / 20
        return sound * 10**gain, raised + 2 * gain

    def batch(
        self,
        random: np.random.Generator,
        frames: int,
        how_much: float = 1.0,
        held_back: bool = False,
    ) -> tuple[Tensor, ...]:
        """Sound (B, frames * FRAME), content (B, frames, dim), energy of the speech, weight.

        how_much: 0 = as they were recorded, but for the level.
        """
        sounds, contents, energies, weights = [], [], [], []
        for _ in range(STEP_FRAMES // frames):
            speech, start = self.crop(random, held_back)
            is_altered = random.random() > CLEAN_SHARE
            sound, raised = self._sound(random, speech, start, how_much * is_altered)
            sounds.append(sound[BEFORE : BEFORE + frames * FRAME].astype(np.float32))
            here = slice(start + BEFORE // FRAME, start + BEFORE // FRAME + frames)
            contents.append(speech.content[here].astype(np.float32))
            energy = speech.energy[here]
            weights.append(np.where(energy > speech.loud - SPEECH_RANGE, 1.0, PAUSE_WEIGHT))
            power = np.maximum(10**energy - 1e-7, 0) * 10**raised
            energies.append(np.log10(power + 1e-7).astype(np.float32))
        return tuple(
            torch.from_numpy(np.stack(each)).float()
            for each in (sounds, contents, energies, weights)
        )


def _room(random: np.random.Generator) -> np.ndarray:
    """A room's impulse response: the sound itself, some echoes, and a tail that dies away."""
    seconds = random.uniform(0.12, 0.9)  # RT60
    length = min(7500, int(seconds * SAMPLE_RATE))
    age = np.arange(length) / SAMPLE_RATE
    tail = random.standard_normal(length) * 10 ** (-3 * age / seconds)
    start = int(random.uniform(0.002, 0.02) * SAMPLE_RATE)
    tail[:start] = 0
    for _ in range(int(random.integers(2, 7))):
        tail[random.integers(20, min(length, 800))] += random.normal(0, 3)
    tail *= math.sqrt(10 ** (random.uniform(-12, 3) / 10) / np.sum(tail**2))
    tail[0] += 1
    return tail


def _noise(random: np.random.Generator) -> np.ndarray:
    """Some seconds of hiss of any colour, steady or in gusts, with hum or knocks."""
    hz = np.fft.rfftfreq(LENGTH, 1 / SAMPLE_RATE)
    slope = random.uniform(-2, 0.5)
    gains = np.interp(
        np.log(hz + 20), np.log(np.array(EQUALIZER_HZ)), random.normal(0, 6, len(EQUALIZER_HZ))
    )
    spectrum = np.fft.rfft(random.standard_normal(LENGTH)) * (hz + 50) ** (slope / 2)
    noise = np.fft.irfft(spectrum * 10 ** (gains / 20), LENGTH)
    noise /= np.std(noise)
    seconds = np.arange(LENGTH) / SAMPLE_RATE
    kind = random.random()
    if kind < 0.35:  # gusts
        points = random.normal(0, 1, int(random.integers(3, 60)))
        noise *= np.exp(np.interp(seconds, np.linspace(0, seconds[-1], len(points)), points))
    elif kind < 0.5:  # hum
        base = random.choice([50, 60, 100, 120, random.uniform(40, 400)])
        for number in range(1, 12):
            phase = 2 * np.pi * (number * base * seconds + random.random())
            noise += random.exponential(1.5) / number * np.sin(phase)
    elif kind < 0.65:  # knocks
        noise *= 0.2
        for place in random.integers(0, LENGTH - 2000, int(random.integers(4, 40))):
            knock = random.standard_normal(2000) * np.exp(
                -np.arange(2000) / random.uniform(20, 500)
            )
            noise[place : place + 2000] += 6 * random.random() * knock
    return (noise / np.std(noise)).astype(np.float32)


def _music(random: np.random.Generator) -> np.ndarray:
    """Some seconds of chords, a melody and drums."""
    beat = int(SAMPLE_RATE * random.uniform(0.2, 0.6))
    scale = 440 * 2 ** ((np.array([0, 2, 4, 5, 7, 9, 11]) + random.integers(-12, 12)) / 12)
    music = np.zeros(LENGTH)
    decay = random.uniform(0.1, 2)
    brightness = random.uniform(0.6, 2)

    def note(hz: float, start: int, length: int, level: float) -> None:
        length = min(length, LENGTH - start)
        seconds = np.arange(length) / SAMPLE_RATE
        envelope = np.minimum(1, seconds / 0.01) * np.exp(-seconds / decay)
        bend = random.uniform(0, 0.004) * np.sin(2 * np.pi * 5.5 * seconds)
        for number in range(1, 10):
            if hz * number < SAMPLE_RATE / 2:
                phase = 2 * np.pi * hz * number * (seconds + bend / 35)
                music[start : start + length] += (
                    level * number**-brightness * envelope * np.sin(phase)
                )

    for start in range(0, LENGTH, 4 * beat):
        root = int(random.integers(7))
        for step in (0, 2, 4):
            note(scale[(root + step) % 7] / random.choice([1, 2]), start, 4 * beat, 0.6)
        note(scale[root] / 4, start, 4 * beat, 1.0)
    for start in range(0, LENGTH, beat):
        if random.random() < 0.6:
            note(scale[random.integers(7)] * random.choice([0.5, 1, 2]), start, 2 * beat, 0.8)
        if random.random() < 0.5:
            length = min(3000, LENGTH - start)
            hit = random.standard_normal(length) * np.exp(
                -np.arange(length) / random.uniform(50, 700)
            )
            music[start : start + length] += random.uniform(0.3, 2) * hit
    return (music / np.std(music)).astype(np.float32)


class Loss:
    """How far content is from the aim: by value, by angle, and as the base synthesizer hears it."""

    def __init__(self, teacher: WhisperContent) -> None:
        weights = unpack(load_training_state(config.LITE / "base_G.pth")["model"])
        self.reader = weights["content.weight"].float()[:, :-1]
        self.mean, self.std = (
            torch.from_numpy(each[:-1]) for each in (teacher.prior.mean, teacher.prior.std)
        )

    def __call__(
        self, heard: tuple[Tensor, Tensor], content: Tensor, energy: Tensor, weight: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        ours, aim = ((each - self.mean) / self.std for each in (heard[0], content))
        away = ours - aim
        share = weight / weight.sum()
        value = (away.abs().mean(-1) * share).sum()
        angle = ((1 - F.cosine_similarity(ours, aim, dim=-1)) * share).sum()
        read = F.conv1d(away.transpose(1, 2), self.reader, padding=1).square().mean(1)
        whole = F.conv1d(aim.transpose(1, 2), self.reader, padding=1).square().mean(1)
        synthesizer = (read * share).sum() / (whole * share).sum()
        level = (heard[1] - energy).abs().mean()
        total = value + angle + SYNTHESIZER_WEIGHT * synthesizer + ENERGY_WEIGHT * level
        parts = {"value": value, "angle": angle, "synthesizer": synthesizer, "level": level}
        return total, {name: part.detach() for name, part in parts.items()}


def harden_encoder(options: HardenEncoderOptions) -> None:
    """Train for the minutes that are asked for, then write the weights and compare."""
    speech = listen(options)
    real = sum(len(s.content) for s in speech if s.is_real) / 3000
    total = sum(len(s.content) for s in speech) / 3000
    print(f"{len(speech)} speakers, {total:.0f} min, {real:.0f} of them real", flush=True)
    content = load_encoder(TEACHER, torch.device("cpu"))
    assert isinstance(content, WhisperContent)
    alterations, measure = Alterations(speech, options.real_share), Loss(content)
    torch.manual_seed(options.seed)
    encoder = content.encoder.requires_grad_(True)
    encoder.positional_embedding.requires_grad_(False)  # position_mean goes with it
    encoder.noise.bias.data.fill_(NOISE_AT_FIRST)
    weights = [weight for weight in encoder.parameters() if weight.requires_grad]
    heads = list(encoder.noise.parameters())
    groups = [{"params": [w for w in weights if w is not heads[0] and w is not heads[1]]}]
    optimizer = torch.optim.AdamW(
        [*groups, {"params": heads}], PEAK_RATE, betas=(0.9, 0.98), weight_decay=0, fused=True
    )
    path, steps, spent = options.state / "hardened.pt", 0, 0.0
    if path.is_file():
        saved = read_tensors(path)
        encoder.load_state_dict(saved["encoder"])
        optimizer.load_state_dict(saved["optimizer"])
        steps, spent = saved["steps"], saved["spent"]
    started = last_saved = time.time()
    seconds_left = 60 * options.minutes
    sums: dict[str, float] = defaultdict(float)
    while time.time() - started < seconds_left:
        now = time.time() - started
        share = (spent + now) / (spent + seconds_left)
        rate = PEAK_RATE * min(1, (steps + 1) / WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * share))
        for group in optimizer.param_groups:
            group["lr"] = rate * (HEAD_RATE if group["params"][0] is heads[0] else 1)
        random = np.random.default_rng([options.seed, steps])
        sound, *aims = alterations.batch(random, int(random.choice(CROPS)))
        offset = int(random.integers(WINDOW - sound.shape[1] // FRAME))
        loss, parts = measure(content.listen(sound, offset), *aims)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        steps += 1
        for name, part in parts.items():
            sums[name] += float(part) / TELL_STEPS
        if steps % TELL_STEPS == 0:
            told = " ".join(f"{name} {value:.4f}" for name, value in sums.items())
            print(f"{datetime.now():%H:%M:%S} step {steps} rate {rate:.1e} {told}", flush=True)
            sums.clear()
        if time.time() - last_saved > SAVE_SECONDS:
            _save_state(path, encoder, optimizer, steps, spent + time.time() - started)
            _tell_held_back(content, measure, alterations)
            last_saved = time.time()
    _save_state(path, encoder, optimizer, steps, spent + time.time() - started)
    _tell_held_back(content, measure, alterations)
    export(encoder, options.output)
    if options.bench:
        compare(options.output, options.bench)


@torch.no_grad()
def _tell_held_back(content: WhisperContent, measure: Loss, alterations: Alterations) -> None:
    for name, how_much in (("clean", 0.0), ("altered", 1.0)):
        sound, *aims = alterations.batch(np.random.default_rng(1), CROPS[-1], how_much, True)
        _, parts = measure(content.listen(sound), *aims)
        told = " ".join(f"{part} {float(value):.4f}" for part, value in parts.items())
        print(f"held back, {name}: {told}", flush=True)


def _save_state(
    path: Path,
    encoder: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    steps: int,
    spent: float,
) -> None:
    state = {"encoder": encoder.state_dict(), "optimizer": optimizer.state_dict()}
    save_tensors(path, {**state, "steps": steps, "spent": spent})


def export(encoder: torch.nn.Module, path: Path) -> None:
    """Write STEP_SHARE of what changed, which people that it never heard gain most from."""
    teacher = load_encoder(TEACHER, torch.device("cpu"))
    assert isinstance(teacher, WhisperContent)
    before = teacher.encoder.state_dict()
    steps = {
        name: (value - before[name]) * (1 if name.startswith("noise") else STEP_SHARE)
        for name, value in encoder.state_dict().items()
        if name != "positional_embedding"
    }
    with replacing(path) as temporary:
        save_file(pack_steps(steps), temporary)


def compare(weights: Path, bench: Path) -> None:
    """Tell how near both encoders come, in altered clips, to Whisper in the clean ones.

    The mean cosine of normalised content over speech; nobody in these clips was trained on.
    """
    teacher = load_encoder(TEACHER, torch.device("cpu"))
    assert isinstance(teacher, WhisperContent)
    teacher.hears_in_noise = False
    encoders: dict[str, ContentEncoder] = {TEACHER: teacher}
    path, arguments = config.ASSETS / CONTENT_ENCODERS[TEACHER][1], CONTENT_ENCODERS[TEACHER][2]
    encoders["hardened"] = WhisperContent(path, *arguments, torch.device("cpu"), in_noise=weights)
    for kind in sorted(folder.name for folder in bench.iterdir() if folder.is_dir()):
        angles = defaultdict(list)
        for clean in sorted((bench / "clean").glob("*.flac")):
            if (bench / kind / clean.name).is_file():
                aim, is_speech = _normal(encoders[TEACHER], clean)
                for name, encoder in encoders.items():
                    content, _ = _normal(encoder, bench / kind / clean.name)
                    product = (content * aim).sum(1)
                    size = np.linalg.norm(content, axis=1) * np.linalg.norm(aim, axis=1)
                    angles[name].append(float((product / size)[is_speech].mean()))
        told = ", ".join(f"{name} {np.mean(values):.3f}" for name, values in angles.items())
        print(f"{kind}: {told} ({len(angles[TEACHER])} clips)", flush=True)


def _normal(encoder: ContentEncoder, clip: Path) -> tuple[np.ndarray, np.ndarray]:
    """Content of a clip, normalised by itself, and which frames are speech."""
    content = encoder(load(clip, SAMPLE_RATE)[0])
    statistics = encoder.new_statistics()
    statistics.update(content)
    energy = content[:, -1]
    is_speech = energy > np.percentile(energy, 95) - SPEECH_RANGE
    return statistics.result().normalize(content)[:, :-1], is_speech


if __name__ == "__main__":
    harden_encoder(parse_options(HardenEncoderOptions, sys.argv[1:]))
