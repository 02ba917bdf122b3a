"""StreamConverter: the pipeline of converter.py for sound that is still coming."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch

from infer.audio.filters import high_pass
from infer.audio.loudness import limit
from infer.content import FRAME
from infer.converter import VoiceConverter, prepare
from infer.f0 import HOP_LENGTH, SAMPLE_RATE, fitting_semitones
from infer.f0.contour import transpose
from infer.options import StreamOptions

F0_SECONDS = 0.16  # sound before a block that its melody is found in
PAST_SECONDS = 0.3  # before every block: what a synthesizer looks back
LEAD_SECONDS = 0.04  # of it rendered again: windows and cross-fades begin before a block
FADE_SECONDS = 0.01  # cross-fade between two renderings of the same moment
SEARCH_SECONDS = 0.01  # where a source has no phase, how far a rendering is moved to fit
STATISTICS_FRAMES = 25  # content frames (0.5 s) that are added to the running statistics at once
LOUDNESS_SECONDS = 2.0  # over which loudness is followed
GATE_RELEASE = 4.0  # dB that a block must be louder than the gate to open it again
QUIET = 1e-6
FIT_FRAMES = (80, 2000)  # voiced frames (10 ms) that tell a speaker's pitch: at least, at most
FIT_SLACK = 2  # semitones by which a fitted shift has to be wrong before it changes


@dataclass(frozen=True)
class Timing:
    """Lengths of a stream in samples at 16 kHz, multiples of a content frame (20 ms).

    block: converted at once. look_ahead: sound after a block that its conversion waits for.
    context: sound before a block that its content is found in.
    """

    block: int
    look_ahead: int
    context: int

    @classmethod
    def of(cls, options: StreamOptions) -> Timing:
        """Return the lengths that options ask for, rounded to whole frames."""
        seconds = options.timing
        return cls(*(max(1, round(each * SAMPLE_RATE / FRAME)) * FRAME for each in seconds))

    @property
    def latency_seconds(self) -> float:
        """From a sound to its conversion, computation not counted: a block and the look-ahead."""
        return (self.block + self.look_ahead) / SAMPLE_RATE


@dataclass
class _Follower:
    """Energy of a signal over the last LOUDNESS_SECONDS, updated block by block."""

    energy: float = 0.0
    weight: float = 0.0

    def push(self, audio: np.ndarray, seconds: float) -> float:
        """Add a block; returns the RMS."""
        keep = float(np.exp(-seconds / LOUDNESS_SECONDS))
        self.energy = keep * self.energy + (1 - keep) * float(np.mean(np.square(audio)))
        self.weight = keep * self.weight + (1 - keep)
        return float(np.sqrt(self.energy / self.weight))


@dataclass
class _State:
    """What a stream carries from block to block."""

    audio: np.ndarray  # 16 kHz: context, block and look-ahead
    content: np.ndarray  # (past, dim) before the block
    f0: np.ndarray  # (2 * past,) Hz before the block, as it was rendered
    tail: np.ndarray  # rendering of the moment after the last block
    phase: float = 0.0  # cycles of the source where the next block begins
    noise: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))  # of a rendering
    number: int = 0  # blocks so far
    gain: float = 0.0
    is_open: bool = False
    source: _Follower = field(default_factory=_Follower)
    output: _Follower = field(default_factory=_Follower)


class PitchFitter:
    """Finds the shift in semitones that brings a speaker to a voice, while they speak."""

    def __init__(self) -> None:
        self._f0: deque[float] = deque(maxlen=FIT_FRAMES[1])
        self._shift: int | None = None

    @property
    def source_hz(self) -> float:
        """The speaker's median f0, 0 while too little was heard."""
        return float(np.median(self._f0)) if len(self._f0) >= FIT_FRAMES[0] else 0.0

    @property
    def shift(self) -> int:
        """Semitones, 0 while they are not known."""
        return self._shift or 0

    def push(self, f0: np.ndarray, voice_hz: float) -> None:
        """Hear (T,) Hz, 0 where unvoiced; voice_hz: of the voice, 0 if unknown."""
        self._f0.extend(f0[f0 > 0].tolist())
        if self.source_hz:
            wanted = fitting_semitones(self.source_hz, voice_hz)
            if self._shift is None or abs(wanted - self._shift) >= FIT_SLACK:
                self._shift = wanted


