"""Teach a small causal network what Whisper's encoder hears (assets/lite/causal.safetensors).

A maintainer's tool. The sound is altered as a converter gets it (noise, music, rooms, telephones,
codecs, overload, levels, whispering) and as other people would speak (pitch, throat, speed); the
aim is the content of the clean recording, normalised for its speaker. A stopped run goes on where
it was, with the clips that have come since.

    python -m tools.research.distill_encoder --corpus corpus --synth corpus/synth \\
        --state state/ears --minutes 90 --output causal.safetensors --bench bench
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
from safetensors.torch import load_file, save_file
from torch import Tensor

import config
from config import replacing
from errors import AudioError
from infer.audio.mel import mel_filters
from infer.audio.reader import load
from infer.content import FRAME, ContentEncoder, load_encoder
from infer.content.causal import BEFORE, LOOKAHEAD, CausalContent, CausalEncoder, describe
from infer.content.statistics import SPEECH_RANGE, RunningStatistics, Statistics
from infer.content.whisper import HOP_LENGTH, N_FFT, N_MELS, SAMPLE_RATE
from infer.voice.checkpoint import load_training_state
from infer.voice.tensors import read_tensors, save_tensors
from options import Options, option, parse_options

TEACHER = "whisper-base-4"
PIECE = 120 * SAMPLE_RATE  # samples of a speaker that the teacher hears at once
FRAMES = 150  # steps of a crop
HOPS = (136, 189)  # samples between mel frames: 160 is the speed at which it was spoken
LENGTH = 2**16  # samples of a crop, room for the longest hop and a room's echo
HELD_BACK = 0.03  # of every speaker, at the end ...
HELD_BACK_FROM = 5  # ... of whom there are so many minutes
PAUSE_WEIGHT = 0.3  # of a frame in which nobody speaks
CLEAN_SHARE = 0.3  # of the crops, altered in speed, pitch and level alone
SYNTHESIZER_WEIGHT, ENERGY_WEIGHT = 0.5, 0.3
WARPS = np.exp(np.linspace(-0.22, 0.22, 23))  # of the frequency axis: other throats and pitches
EQUALIZER_HZ = (60, 120, 250, 500, 1000, 2000, 4000, 8000)
PEAK_RATE, WARM_UP = 2e-3, 200  # learning rate, steps
SAVE_SECONDS, TELL_STEPS = 240, 50


@dataclass(frozen=True, kw_only=True)
class DistillEncoderOptions(Options):
    """Teach the causal encoder what Whisper's encoder hears."""

    MODULE = "tools.research.distill_encoder"

    corpus: Path = option("folder with manifest.tsv; its train split")
    synth: Path = option("folder in which are folders with manifest.tsv; their synth splits")
    state: Path = option("folder of the teacher's content and of the training's state")
    output: Path = option("file to write at the end, .safetensors")
    minutes: float = option("of this run; the learning rate ends with it", within=(0, 100_000))
    bench: Path | None = option("folder of tools.research.hard_bench to be compared on", None)
    batch_size: int = option("crops of 3 s in a step", 8, within=(1, 1024))
    real_share: float = option("share of the crops that real people speak", 0.6, within=(0, 1))
    seed: int = option("of everything random", 0, within=(0, 2**31))


@dataclass(frozen=True)
class Speech:
    """All clips of one speaker in a row, and what the teacher hears in them."""

    name: str
    audio: np.ndarray  # (T * FRAME,) int16
    content: np.ndarray  # (T, dim) float16, normalised
    energy: np.ndarray  # (T,) log10
    loud: float  # log10 energy of the loud frames

    @property
    def is_real(self) -> bool:
        return self.name.startswith("train-")