class StreamConverter:
    """Converts a stream to one voice, block by block, with the networks that convert recordings.

    The synthesizer renders a little more than the block, and both renderings of the same moment
    are cross-faded.
    """

    def __init__(self, converter: VoiceConverter, options: StreamOptions) -> None:
        """converter: of options.voice. UserError: no such index or speaker."""
        self.converter = converter
        self.timing = Timing.of(options)
        self.sample_rate = converter.sample_rate
        self.statistics = converter.encoder.new_statistics()
        self.set_options(options)
        self._waiting = np.zeros(0, np.float32)
        self.spare = self._waiting  # what would follow the last block, see _join
        self._unheard: list[np.ndarray] = []  # content that the statistics have still to be given
        self.fitter = PitchFitter()
        self._random = np.random.default_rng(options.seed)
        self._beside = ThreadPoolExecutor(1)  # finds the melody while content is found
        self._past, self._lead = (
            round(seconds * SAMPLE_RATE / FRAME) * FRAME for seconds in (PAST_SECONDS, LEAD_SECONDS)
        )
        self._fade = self._samples(round(FADE_SECONDS * SAMPLE_RATE))
        has_phase = converter.family.advance is not None
        self._search = 0 if has_phase else self._samples(round(SEARCH_SECONDS * SAMPLE_RATE))
        timing = self.timing
        lengths = timing.block, timing.look_ahead, timing.context
        self._content = converter.encoder.stream(*(each // FRAME for each in lengths))
        self._state = _State(
            np.zeros(sum(lengths), np.float32),
            converter.encoder(np.zeros(self._past, np.float32)),
            np.zeros(self._past // HOP_LENGTH, np.float32),
            np.zeros(self._fade, np.float32),
        )

    def set_options(self, options: StreamOptions) -> None:
        """Go on with other options; those that set the lengths of a stream stay as they were."""
        converter = self.converter
        converter.check_speaker(options.speaker)
        index = converter.find_index(options.index, options.index_rate)
        self._retrieval = None if index is None else converter.open_index(index)
        uses_f0 = converter.params.use_f0
        self._f0_method = converter.f0_method(options.f0_method) if uses_f0 else None
        self.options = options

    def go_on_from(self, before: StreamConverter) -> None:
        """Begin with what another stream of the same speaker knows: statistics and last sound."""
        self.fitter = before.fitter
        encoder, other = (each.converter.params.content_encoder for each in (self, before))
        if encoder == other:
            self.statistics = before.statistics
        new, old = self._state.audio, before._state.audio
        count = min(len(new), len(old))
        new[len(new) - count :] = old[len(old) - count :]

    @property
    def semitones(self) -> float:
        """How far the melody is shifted now."""
        fixed = self.options.semitones
        return self.fitter.shift if fixed is None else fixed

    def push(self, audio: np.ndarray) -> np.ndarray:
        """Take (n,) float32 at 16 kHz; returns the (m,) float32 at self.sample_rate that is ready.

        What comes out lies timing.look_ahead behind what went in, in whole blocks: the first
        blocks are the silence before the stream.
        """
        self._waiting = np.concatenate([self._waiting, np.asarray(audio, np.float32)])
        ready = []
        while len(self._waiting) >= self.timing.block:
            block, self._waiting = np.split(self._waiting, [self.timing.block])
            ready.append(self._convert(block))
        return np.concatenate(ready) if ready else np.zeros(0, np.float32)

    def flush(self) -> np.ndarray:
        """Return what the look-ahead and an unfinished block held back."""
        held = self.timing.look_ahead + len(self._waiting)
        missing = -held % self.timing.block
        rest = self.push(np.zeros(self.timing.look_ahead + missing, np.float32))
        return rest[: self._samples(held)]

    @property
    def delay(self) -> int:
        """Samples of silence at self.sample_rate with which the output begins."""
        return self._samples(self.timing.look_ahead)

    def _convert(self, block: np.ndarray) -> np.ndarray:
        state, timing = self._state, self.timing
        state.audio = np.concatenate([state.audio[timing.block :], block])
        source = state.audio[timing.context : timing.context + timing.block]
        level = 10 * np.log10(float(np.mean(np.square(source))) + QUIET**2)
        opens_at = self.options.gate_db + (0 if state.is_open else GATE_RELEASE)
        state.is_open = level >= opens_at
        melody = self._beside.submit(self._find_f0) if self._f0_method else None
        content = self._content.push(state.audio)
        f0 = None if melody is None else self._shift(melody)
        wav = self._render(self._prepare(content, f0), f0)
        block = limit(self._follow_loudness(source, self._join(wav)))
        self.spare = limit(self.spare * state.gain)
        return block

    def _find_f0(self) -> np.ndarray:
        """f0 (T,) Hz of block and look-ahead as they were spoken."""
        state, timing = self._state, self.timing
        reach = min(timing.context, round(F0_SECONDS * SAMPLE_RATE / FRAME) * FRAME)
        audio = high_pass(state.audio[timing.context - reach :], SAMPLE_RATE)
        assert self._f0_method is not None
        return self._f0_method(audio)[reach // HOP_LENGTH :]

    def _shift(self, melody: Future[np.ndarray]) -> np.ndarray:
        """f0 (T,) Hz of what is rendered; what was rendered before stays as it was."""
        found = melody.result()
        if self._state.is_open:
            voice_hz = self.converter.model.f0_median.get(self.options.speaker, 0.0)
            self.fitter.push(found[: self.timing.block // HOP_LENGTH], voice_hz)
        return np.concatenate([self._state.f0, transpose(found, self.semitones)])

    def _prepare(self, content: np.ndarray, f0: np.ndarray | None) -> np.ndarray:
        """Content (T, dim) at 100 frames/s of what is rendered, normalised and retrieved."""
        state, block = self._state, self.timing.block // FRAME
        if state.is_open:
            self._unheard.append(content[:block])
        if sum(map(len, self._unheard)) >= STATISTICS_FRAMES:
            self.statistics.update(np.concatenate(self._unheard))
            self._unheard.clear()
        content = np.concatenate([state.content, content])
        state.content = content[block : block + len(state.content)]
        rendered = self.statistics.result().normalize(content)
        frames = 2 * len(rendered) if f0 is None else len(f0)
        return prepare(
            rendered, frames, f0, self._retrieval, self.options.index_rate, self.options.protect
        )

    @torch.inference_mode()
    def _render(self, content: np.ndarray, f0: np.ndarray | None) -> np.ndarray:
        """Waveform (M,) of lead, block and look-ahead."""
        state, synthesizer = self._state, self.converter.synthesizer
        advance = self.converter.family.advance
        phase = noise = None
        past, lead, step = (
            length // HOP_LENGTH for length in (self._past, self._lead, self.timing.block)
        )
        if advance is not None and f0 is not None:
            # how far the lead takes the source depends on what is seen around it: it is taken back
            melody = torch.from_numpy(f0[past - lead :])[None]
            start = torch.zeros(1, dtype=torch.float64)
            phase = (start + state.phase - advance(synthesizer, melody, start, lead)) % 1
            state.phase = advance(synthesizer, melody, phase, lead + step)
            noise = self._draw_noise()
        seed = self.options.seed + state.number
        render = self.converter.render
        wav = render(content, f0, self.options.speaker, seed, phase, noise, past - lead)()
        state.number += 1
        if f0 is not None:
            state.f0 = f0[step : step + len(state.f0)]
        return wav

    def _draw_noise(self) -> torch.Tensor:
        """Noise (1, M) for a rendering: of a moment the same in all, or joints would be softer."""
        state, timing = self._state, self.timing
        missing = self._samples(timing.block)
        if not len(state.noise):
            missing += self._samples(self._lead + timing.look_ahead)
        new = self._random.standard_normal(missing, np.float32)
        state.noise = np.concatenate([state.noise[self._samples(timing.block) :], new])
        return torch.from_numpy(state.noise)[None].to(self.converter.device)

    def _join(self, wav: np.ndarray) -> np.ndarray:
        """The block (m,) out of a rendering, cross-faded with the one before.

        self.spare: the look-ahead after it, which sounds until the next block has come.
        """
        state = self._state
        start, length = self._samples(self._lead), self._samples(self.timing.block)
        ahead = self._samples(self.timing.look_ahead)
        if self._search and np.any(state.tail):
            start += best_shift(wav, start, state.tail, self._search)
        part = wav[start : start + length + max(self._fade, ahead)]
        part = np.pad(part, (0, max(0, length + self._fade - len(part))))
        ramp = (np.arange(self._fade, dtype=np.float32) + 0.5) / self._fade
        part[: self._fade] = part[: self._fade] * ramp + state.tail * (1 - ramp)
        state.tail, self.spare = part[length : length + self._fade], part[length:]
        return part[:length]

    def _follow_loudness(self, source: np.ndarray, output: np.ndarray) -> np.ndarray:
        state, seconds = self._state, self.timing.block / SAMPLE_RATE
        source_level = state.source.push(source, seconds)
        output_level = state.output.push(output, seconds)
        gain = (source_level / max(output_level, QUIET)) ** (1 - self.options.rms_mix_rate)
        gain = min(gain, 10.0) if state.is_open else 0.0
        ramp = np.linspace(state.gain, gain, len(output), dtype=np.float32)
        state.gain = gain
        return output * ramp

    def _samples(self, samples_16k: int) -> int:
        return samples_16k * self.sample_rate // SAMPLE_RATE


def best_shift(wav: np.ndarray, start: int, tail: np.ndarray, reach: int) -> int:
    """How far from start (-reach..reach) a rendering goes on best where tail was heard."""
    room = wav[start - reach : start + reach + len(tail)]
    windows = np.lib.stride_tricks.sliding_window_view(room, len(tail))
    agreement = windows @ tail / np.sqrt(np.square(windows).sum(axis=1) + QUIET)
    return int(np.argmax(agreement)) - reach