def listen(options: DistillEncoderOptions) -> list[Speech]:
    """Hear every speaker with the teacher, once; returns all of them."""
    rows = defaultdict(list)
    manifests = [options.corpus / "manifest.tsv", *sorted(options.synth.rglob("manifest.tsv"))]
    for manifest in manifests:
        with manifest.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                if row["split"] in ("train", "synth"):
                    rows[f"{row['split']}-{row['speaker']}"].append(manifest.parent / row["file"])
    teacher = load_encoder(TEACHER, torch.device("cpu"))
    options.state.mkdir(parents=True, exist_ok=True)
    for name, files in rows.items():
        path = options.state / f"{name}.content.npy"
        if not path.is_file():
            audio = _joined(files, zlib.crc32(name.encode()))
            content = np.concatenate(
                [teacher(audio[i : i + PIECE]) for i in range(0, len(audio), PIECE)]
            )
            zeros = np.zeros(teacher.dim)
            running = RunningStatistics(Statistics(zeros, zeros), prior_frames=0)
            running.update(content)
            normal = running.result().normalize(content)[:, :-1].astype(np.float16)
            scaled = np.round(audio[: len(content) * FRAME] * 32767).clip(-32768, 32767)
            for kind, array in (
                ("audio", scaled.astype(np.int16)),
                ("energy", content[:, -1].astype(np.float32)),
                ("content", normal),
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
        self.hann = torch.hann_window(N_FFT)
        self.filters = torch.stack([torch.from_numpy(_warped(w)) for w in WARPS])
        self.hz = np.fft.rfftfreq(LENGTH, 1 / SAMPLE_RATE)

    def crop(self, random: np.random.Generator, is_held_back: bool) -> tuple[Speech, int, int]:
        """A speaker, a hop, and the sample around which the first frame lies."""
        hop = HOP_LENGTH if is_held_back else int(random.integers(*HOPS))
        number = random.choice(len(self.speech), p=self.shares)
        if is_held_back:
            number = random.choice(self.held_back)
        speech, low, high = self.speech[number], 0, len(self.speech[number].audio)
        if number in self.held_back:
            border = int(high * (1 - HELD_BACK))
            low, high = (border, high) if is_held_back else (0, border)
        return speech, hop, int(random.integers(low, high - LENGTH)) + BEFORE

    def babble(self, random: np.random.Generator) -> np.ndarray:
        """Several people at once."""
        count = int(random.integers(1, 6))
        return sum(
            self._take(speech, start - BEFORE) * random.uniform(0.3, 1)
            for speech, _, start in (self.crop(random, False) for _ in range(count))
        )

    def _take(self, speech: Speech, start: int) -> np.ndarray:
        return speech.audio[start : start + LENGTH].astype(np.float32) / 32768

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
        self, random: np.random.Generator, size: int, how_much: float = 1.0, held_back: bool = False
    ) -> tuple[Tensor, ...]:
        """x (B, FRAMES, .), content (B, FRAMES, dim), energy in it, energy of the speech, weight.

        All of them but x are of frame i - LOOKAHEAD at step i, and start there. how_much: 0 = as
        they were recorded, but for the level.
        """
        steps = np.arange(2 * FRAMES)
        sounds, contents, energies, weights, places, filters, hops = [], [], [], [], [], [], []
        for _ in range(size):
            speech, hop, start = self.crop(random, held_back)
            is_altered = random.random() > CLEAN_SHARE
            sound, raised = self._sound(random, speech, start - BEFORE, how_much * is_altered)
            sounds.append(torch.from_numpy(sound.astype(np.float32)))
            # mel frame j of the crop lies around sample BEFORE - HOP_LENGTH + j * hop of `sound`
            places.append(torch.from_numpy(BEFORE - hop + steps * hop))
            position = (start + np.arange(FRAMES - LOOKAHEAD) * 2 * hop) / FRAME
            position = np.minimum(position, len(speech.content) - 2)
            whole = position.astype(int)
            share = (position - whole)[:, None].astype(np.float32)
            near = speech.content[whole[0] : whole[-1] + 2].astype(np.float32)
            content = near[whole - whole[0]] * (1 - share) + near[whole + 1 - whole[0]] * share
            contents.append(torch.from_numpy(content))
            energy = np.interp(position, np.arange(len(speech.energy)), speech.energy)
            weights.append(torch.from_numpy(energy > speech.loud - SPEECH_RANGE))
            power = np.maximum(10**energy - 1e-7, 0) * 10**raised
            energies.append(torch.from_numpy(np.log10(power + 1e-7).astype(np.float32)))
            middle = len(WARPS) // 2
            warp = middle if random.random() < 0.3 or not how_much else random.integers(len(WARPS))
            filters.append(self.filters[warp])
            hops.append(hop)
        sound = torch.stack(sounds)
        around = torch.stack(places)[:, :, None] + torch.arange(-(N_FFT // 2), N_FFT // 2)
        frames = sound.gather(1, around.clamp(min=0).flatten(1)).view(size, 2 * FRAMES, N_FFT)
        spectra = torch.fft.rfft(frames * self.hann)
        power = spectra.real.square() + spectra.imag.square()
        power = _whispered_or_coded(power, random, how_much)
        x = describe(power, torch.stack(filters))
        known = frames[:, 1::2][:, : FRAMES - LOOKAHEAD]
        heard = known[..., (N_FFT - FRAME) // 2 : (N_FFT + FRAME) // 2].square().mean(-1)
        weight = torch.where(torch.stack(weights), 1.0, PAUSE_WEIGHT)
        energy_in = (heard + 1e-7).log10()
        return x, torch.stack(contents), energy_in, torch.stack(energies), weight


def _whispered_or_coded(power: Tensor, random: np.random.Generator, how_much: float) -> Tensor:
    """Some crops without their harmonics, some without what an encoder leaves out. (B, T, bins)."""
    for number in range(len(power)):
        kind = random.random() / max(how_much, 1e-9)
        if kind > 0.2:
            continue
        own = power[number]
        wide = F.avg_pool1d(own[:, None], 9, 1, 4, count_include_pad=False)[:, 0]
        if kind < 0.07:
            chance = torch.from_numpy(random.exponential(size=own.shape).astype(np.float32))
            power[number] = wide * chance
        else:
            loud = own.amax(1, keepdim=True)
            near = torch.minimum(wide * 10 ** random.uniform(-1.5, 0), loud)
            floor = loud * 10 ** random.uniform(-6, -3)
            power[number] = torch.where(own < torch.maximum(near * 0.3, floor), own * 1e-3, own)
    return power


def _warped(warp: float) -> np.ndarray:
    """Mel filters that hear a sound with its frequencies times `warp`, 8 kHz staying 8 kHz."""
    plain = mel_filters(N_MELS, N_FFT, SAMPLE_RATE)
    bins = np.arange(plain.shape[1])
    bend = 0.85 * bins[-1] / max(warp, 1.0)
    top = warp * bend
    moved = np.where(
        bins <= bend, bins * warp, top + (bins - bend) * (bins[-1] - top) / (bins[-1] - bend)
    )
    return np.stack([np.interp(moved, bins, row) for row in plain]).astype(np.float32)


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

    def __init__(self) -> None:
        weights = load_training_state(config.LITE / "base_G.pth")["model"]
        self.reader = weights["content.weight"].float()[:, :-1]

    def __call__(
        self, content: Tensor, noise: Tensor, aim: Tensor, heard: Tensor, clean: Tensor, w: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        away = content - aim
        share = w / w.sum()
        value = (away.abs().mean(-1) * share).sum()
        angle = ((1 - F.cosine_similarity(content, aim, dim=-1)) * share).sum()
        read = F.conv1d(away.transpose(1, 2), self.reader, padding=1).square().mean(1)
        whole = F.conv1d(aim.transpose(1, 2), self.reader, padding=1).square().mean(1)
        synthesizer = (read * share).sum() / (whole * share).sum()
        level = ((heard - noise).clamp(min=-7) - clean).abs().mean()
        total = value + angle + SYNTHESIZER_WEIGHT * synthesizer + ENERGY_WEIGHT * level
        parts = {"value": value, "angle": angle, "synthesizer": synthesizer, "level": level}
        return total, {name: part.detach() for name, part in parts.items()}


def distill_encoder(options: DistillEncoderOptions) -> None:
    """Train for the minutes that are asked for, then write the weights in float16 and compare."""
    speech = listen(options)
    real = sum(len(s.content) for s in speech if s.is_real) / 3000
    total = sum(len(s.content) for s in speech) / 3000
    print(f"{len(speech)} speakers, {total:.0f} min, {real:.0f} of them real", flush=True)
    alterations, measure = Alterations(speech, options.real_share), Loss()
    torch.manual_seed(options.seed)
    encoder = CausalEncoder()
    matrices = [p for p in encoder.parameters() if p.dim() > 1]
    others = [p for p in encoder.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.02}, {"params": others, "weight_decay": 0.0}],
        PEAK_RATE,
        betas=(0.9, 0.98),
        fused=True,
    )
    path, steps, spent = options.state / "training.pt", 0, 0.0
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
            group["lr"] = rate
        random = np.random.default_rng([options.seed, steps])
        loss, parts = _loss(encoder, measure, alterations.batch(random, options.batch_size))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
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
            _tell_held_back(encoder, measure, alterations)
            last_saved = time.time()
    _save_state(path, encoder, optimizer, steps, spent + time.time() - started)
    _tell_held_back(encoder, measure, alterations)
    export(encoder, alterations, options.output)
    if options.bench:
        compare(options.output, options.bench)


def _loss(
    encoder: CausalEncoder, measure: Loss, batch: tuple[Tensor, ...]
) -> tuple[Tensor, dict[str, Tensor]]:
    x, *aims = batch
    with config.autocast(torch.device("cpu")):
        content, noise, _ = encoder(x, encoder.silence(len(x)))
    return measure(content[:, LOOKAHEAD:].float(), noise[:, LOOKAHEAD:].float(), *aims)


@torch.no_grad()
def _tell_held_back(encoder: CausalEncoder, measure: Loss, alterations: Alterations) -> None:
    for name, how_much in (("clean", 0.0), ("altered", 1.0)):
        batch = alterations.batch(np.random.default_rng(1), 32, how_much, held_back=True)
        _, parts = _loss(encoder, measure, batch)
        told = " ".join(f"{part} {float(value):.4f}" for part, value in parts.items())
        print(f"held back, {name}: {told}", flush=True)


def _save_state(
    path: Path, encoder: CausalEncoder, optimizer: torch.optim.Optimizer, steps: int, spent: float
) -> None:
    state = {"encoder": encoder.state_dict(), "optimizer": optimizer.state_dict()}
    save_tensors(path, {**state, "steps": steps, "spent": spent})


@torch.no_grad()
def export(encoder: CausalEncoder, alterations: Alterations, path: Path) -> None:
    """Write the weights with the mean and deviation of an average voice."""
    teacher = load_file(config.LITE / f"{TEACHER}.safetensors")
    heard = []
    for number in range(8):
        x, *_ = alterations.batch(np.random.default_rng([2, number]), 16, 0.0)
        content, _, _ = encoder(x, encoder.silence(len(x)))
        weight = alterations.batch(np.random.default_rng([2, number]), 16, 0.0)[-1]
        heard.append(content[:, LOOKAHEAD:][weight == 1])
    content = torch.cat(heard)
    energy = (teacher["prior_mean"][-1:].float(), teacher["prior_std"][-1:].float())
    tensors = dict(encoder.state_dict())
    tensors["prior_mean"] = torch.cat([content.mean(0), energy[0]])
    tensors["prior_std"] = torch.cat([content.std(0), energy[1]])
    with replacing(path) as temporary:
        save_file({name: t.half().contiguous() for name, t in tensors.items()}, temporary)


def compare(weights: Path, bench: Path) -> None:
    """Tell how near both encoders come, in altered clips, to Whisper in the clean ones.

    The mean cosine of normalised content over speech; nobody in these clips was trained on.
    """
    encoders = {TEACHER: load_encoder(TEACHER, torch.device("cpu"))}
    encoders["causal"] = CausalContent(weights, torch.device("cpu"))
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
    distill_encoder(parse_options(DistillEncoderOptions, sys.argv[1:]))
